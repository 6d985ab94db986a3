"""`chatserver db`: bringing a store up to date with a copy first, saying where it is, checking."""

from __future__ import annotations

import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update
from store_records import Db, planned

from chatserver_sdk.cli.commands import chatserver
from chatserver_sdk.storage import migration, sessions
from chatserver_sdk.storage.engines import writing_engine
from chatserver_sdk.storage.location import file_of, url_of
from chatserver_sdk.storage.lock import exclusive
from chatserver_sdk.storage.tables import users

HEAD = migration.HEAD


def run(*arguments: str) -> Result:
    """What the command says and exits with."""
    return CliRunner().invoke(chatserver, ["db", *arguments])


def at_revision(location: str, revision: str) -> None:
    """Make a database of an older revision."""
    engine = writing_engine(url_of(location))
    with engine.begin() as connection:
        migration.upgrade(connection, revision)
    engine.dispose()


def backups(folder: Path) -> list[Path]:
    """The copies beside a database."""
    return sorted(folder.glob("*.backup-*"))


def test_a_new_store_is_made(location: str, tmp_path: Path) -> None:
    """Where nothing is there is nothing to copy; a second time nothing is done."""
    first, again = run("upgrade", "--db", location), run("upgrade", "--db", location)

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.output == f"the database went from revision none to {HEAD}\n"
    assert again.output == f"the database is at revision {HEAD} already\n"
    assert backups(tmp_path) == []


def test_an_older_store_is_brought_up_to_date(location: str, tmp_path: Path) -> None:
    """A file is copied first, whatever is in its log still, for its owner alone."""
    at_revision(location, "0001")
    assert run("current", "--db", location).output == "0001 (not head)\n"

    done = run("upgrade", "--db", location)

    assert done.exit_code == 0 and f"from revision 0001 to {HEAD}\n" in done.output
    assert run("current", "--db", location).output == f"{HEAD} (head)\n"
    if file_of(location) is None:
        assert backups(tmp_path) == [] and "copy" not in done.output
        return
    (copy,) = backups(tmp_path)
    assert f"a copy of the database as it was is in {copy}\n" in done.output
    assert re.fullmatch(r"store\.db\.backup-0001-\d{8}T\d{6}Z", copy.name)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("0001",)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_copy_that_cannot_be_made(tmp_path: Path) -> None:
    """Then nothing is changed, and it is said what is in the way."""
    name = "x" * 230
    at_revision(str(tmp_path / name), "0001")

    done = run("upgrade", "--db", str(tmp_path / name))

    assert done.exit_code == 1 and "cannot be written, and nothing was changed" in done.output
    assert run("current", "--db", str(tmp_path / name)).output == "0001 (not head)\n"


def test_not_beside_a_server(location: str, tmp_path: Path) -> None:
    """While one has the store neither an upgrade nor a repair is begun; looking is allowed."""
    Db.open(location).close()
    with exclusive(location):
        for arguments in (["upgrade"], ["check", "--repair"]):
            done = run(*arguments, "--db", location)
            assert done.exit_code == 1 and "in use by another chatserver" in done.output
        assert run("current", "--db", location).exit_code == 0
        assert run("check", "--db", location).exit_code == 0
    assert backups(tmp_path) == []


def test_figures_are_checked(location: str) -> None:
    """Differences are printed and are exit status 1; a repair prints and mends them."""
    db = Db.open(location)
    db.converse(planned("hello"))
    right = run("check", "--db", location)
    db.write(lambda c: c.execute(update(users).values(session_count=3)).rowcount)
    wrong = run("check", "--db", location)
    repaired = run("check", "--repair", "--db", location)
    again = run("check", "--db", location)
    total = db.read(sessions.count_sessions, "ada")
    db.close()

    line = "user ada: session_count is 3, stored rows come to 1\n"
    fine = "every figure is what the stored rows come to\n"
    assert (right.exit_code, right.output) == (0, fine)
    assert (wrong.exit_code, wrong.output) == (1, line)
    assert (repaired.exit_code, repaired.output) == (0, f"{line}mended\n")
    assert (again.exit_code, again.output, total) == (0, fine, 1)


@pytest.mark.parametrize("command", ["current", "check", "upgrade"])
@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (":memory:", "in memory is gone"),
        ("mysql://host/db", "must be a file's path"),
        ("postgresql://u:secret@127.0.0.1:1/x", "127.0.0.1:1/x cannot be used"),
        ("{tmp}", "director|no database"),
    ],
)
def test_what_is_in_the_way(tmp_path: Path, command: str, location: str, reason: str) -> None:
    """One sentence and click's exit status for a failure; no traceback and no password."""
    done = run(command, "--db", location.replace("{tmp}", str(tmp_path)))

    assert done.exit_code == 1 and re.search(reason, done.output)
    assert done.output.count("\n") == 1 and "secret" not in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["current"], ["check"], ["check", "--repair"]])
def test_a_file_that_is_not_there(tmp_path: Path, command: list[str]) -> None:
    """It is not made."""
    path = tmp_path / "none.db"
    done = run(*command, "--db", str(path))

    assert done.exit_code == 1 and f"there is no database {path}" in done.output
    assert not path.exists()


@pytest.mark.parametrize("command", [["check"], ["check", "--repair"]])
def test_an_older_store_is_not_checked(location: str, command: list[str]) -> None:
    """It says which command comes first."""
    at_revision(location, "0001")
    done = run(*command, "--db", location)

    assert done.exit_code == 1 and "run `chatserver db upgrade` first" in done.output


def test_the_default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --db it is the file that `chatserver serve` takes."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert run("upgrade").exit_code == 0
    assert (tmp_path / "chatserver" / "chatserver.db").exists()
    assert run("current").output == f"{HEAD} (head)\n"
