"""The figures that are kept are those that the rows come to; where not, it is said and mended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, update
from store_records import NOW, Db, ended, planned

from chatserver_sdk.models import UsageInfo
from chatserver_sdk.storage import check, statistics, turns
from chatserver_sdk.storage.check import Difference
from chatserver_sdk.storage.statistics import DayUsage
from chatserver_sdk.storage.tables import (
    day_of,
    messages,
    organizations,
    sessions,
    turn_logs,
    usage_days,
    users,
)

DAY = NOW.date().isoformat()


def change(db: Db, statement: Any) -> None:
    """Make a store's rows other than its verbs would."""
    db.write(lambda connection: connection.execute(statement).rowcount)


def unstored(now: Any = NOW) -> DayUsage:
    """What a turn that is nobody's history has cost."""
    return DayUsage.of_turn(now, UsageInfo(5, 6, 11))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from("yfiru")), max_size=9
    )
)
def test_what_the_verbs_keep_is_right(db: Db, steps: list[tuple[str, int, str]]) -> None:
    """Turns that are answered, fail, run, are interrupted or are not stored: nothing differs."""
    known: dict[tuple[str, int], str] = {}
    for user, number, end in steps:
        plan = planned("x", "y", user=user, session_id=known.get((user, number)))
        plan.session.organization_id = f"org {number}"
        known[user, number] = plan.session.id
        begun = db.ask(plan)
        if end == "y":
            db.write(turns.finish, ended(plan, begun))
        elif end == "f":
            db.write(turns.finish, ended(plan, begun, None, state="failed"))
        elif end == "u":
            db.write(statistics.add_usage, unstored(NOW + timedelta(days=number)))
        # Whatever is left running, as a restart would.
        db.write(turns.interrupt_running, NOW)
    assert db.read(check.find) == []


def test_a_database_without_rows(db: Db) -> None:
    """Nothing differs, and nothing is there to be mended."""
    assert db.read(check.find) == []
    db.write(check.mend)
    assert db.read(check.find) == []


@pytest.fixture
def talked(db: Db) -> tuple[Db, str]:
    """A store with one session, and the session's id."""
    plan = planned("hello", organization_id="acme")
    db.converse(plan)
    db.converse(planned("x", user="bob"))
    db.write(statistics.add_usage, unstored())
    return db, plan.session.id


WRONG: dict[str, tuple[Any, list[tuple[str, str, int, int, bool]]]] = {
    "sessions": (
        update(users).where(users.c.id == "ada").values(session_count=7),
        [("user ada", "session_count", 7, 1, False)],
    ),
    "messages": (
        update(sessions).where(sessions.c.user_id == "ada").values(message_count=0),
        [("session {id}", "message_count", 0, 2, False)],
    ),
    "tokens": (
        update(sessions)
        .where(sessions.c.user_id == "ada")
        .values(tokens_in=1, tokens_out=2**40, message_count=3),
        [
            ("session {id}", "message_count", 3, 2, False),
            ("session {id}", "tokens_in", 1, 3, False),
            ("session {id}", "tokens_out", 2**40, 4, False),
        ],
    ),
    "days": (
        update(usage_days).values(requests=1, tokens_out=0),
        [(f"day {DAY}", "requests", 1, 2, True), (f"day {DAY}", "tokens_out", 0, 8, True)],
    ),
    "no day": (
        delete(usage_days),
        [
            (f"day {DAY}", "known", 0, 1, False),
        ],
    ),
    "organizations": (
        delete(organizations),
        [("organization acme", "known", 0, 1, False)],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_and_mended(talked: tuple[Db, str], what: str) -> None:
    """Each difference with its record, its column and both values; afterwards there is none."""
    db, session_id = talked
    statement, expected = WRONG[what]
    change(db, statement)

    found = db.read(check.find)
    assert found == [
        Difference(record.replace("{id}", session_id), *rest) for record, *rest in expected
    ]
    assert all(str(one).startswith(f"{one.record}: {one.column} is {one.kept}") for one in found)

    db.write(check.mend)
    assert db.read(check.find) == []
    db.converse(planned("again", organization_id="acme"))
    assert db.read(check.find) == []


def test_a_user_without_sessions(talked: tuple[Db, str]) -> None:
    """Rows that are gone count as none."""
    db, session_id = talked

    def empty(connection: Connection) -> None:
        connection.execute(delete(messages))
        connection.execute(delete(turn_logs))
        connection.execute(delete(turns.turns))
        connection.execute(delete(sessions))

    db.write(empty)
    assert {str(one) for one in db.read(check.find)} == {
        "user ada: session_count is 1, stored rows come to 0",
        "user bob: session_count is 1, stored rows come to 0",
    }
    # A day keeps what was asked on it.
    assert db.read(lambda c: day_figures(c)) == (day_of(NOW), 3)


def day_figures(connection: Connection) -> tuple[int, int]:
    """The day that there is, and its requests."""
    row = connection.execute(usage_days.select()).one()
    return row.day, row.requests


def test_days_are_never_too_large(talked: tuple[Db, str]) -> None:
    """Turns that are not stored count too, so more than the stored ones is right."""
    db, _ = talked
    change(db, update(usage_days).values(requests=1000, tokens_in=10**6))
    assert db.read(check.find) == []


def test_so_many_at_most(db: Db) -> None:
    """A list of differences has an end; a repair has not."""
    for number in range(5):
        db.converse(planned("x", user=f"user {number}"))
    change(db, update(users).values(session_count=9))

    assert len(db.read(check.find, 3)) == 3 and len(db.read(check.find)) == 5
    db.write(check.mend)
    assert db.read(check.find) == []
