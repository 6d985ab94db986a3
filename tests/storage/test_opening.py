"""Opening a store: where it may be, what is in the way, who may read it, what survives."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.schema import DropTable
from store_records import Db, new_id, planned

from chatserver_sdk.storage import StoreUnavailable, open_store, sessions, tables


def refusal(location: str) -> str:
    """The sentence that opening a store is refused with."""
    with pytest.raises(StoreUnavailable) as caught:
        open_store(location)
    return str(caught.value)


def count(path: Path) -> int:
    """How many sessions a file holds, read without our code."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])
    finally:
        connection.close()


def test_a_store_survives_being_closed(location: str) -> None:
    """What was written is there when the file is opened again, and closing twice is harmless."""
    plan = planned("hello", metadata={"ü": "🙂"})
    first = Db.open(location)
    first.converse(plan, "good day")
    before = first.read(sessions.get_session, plan.session.id, "ada")
    first.close()
    first.close()

    again = Db.open(location)
    after = again.read(sessions.get_session, plan.session.id, "ada")
    again.close()

    assert after == before and [message.text for message in after.messages] == ["hello", "good day"]


def test_stores_in_memory_are_apart() -> None:
    """Each is its own and leaves no file behind."""
    before = set(os.listdir())
    dbs = [Db.open(":memory:") for _ in range(3)]
    dbs[0].converse(planned("hello"))
    dbs[2].converse(planned("hello"))

    totals = [db.read(sessions.list_sessions, "ada", page=1, page_size=1)[1] for db in dbs]
    for db in dbs:
        db.close()

    assert totals == [1, 0, 1]
    assert set(os.listdir()) == before


def test_two_stores_on_one_database(location: str) -> None:
    """What one process commits, another one reads, and both may write."""
    one, other = (Db.open(location) for _ in range(2))
    plan = planned("hello")
    one.converse(plan)
    other.converse(planned("again", session_id=plan.session.id))

    found = one.read(sessions.get_session, plan.session.id, "ada")
    one.close()
    other.close()

    assert [message.text for message in found.messages] == ["hello", "yes", "again", "yes"]


OPENER = """
import sys
from chatserver_sdk.storage import open_store
print("ready", flush=True)
sys.stdin.readline()
open_store(sys.argv[1]).close()
"""


def test_processes_that_make_one_store(location: str) -> None:
    """Started at the same moment on a database without tables, each of them gets the store."""
    command = [sys.executable, "-c", OPENER, location]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(4)]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait() for process in processes] == [0] * 4

    db = Db.open(location)
    assert db.read(sessions.count_sessions, "ada") == 0
    db.close()


def test_a_store_that_is_locked_is_waited_for(tmp_path: Path) -> None:
    """While another process writes to a file that is no store yet, opening it takes longer."""
    path = tmp_path / "store.db"
    opened: list[Db] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN IMMEDIATE")
        opening = threading.Thread(target=lambda: opened.append(Db.open(str(path))))
        opening.start()
        # Until both connections have the file open: the second one has met the lock.
        while sum(link == str(path) for link in open_files()) < 2:
            opening.join(0.01)
        opening.join(0.1)
        other.execute("COMMIT")
        opening.join()

    opened[0].converse(planned("hello"))
    opened[0].close()
    assert count(path) == 1


def open_files() -> list[str]:
    """The paths that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


def test_a_pipe_is_no_store(tmp_path: Path) -> None:
    """What can be opened and not be read is refused with SQLite's reason."""
    os.mkfifo(tmp_path / "pipe")

    assert "disk I/O error" in refusal(str(tmp_path / "pipe"))


ODD_NAMES = ["plain.db", "with blank.db", "100%41.db", "q?x=1.db", "a#b.db", "ü🙂.db", "a:b@c.db"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_is_taken_as_it_stands(tmp_path: Path, name: str) -> None:
    """Whatever characters a file's name has, that file is the store, and only that one."""
    db = Db.open(str(tmp_path / "new" / name))
    db.converse(planned("hello"))
    db.close()

    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]
    assert count(tmp_path / "new" / name) == 1


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_url_is_a_location_too(tmp_path: Path, scheme: str) -> None:
    """SQLAlchemy's way to write a file's path."""
    db = Db.open(f"{scheme}:///{tmp_path}/store.db")
    db.converse(planned("hello"))
    db.close()

    assert count(tmp_path / "store.db") == 1


