"""Long lists of a real server: nothing is lost or repeated, wherever something happens meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk import ChatServerClient
from chatserver_sdk.testing import RunningServer, running_server

# Small pages, so that there are many places between them.
PAGE = 3
BEFORE = 8
FILLED = range(1000, 1000 + BEFORE)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the store."""
    return tmp_path_factory.mktemp("paging") / "store.db"


@pytest.fixture(scope="module")
def server(db: Path) -> Iterator[RunningServer]:
    with running_server(db=str(db)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[ChatServerClient]:
    with server.client() as client:
        yield client


def run_sql(db: Path, *statements: str) -> None:
    """Change the store beside the server."""
    connection = sqlite3.connect(db, timeout=60)
    connection.executescript(";".join(statements))
    connection.close()


def open_session(client: ChatServerClient, user: str, session_id: str | None = None) -> str:
    answer = client.create_completion("echo", "Hello", user=user, session_id=session_id)
    return answer.system_fingerprint or ""


def delete_session(db: Path, session_id: str) -> None:
    of_turns = f"SELECT id FROM turns WHERE session_id = '{session_id}'"
    run_sql(
        db,
        f"DELETE FROM messages WHERE session_id = '{session_id}'",
        f"DELETE FROM turn_logs WHERE turn_id IN ({of_turns})",
        f"DELETE FROM turns WHERE session_id = '{session_id}'",
        f"DELETE FROM sessions WHERE id = '{session_id}'",
    )


@pytest.mark.parametrize("what", ["opened", "continued", "deleted"])
@pytest.mark.parametrize("place", range(BEFORE + 1))
def test_sessions_while_others_change(
    client: ChatServerClient, db: Path, what: str, place: int
) -> None:
    """Behind whichever item: all that were there and still are come once, latest opened first."""
    user = str(uuid4())
    sessions = [open_session(client, user) for _ in range(BEFORE)][::-1]
    listed = client.iter_sessions(user, extra_query={"page_size": PAGE})
    found = [session.id for session in islice(listed, place)]
    gone = set()
    if what == "opened":
        for _ in range(2 * PAGE):
            open_session(client, user)
    elif what == "continued":
        # Lists by time would have it in front now.
        open_session(client, user, sessions[-1])
        open_session(client, user, sessions[0])
    else:
        gone = {sessions[max(place - 1, 0)], sessions[-1]}
        for session_id in gone:
            delete_session(db, session_id)
    found += [session.id for session in listed]

    # What is deleted behind the page that we hold was shown, or is not there any more.
    assert len(found) == len(set(found))
    new = set(found) - set(sessions)
    assert not new or place == 0
    assert [session for session in found if session not in gone | new] == [
        session for session in sessions if session not in gone
    ]


def fill(db: Path, numbers: range) -> None:
    """Audit entries of an action of their own, written beside the server."""
    rows = ", ".join(f"({n}, {n * 10**6}, '{{}}', '', 'test.{n % 2}', 'ada')" for n in numbers)
    columns = "seq, timestamp, metadata, hash, action, user_id"
    run_sql(db, f"INSERT INTO audit_entries ({columns}) VALUES {rows}")


@given(
    place=st.integers(0, BEFORE),
    arriving=st.integers(0, 3 * PAGE),
    deleted=st.sets(st.sampled_from(FILLED)),
    limit=st.integers(1, BEFORE + 1),
)
def test_the_log_while_it_changes(
    client: ChatServerClient,
    db: Path,
    place: int,
    arriving: int,
    deleted: set[int],
    limit: int,
) -> None:
    """Whatever is written or deleted behind whichever entry: the others come once, in order."""
    run_sql(db, "DELETE FROM audit_entries WHERE seq >= 1000")
    fill(db, FILLED)
    listed = client.iter_audit_log(action="test.*", extra_query={"limit": limit})
    found = [int(entry.id) for entry in islice(listed, place)]
    if arriving:
        fill(db, range(2000, 2000 + arriving))
    chosen = ", ".join(str(number) for number in deleted)
    run_sql(db, f"DELETE FROM audit_entries WHERE seq IN ({chosen})")
    found += [int(entry.id) for entry in listed]

    assert found == sorted(set(found), reverse=True)
    assert place == 0 or max(found) < 2000
    assert set(FILLED) - deleted <= set(found)


def test_filters_of_the_log(client: ChatServerClient, db: Path) -> None:
    """The server picks, and what is picked here agrees with it."""
    run_sql(db, "DELETE FROM audit_entries WHERE seq >= 1000")
    fill(db, FILLED)

    def found(**filters: str) -> list[int]:
        return [int(entry.id) for entry in client.iter_audit_log(**filters)]  # type: ignore[arg-type]

    newest_first = list(FILLED)[::-1]
    assert found(user_id="ada") == found(action="test.*") == newest_first
    assert found(action="test.1") == [number for number in newest_first if number % 2]
    assert found(action="test.?") == found(action="test.[01]") == []
    window = {"since": "1970-01-01T00:16:42", "until": "1970-01-01T01:16:44+01:00"}
    assert found(**window) == [1003, 1002]
    assert found(since="1970-01-01T00:16:42Z", user_id="bob") == []
    assert all(entry.action == "key.created" for entry in client.iter_audit_log(action="key.*"))


def test_more_than_the_longest_page(client: ChatServerClient, db: Path) -> None:
    """Nobody has to say how long a page is."""
    run_sql(db, "DELETE FROM audit_entries WHERE seq >= 1000")
    fill(db, range(1000, 1555))

    listed = [int(entry.id) for entry in client.iter_audit_log(user_id="ada")]
    assert listed == list(range(1554, 999, -1))
