"""What users have said is deleted: at once out of sight, then for good, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import func, select
from store_records import NOW, Db, new_id, planned

from chatserver_sdk.models import UserDeletion
from chatserver_sdk.storage import (
    NotFound,
    audit,
    deletion,
    idempotency,
    sessions,
    statistics,
    tables,
)
from chatserver_sdk.storage.idempotency import Claim, Key

CONTENT = ("messages", "turns", "turn_logs", "sessions", "idempotency_keys")


def counts(db: Db) -> dict[str, int]:
    """How many rows each table has that holds what people said."""

    def work(connection: Any) -> dict[str, int]:
        return {
            name: connection.scalar(select(func.count()).select_from(tables.metadata.tables[name]))
            for name in (*CONTENT, "users")
        }

    return db.read(work)


def kept_right(db: Db) -> bool:
    """Whether the kept counters are what counting gives."""

    def work(connection: Any) -> bool:
        count = func.count(tables.sessions.c.id)
        counted = (
            select(tables.users.c.id, tables.users.c.session_count, count)
            .outerjoin(tables.sessions, tables.sessions.c.user_id == tables.users.c.id)
            .group_by(tables.users.c.id)
        )
        return all(kept == real for _, kept, real in connection.execute(counted))

    return db.read(work)


def converse(db: Db, user: str, session_id: str, key: str | None = None) -> None:
    """A turn in a user's session, with an idempotency key if one is given."""
    plan = planned("what I said", user=user, session_id=session_id)
    if key is not None:
        plan.claim = Claim(Key("p", "completions", key, "h"))
    db.converse(plan)


def hide(db: Db, session_id: str, user: str = "ada") -> None:
    """Take a session out of sight."""
    db.write(deletion.hide_session, session_id, user, by="root@x", now=NOW)


def hide_user(db: Db, user: str = "ada") -> UserDeletion:
    """Take a user out of sight."""
    return db.write(deletion.hide_user, user, by="root@x", now=NOW)


def purge(db: Db, most: int = 500) -> int:
    """Delete all that is out of sight; how many steps that took."""
    steps = 1
    while db.write(deletion.purge, most):
        assert kept_right(db)
        steps += 1
    return steps


def test_a_session_goes_with_all_that_was_said_in_it(db: Db) -> None:
    """Its messages, turns, logs and keys; what others have stays as it is."""
    mine, other, theirs = new_id(), new_id(), new_id()
    for user, session_id, key in (("ada", other, "k1"), ("bob", theirs, "k2")):
        converse(db, user, session_id, key)
    before = counts(db)
    for key in ("k3", "k4"):
        converse(db, "ada", mine, key)

    hide(db, mine)
    hidden = db.read(sessions.list_sessions, "ada", page=1, page_size=9)
    steps = purge(db)

    assert [session.id for session in hidden[0]] == [other] and hidden[1] == 1
    assert counts(db) == before and kept_right(db) and steps == 2
    entry = db.read(audit.list_entries, limit=1)[0]
    assert (entry.action, entry.resource_id, entry.user_id) == ("session.deleted", mine, "root@x")
    assert entry.metadata == {"user_id": "ada", "messages": 4, "turns": 2}


def test_what_is_out_of_sight_is_nobodys(db: Db) -> None:
    """It is neither read nor continued while it is being deleted."""
    mine = new_id()
    converse(db, "ada", mine)
    stats = db.read(statistics.platform_stats, NOW)

    hide(db, mine)

    with pytest.raises(NotFound):
        db.read(sessions.get_session, mine, "ada")
    with pytest.raises(NotFound):
        db.ask(planned("more", session_id=mine))
    with pytest.raises(NotFound):
        hide(db, mine)
    with pytest.raises(NotFound):
        hide_user(db, deletion.NOBODY)
    hide_user(db)
    assert db.read(statistics.platform_stats, NOW).total_users == stats.total_users - 1 == 0


@pytest.mark.parametrize("user", ["bob", "", "ADA"])
def test_others_sessions_are_not_deleted(db: Db, user: str) -> None:
    """Refused, and nothing is written."""
    mine = new_id()
    converse(db, "ada", mine)
    before = counts(db)

    with pytest.raises(NotFound):
        hide(db, mine, user)

    assert counts(db) == before and db.read(audit.list_entries, limit=9) == []


