"""`chatserver audit`: verify, head and trim, on a store beside or without its server."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from chatserver_process import BOUND, COMMAND, ChatserverProcess, clean_environment
from sqlalchemy import text

from chatserver_sdk.storage import audit, open_store

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A store with five entries, a day from one to the next."""
    path = tmp_path / "store.db"
    store = open_store(str(path))
    for number in range(5):
        now = NOW + timedelta(days=number)
        given = {"by": "ada", "resource": "thing", "resource_id": str(number)}
        asyncio.run(store.write(audit.record, "a.b", now=now, **given))
    store.close()
    return path


def run(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What the command says and how it ends."""
    return subprocess.run(
        [COMMAND, "audit", *map(str, arguments)],
        env=clean_environment(home),
        capture_output=True,
        text=True,
        timeout=BOUND,
    )


def change(db: Path, statement: str) -> None:
    """Do something to the store."""
    store = open_store(str(db))
    asyncio.run(store.write(lambda connection: connection.execute(text(statement)).close()))
    store.close()


def test_a_log_and_what_is_done_to_it(tmp_path: Path, db: Path) -> None:
    """Whole, with a head to keep; changed, with status 1 and the entry's number; cut off, which
    only the head shows."""
    whole, head = run(tmp_path, "verify", "--db", db), run(tmp_path, "head", "--db", db)
    kept = head.stdout.strip()
    change(db, "DELETE FROM audit_entries WHERE seq = 5")
    cut = [run(tmp_path, "verify", "--db", db, *more) for more in ((), ("--head", kept))]
    change(db, "UPDATE audit_entries SET action = 'b' WHERE seq = 2")
    changed = run(tmp_path, "verify", "--db", db)

    assert (whole.returncode, head.returncode) == (0, 0) and kept.startswith("5:")
    assert whole.stdout == f"5 entries are as they were written; head {kept}\n"
    assert [said.returncode for said in cut] == [0, 1]
    assert cut[1].stdout == (
        "entry 5 (truncated): the log ends with entry 4, and the head is of 5\n"
    )
    assert changed.returncode == 1
    assert changed.stdout == "entry 2 (changed): entry 2 is not as it was written\n"
    assert changed.stderr == "1 entries before it are good\n"


def test_trimming(tmp_path: Path, db: Path) -> None:
    """What is older goes, what follows fits; a head from before still does."""
    kept = run(tmp_path, "head", "--db", db).stdout.strip()
    trimmed = run(tmp_path, "trim", "--db", db, "--before", "2026-03-03")
    again = run(tmp_path, "trim", "--db", db, "--before", "2026-03-03T00:00:00Z")
    after = run(tmp_path, "verify", "--db", db, "--head", kept)

    assert (trimmed.stdout, again.stdout) == ("2 entries trimmed\n", "0 entries trimmed\n")
    assert after.returncode == 0 and after.stdout.startswith("4 entries are")


def test_beside_a_server_that_runs(tmp_path: Path) -> None:
    """The lock is the server's; looking and trimming need none."""
    db = tmp_path / "store.db"
    environment = clean_environment(tmp_path)
    with ChatserverProcess(
        "serve", "--port", "0", "--db", str(db), environment=environment
    ) as server:
        server.wait_until_ready()
        found = run(tmp_path, "verify", "--db", db)
        trimmed = run(tmp_path, "trim", "--db", db, "--before", "2100-01-01")
        assert server.end() == 0

    assert found.returncode == 0 and found.stdout.startswith("2 entries are")
    assert trimmed.stdout == "2 entries trimmed\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "--db", "no.db"), "there is no store at"),
        (("head", "--db", "no.db"), "there is no store at"),
        (("head",), "there is no store at"),
        (("verify", "--db", "mysql://x"), "must be"),
        (("trim", "--db", "no.db", "--before", "soon"), "ISO 8601"),
        (("trim", "--db", "no.db"), "--before"),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """A sentence, a status, and no new file."""
    home = tmp_path / "home"
    given = [str(tmp_path / one) if one.endswith(".db") else one for one in arguments]
    found = run(home, *given)

    assert found.returncode in (1, 2) and said in found.stderr and "Traceback" not in found.stderr
    assert not (tmp_path / "no.db").exists()


def test_a_head_that_is_none(tmp_path: Path, db: Path) -> None:
    """Refused with its form."""
    found = run(tmp_path, "verify", "--db", db, "--head", "x")

    assert found.returncode == 1 and "number, a colon" in found.stderr


def test_evidence_stays(tmp_path: Path, db: Path) -> None:
    """A log that was changed is not trimmed."""
    change(db, "UPDATE audit_entries SET action = 'b' WHERE seq = 1")

    found = run(tmp_path, "trim", "--db", db, "--before", "2027-01-01")

    assert found.returncode == 1 and "entry 1 is not as it was written" in found.stderr