def test_relative_paths_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path counts from the working directory, a tilde is the user's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for location in ("a.db", "sqlite:///b.db", "~/c.db"):
        open_store(location).close()

    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.db")}
    assert found == {"a.db", "b.db", "home/c.db"}


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """The database, what SQLite writes beside it and a new directory: nobody else reads them."""
    db = Db.open(str(tmp_path / "new" / "store.db"))
    db.converse(planned("hello"))
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [tmp_path / "new", *(tmp_path / "new").iterdir()]
    }
    db.close()

    assert modes == {
        "new": 0o700,
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
    }


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("{tmp}", "directory"),
        ("{tmp}/file/x.db", "Not a directory"),
        ("{tmp}/file", "not a database"),
        ("/proc/chatserver/x.db", "/proc/chatserver/x.db cannot be opened"),
        ("{tmp}/" + "x" * 300, "too long"),
        ("", "directory"),
        ("a\0b", "null"),
        ("~nobody-of-this-name/x.db", "home directory"),
        ("postgresql+asyncpg://user:secret@host/db", "file's path"),
        ("postgresql://user:secret@127.0.0.1:1/db", "127.0.0.1:1/db cannot be used: .*refused"),
        ("postgresql://user:a@secret@host/db", "%40"),
        ("postgresql://user:secret@127.0.0.1:1/", "names no database"),
        ("postgresql://user:x@127.0.0.1:1/db?password=secret&x=y", 'option "x"'),
        ("mysql://host/db", "file's path"),
        ("sqlite+aiosqlite:///{tmp}/x.db", "file's path"),
        ("sqlite:///{tmp}/x.db?mode=ro", "file's path"),
        ("sqlite:///file:x?mode=memory&uri=true", "file's path"),
        ("sqlite://host/x.db", "file's path"),
        ("sqlite://", "file's path"),
        ("sqlite:///", "file's path"),
        ("sqlite:///:memory:", "file's path"),
        ("nonsense://x", "file's path"),
        ("://", "cannot be read"),
        ("sqlite://host:port/x", "cannot be read"),
    ],
)
def test_what_is_in_the_way_is_said(tmp_path: Path, location: str, reason: str) -> None:
    """A place that cannot hold a store is refused with a sentence, and nothing is left there."""
    (tmp_path / "file").write_bytes(b"this is not SQLite's format\n" * 200)

    said = refusal(location.replace("{tmp}", str(tmp_path)))

    assert re.search(reason, said) and "\n" not in said and "secret" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"this is not SQLite's format\n" * 200


def test_a_table_that_is_gone(location: str) -> None:
    """A database that breaks under a running store is StoreUnavailable, for both ways in."""
    db, other = Db.open(location), Db.open(location)
    other.write(lambda connection: connection.execute(DropTable(tables.messages)).rowcount)
    other.close()

    with pytest.raises(StoreUnavailable, match="no such table|does not exist"):
        db.read(sessions.list_messages, new_id())
    with pytest.raises(StoreUnavailable, match="no such table|does not exist"):
        db.ask(planned("hello"))
    db.close()


def test_a_closed_store_says_so(db: Db) -> None:
    """Neither way in hangs or fails with somebody else's exception."""
    db.close()

    for call in (db.read, db.write):
        with pytest.raises(StoreUnavailable, match="closed"):
            call(sessions.list_messages, new_id())


def test_reads_do_not_wait_for_writes(location: str) -> None:
    """While a transaction is open, readers see what was committed before."""
    db = Db.open(location)
    plan = planned("before")
    db.converse(plan)

    async def look() -> list[str]:
        looked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(connection: Any) -> None:
            connection.execute(tables.messages.delete())
            asyncio.run_coroutine_threadsafe(looked.wait(), loop).result()

        writing = asyncio.ensure_future(db.store.write(slow))
        found = await db.store.read(sessions.list_messages, plan.session.id)
        looked.set()
        await writing
        return [message.text for message in found]

    assert asyncio.run(look()) == ["before", "yes"]
    assert db.read(sessions.list_messages, plan.session.id) == []
    db.close()