def test_a_user_goes_with_everything(db: Db) -> None:
    """Sessions, what was said in them, and the user's own record."""
    converse(db, "bob", new_id(), "k0")
    before = counts(db)
    for number in range(5):
        converse(db, "ada", new_id(), f"k{number + 1}")

    deleted = hide_user(db)
    steps = purge(db, 3)

    assert deleted == UserDeletion("ada", 5, 10)
    assert counts(db) == before and kept_right(db) and steps > 3
    entry = db.read(audit.list_entries, limit=1)[0]
    assert (entry.action, entry.resource, entry.resource_id) == ("user.deleted", "user", "ada")
    assert entry.metadata == {"sessions": 5, "messages": 10}
    assert "what I said" not in str(entry)
    with pytest.raises(NotFound):
        hide_user(db)


def test_who_comes_back_begins_anew(db: Db) -> None:
    """A deleted user may be seen again, and a session's id may be used again."""
    mine = new_id()
    converse(db, "ada", mine)
    hide_user(db)
    purge(db)

    converse(db, "ada", mine)

    assert db.read(sessions.count_sessions, "ada") == 1
    assert len(db.read(sessions.get_session, mine, "ada").messages) == 2


def test_a_key_of_a_deleted_turn_is_free(db: Db) -> None:
    """What it stood for is gone, and so is the key."""
    mine, key = new_id(), Key("p", "completions", "k", "h")
    converse(db, "ada", mine, "k")
    assert db.read(idempotency.find, key, NOW) is not None

    hide(db, mine)
    purge(db)

    assert db.read(idempotency.find, key, NOW + timedelta(seconds=1)) is None


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    most=st.integers(1, 9),
    gone=st.sets(st.integers(0, 5)),
)
def test_any_histories_in_steps_of_any_size(sizes: list[int], most: int, gone: set[int]) -> None:
    """What is left is exactly what was not deleted, and no step deletes more than it may."""
    db = Db.open(":memory:")
    ids = [new_id() for _ in sizes]
    for session_id, size in zip(ids, sizes):
        for _ in range(size):
            converse(db, "ada", session_id)
    for place in gone & set(range(len(ids))):
        hide(db, ids[place])
    messages = counts(db)["messages"]
    while db.write(deletion.purge, most):
        left = counts(db)["messages"]
        assert messages - left <= most
        messages = left

    kept = [size for place, size in enumerate(sizes) if place not in gone]
    found = counts(db)
    right = kept_right(db)
    db.close()
    assert right and found["users"] == 1
    assert (found["sessions"], found["turns"], found["messages"]) == (
        len(kept),
        sum(kept),
        2 * sum(kept),
    )


def test_a_running_turn_does_not_keep_a_session(db: Db) -> None:
    """It goes like the others."""
    plan = planned("x")
    db.ask(plan)

    hide(db, plan.session.id)
    purge(db)

    assert {**counts(db), "users": 0} == dict.fromkeys((*CONTENT, "users"), 0)


@pytest.mark.parametrize(
    ("sizes", "steps"),
    [
        ([1, 1], [2]),
        ([5_000_000, 5_000_000, 1], [1, 2]),
        ([9_000_000, 9_000_000], [1, 1]),
        ([8_000_000], [1]),
        ([0] * 120, [50, 50, 20]),
    ],
)
def test_files_go_in_small_steps(db: Db, sizes: list[int], steps: list[int]) -> None:
    """Some megabytes at a time, or one file; their sessions go with the last of them."""
    ids = [new_id(), new_id()]
    for session_id in ids:
        converse(db, "ada", session_id)
    rows = [
        {
            "id": f"{place:036}",
            "session_id": ids[0],
            "filename": "f",
            "content_type": "text/plain",
            "size": size,
            "created_at": NOW,
            "content": b"",
        }
        for place, size in enumerate(sizes)
    ]
    db.write(lambda connection: connection.execute(tables.files.insert(), rows).rowcount)
    hide_user(db)

    left, gone = len(sizes), []
    counted = select(func.count()).select_from(tables.files)
    while db.write(deletion.purge, 500):
        before, left = left, db.read(lambda connection: connection.scalar(counted))
        gone.append(before - left)
        assert (left == 0) == (counts(db)["sessions"] == 0)
    assert gone == steps
