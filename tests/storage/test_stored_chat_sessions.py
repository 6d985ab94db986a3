"""Sessions as things of their own, and their files, in the store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from store_records import NOW, Db, new_id, planned

from chatserver_sdk.models import ChatSession, SessionStatus
from chatserver_sdk.storage import Conflict, NotFound, chat_sessions, deletion, files, turns
from chatserver_sdk.storage.files import NewFile
from chatserver_sdk.storage.idempotency import Key
from chatserver_sdk.storage.tables import messages, turn_logs, users
from chatserver_sdk.storage.tables import turns as turn_table


def session(place: int = 0, user_id: str = "ada") -> ChatSession:
    """A new session, opened so many seconds later."""
    at = NOW + timedelta(seconds=place)
    return ChatSession(new_id(), user_id, at, at, model="echo", agent_type="echo")


def file(session_id: str, content: bytes = b"x") -> NewFile:
    """A new file."""
    return NewFile(new_id(), session_id, "a.txt", "text/plain", content, NOW)


def test_a_session_is_stored(db: Db) -> None:
    """All that is known of it."""
    new = session()
    assert db.write(chat_sessions.open_session, new) == (201, new.to_dict())
    assert db.read(chat_sessions.find, new.id) == new
    assert db.read(chat_sessions.find, new_id()) is None


def test_a_key_opens_one(db: Db) -> None:
    """However often it is sent."""
    key = Key("p", "sessions", "k", "hash")
    first = db.write(chat_sessions.open_session, session(), key)
    assert db.write(chat_sessions.open_session, session(), key) == first


def test_lists(db: Db) -> None:
    """The latest first, behind a place, of one status."""
    made = [session(place) for place in range(4)]
    for one in [*made, session(9, "bob")]:
        db.write(chat_sessions.open_session, one)
    db.write(chat_sessions.change, made[2].id, {"status": "archived"})

    def ids(behind: Any = None, **options: Any) -> list[str]:
        found = db.read(chat_sessions.list_from, "ada", behind, **{"most": 9, **options})
        return [one.id for one in found]

    assert ids() == [one.id for one in made[::-1]]
    assert ids((made[2].created_at, made[2].id), most=1) == [made[1].id]
    assert ids(status="archived") == [made[2].id]
    found = db.read(chat_sessions.find, made[2].id)
    assert found is not None and found.archived and found.status is SessionStatus.ARCHIVED


def test_a_session_is_deleted(db: Db) -> None:
    """With everything that belongs to it, and nothing of another's."""
    kept, gone = session(), session()
    for one in (kept, gone):
        db.write(chat_sessions.open_session, one)
        db.converse(planned("q", session_id=one.id))
        db.write(files.insert_file, file(one.id), 9)

    db.write(deletion.hide_session, gone.id, gone.user_id, by="root@x", now=NOW)
    assert db.read(chat_sessions.find, gone.id) is None
    while db.write(deletion.purge, 10):
        continue

    for table in (messages, turn_table, turn_logs):
        count = db.read(lambda c: c.scalar(select(func.count()).select_from(table)))
        assert count == (2 if table is messages else 1)
    assert db.read(files.list_files, gone.id) == []
    assert len(db.read(files.list_files, kept.id)) == 1
    assert db.read(lambda c: c.scalar(select(users.c.session_count))) == 1
    with pytest.raises(NotFound):
        db.write(chat_sessions.change, gone.id, {"title": "t"})


@pytest.mark.parametrize("status", ["archived", "completed"])
def test_a_session_that_has_ended(db: Db, status: str) -> None:
    """It takes no turn."""
    new = session()
    db.write(chat_sessions.open_session, new)
    db.write(chat_sessions.change, new.id, {"status": status})
    with pytest.raises(Conflict) as caught:
        db.ask(planned("q", session_id=new.id))
    assert caught.value.code == f"session_{status}"


def test_a_session_that_must_be_there(db: Db) -> None:
    """Where it is gone meanwhile nothing is opened in its place."""
    wanted = planned("q")
    wanted.opens = False
    with pytest.raises(NotFound):
        db.ask(wanted)


def test_the_last_turn(db: Db) -> None:
    """The one that began last."""
    new = session()
    db.write(chat_sessions.open_session, new)
    assert db.read(turns.find_last, new.id) is None
    first = planned("q", session_id=new.id)
    db.converse(first)
    assert db.read(turns.find_last, new.id) == first.turn_id


def test_files(db: Db) -> None:
    """Kept, listed, read, chosen in any order, deleted."""
    new = session()
    db.write(chat_sessions.open_session, new)
    one, two = file(new.id, b"\0\xff"), file(new.id, b"two")
    for kept in (one, two):
        status, info = db.write(files.insert_file, kept, 2)
        assert (status, info["size"]) == (201, len(kept.content))
    found = db.read(files.get_files, new.id, [two.file_id, one.file_id, two.file_id])
    assert [info.file_id for info in found] == [two.file_id, one.file_id, two.file_id]
    info, content = db.read(files.read_file, new.id, one.file_id)
    assert (info.created_at, content) == (NOW, b"\0\xff")
    with pytest.raises(Conflict):
        db.write(files.insert_file, file(new.id), 2)
    db.write(files.delete_file, new.id, one.file_id)
    for verb in (files.read_file, files.delete_file):
        with pytest.raises(NotFound):
            db.write(verb, new.id, one.file_id)
    with pytest.raises(NotFound):
        db.read(files.get_files, new.id, [two.file_id, one.file_id])
    with pytest.raises(NotFound):
        db.write(files.insert_file, file(new_id()), 2)
