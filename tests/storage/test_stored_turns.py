"""Turns in the store: begun once at a time, finished, interrupted, counted."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy import select, update
from store_records import NOW, SECOND, USAGE, Db, ended, new_id, planned, said

from chatserver_sdk.models import Message, MessageRole, UsageInfo
from chatserver_sdk.models.events import (
    TextDelta,
    TurnCompleted,
    TurnStarted,
    decode_log,
    encode_log,
)
from chatserver_sdk.storage import (
    Conflict,
    NotFound,
    TurnOver,
    beginning,
    sessions,
    statistics,
    tables,
    turns,
)
from chatserver_sdk.storage.statistics import DayUsage


def rows(db: Db, table: Any) -> list[Any]:
    """Everything in a table."""
    return db.read(lambda connection: list(connection.execute(select(table))))


def transcript(db: Db, session_id: str) -> list[str]:
    """The texts of a session."""
    return [message.text for message in db.read(sessions.list_messages, session_id)]


def test_a_question_is_stored_when_its_turn_begins(db: Db) -> None:
    """Before any answer, the question is there and the turn runs."""
    plan = planned("hello", "there")

    begun = db.ask(plan)

    assert begun == turns.BegunTurn(said("hello", "there"), 2)
    assert transcript(db, plan.session.id) == ["hello", "there"]
    (turn,) = rows(db, tables.turns)
    assert (turn.id, turn.state, turn.ended_at) == (plan.turn_id, "running", None)
    assert (turn.principal_id, turn.model, turn.started_at) == ("p", "echo", NOW)


def test_a_turn_ends_with_its_answer(db: Db) -> None:
    """The answer stands behind the question, and the turn holds how it ended and its log."""
    plan = planned("hello")
    end = ended(plan, db.ask(plan), "good day", now=NOW + SECOND)

    db.write(turns.finish, end)

    answer = db.read(sessions.get_session, plan.session.id, "ada").messages[-1]
    assert (answer.text, answer.message_index, answer.tokens) == ("good day", 1, 4)
    assert answer.created_at == NOW + SECOND and answer.metadata == {"finish_reason": "stop"}
    (turn,) = rows(db, tables.turns)
    assert (turn.state, turn.finish_reason, turn.tokens_in, turn.tokens_out) == (
        "completed",
        "stop",
        3,
        4,
    )
    assert turn.ended_at == NOW + SECOND
    assert [row.events for row in rows(db, tables.turn_logs)] == [encode_log(end.log)]


def test_a_long_log_takes_little_more_room_than_its_text(db: Db) -> None:
    """What a turn said is stored with runs of text as one object, and can be read again."""
    plan = planned("hello")
    end = ended(plan, db.ask(plan))
    words = [TextDelta("word ", seq=seq, at=NOW) for seq in range(2, 1002)]
    end.log = [TurnStarted(seq=1, at=NOW), *words, TurnCompleted(seq=1002, at=NOW)]

    db.write(turns.finish, end)

    ((_, stored),) = rows(db, tables.turn_logs)
    assert [item["type"] for item in stored] == ["turn_started", "text_deltas", "turn_completed"]
    assert decode_log(stored) == end.log
    assert len(json.dumps(stored, separators=(",", ":"))) < 2 * sum(len(w.text) for w in words)


def test_what_is_settled_late_is_settled_once(db: Db) -> None:
    """An end that comes late counts for a turn that still runs, and for no other."""
    done, gone, lost = planned("done"), planned("gone"), planned("lost")
    late = [ended(plan, db.ask(plan), None, state="failed") for plan in (done, gone, lost)]
    db.write(turns.finish, ended(done, turns.BegunTurn([], 1)))
    late[1].turn_id = new_id()

    for _ in range(2):
        db.write(turns.finish_late, late)

    states = {turn.id: turn.state for turn in rows(db, tables.turns)}
    assert states == {done.turn_id: "completed", gone.turn_id: "running", lost.turn_id: "failed"}
    assert [day.requests for day in rows(db, tables.usage_days)] == [2]


def test_what_does_not_run_is_not_ended(db: Db) -> None:
    """The end of a turn that another process has closed is refused and writes nothing; those that
    end in the same moment are stored."""
    dead, alive = planned("dead"), [planned(f"alive {count}") for count in range(3)]
    late = ended(dead, db.ask(dead), "too late")
    db.write(turns.interrupt_running, NOW + SECOND)
    ends = [ended(plan, db.ask(plan)) for plan in alive]

    async def all_at_once() -> list[Any]:
        writing = [db.store.write(turns.finish, end) for end in (ends[0], late, *ends[1:], late)]
        return await asyncio.gather(*writing, return_exceptions=True)

    failures = [one for one in asyncio.run(all_at_once()) if one is not None]
    assert [type(one) for one in failures] == [TurnOver, TurnOver]
    states = {turn.id: (turn.state, turn.ended_at) for turn in rows(db, tables.turns)}
    assert states.pop(dead.turn_id) == ("interrupted", NOW + SECOND)
    assert [state for state, _ in states.values()] == ["completed"] * 3
    assert transcript(db, dead.session.id) == ["dead"]
    assert [day.requests for day in rows(db, tables.usage_days)] == [3]


def test_a_failed_turn_leaves_its_question(db: Db) -> None:
    """No answer, no gap: the next message takes the place behind the question."""
    plan = planned("first")
    failed = ended(plan, db.ask(plan), None, state="failed")
    failed.error_code, failed.error_message = "agent_failed", "the agent failed"
    db.write(turns.finish, failed)

    db.converse(planned("second", session_id=plan.session.id), "answer")

    detail = db.read(sessions.get_session, plan.session.id, "ada")
    assert [m.text for m in detail.messages] == ["first", "second", "answer"]
    assert [m.message_index for m in detail.messages] == [0, 1, 2]
    turn = rows(db, tables.turns)[0]
    assert (turn.state, turn.error_code) == ("failed", "agent_failed")
    assert turn.error_message == "the agent failed"


def test_another_users_session_is_not_found(db: Db) -> None:
    """Nobody continues a session that is not theirs, and trying changes nothing."""
    plan = planned("mine")
    db.converse(plan)
    before = db.read(sessions.get_session, plan.session.id, "ada")

    with pytest.raises(NotFound):
        db.ask(planned("yours", session_id=plan.session.id, user="bob"))

    assert db.read(sessions.get_session, plan.session.id, "ada") == before
    assert db.read(sessions.list_sessions, "bob", page=1, page_size=1) == ([], 0)


def test_one_turn_at_a_time(db: Db) -> None:
    """While a turn runs a second one is refused; when it has ended the next may begin."""
    plan = planned("one")
    begun = db.ask(plan)

    with pytest.raises(Conflict, match="still being given") as caught:
        db.ask(planned("two", session_id=plan.session.id))

    assert caught.value.code == "turn_in_progress"
    assert transcript(db, plan.session.id) == ["one"]
    db.ask(planned("elsewhere"))
    db.write(turns.finish, ended(plan, begun))
    db.ask(planned("two", session_id=plan.session.id))


def test_an_archived_session_takes_no_questions(db: Db) -> None:
    """What was put away is read only."""
    plan = planned("one")
    db.converse(plan)
    archive = update(tables.sessions).values(status="archived")
    db.write(lambda connection: connection.execute(archive).rowcount)

    with pytest.raises(Conflict) as caught:
        db.ask(planned("two", session_id=plan.session.id))

    assert caught.value.code == "session_archived"


def test_what_a_dead_process_left_is_interrupted(db: Db) -> None:
    """Turns that ran are marked, ended ones are left alone, and their sessions go on."""
    done, lost = planned("done"), planned("lost")
    db.converse(done)
    db.ask(lost)

    assert db.write(turns.interrupt_running, NOW + SECOND) == 1
    assert db.write(turns.interrupt_running, NOW + SECOND) == 0

    states = {turn.id: (turn.state, turn.ended_at) for turn in rows(db, tables.turns)}
    assert states[lost.turn_id] == ("interrupted", NOW + SECOND)
    assert states[done.turn_id] == ("completed", NOW)
    db.ask(planned("again", session_id=lost.session.id))


@pytest.mark.parametrize("size", range(1, 7))
def test_the_context_has_a_size(db: Db, size: int) -> None:
    """An agent sees the last messages, the new ones among them, and never more than its size."""
    plan = planned("a", "b")
    db.converse(plan, "c")

    begun = db.ask(planned("d", "e", session_id=plan.session.id, context_size=size))

    assert "".join(message.text for message in begun.context) == "abcde"[-size:]
    assert begun.next_index == 5


def conversation(turns_held: int) -> list[Message]:
    """Questions and answers that repeat themselves."""
    pair = [Message(MessageRole.USER, "x"), Message(MessageRole.ASSISTANT, "x")]
    return pair * turns_held


@pytest.mark.parametrize("size", [1, 2, 3, 4, 200])
@pytest.mark.parametrize("length", range(1, 8))
def test_the_rule_is_asked_with_the_whole_transcript_only(db: Db, size: int, length: int) -> None:
    """What is new never depends on the context's size: a part of the past is no transcript."""
    stored = conversation(3)
    plan = planned(sent=stored)
    db.converse(plan, None)
    asked = []

    def choose_new(known: Any, sent: Any) -> list[Message]:
        asked.append(list(known))
        return list(sent)

    again = conversation(4)[:length]
    following = planned(session_id=plan.session.id, sent=again, context_size=size)
    begun = db.write(turns.begin, following, choose_new)

    assert begun.next_index == len(stored) + length
    assert all(known == stored for known in asked)
    assert bool(asked) == (length >= len(stored))
    assert begun.context == [*stored, *again][-size:]


def test_nothing_new_is_a_question_too(db: Db) -> None:
    """An unanswered question that is asked again is stored once."""
    plan = planned("only")
    db.converse(plan, None)

    begun = db.write(
        turns.begin,
        planned("only", session_id=plan.session.id),
        lambda known, sent: [],
    )

    assert begun == turns.BegunTurn(said("only"), 1)
    assert transcript(db, plan.session.id) == ["only"]


def test_the_figures_of_days(db: Db) -> None:
    """Requests and tokens add up, by UTC days, whether a turn is stored or only counted."""
    midnight = datetime(2026, 3, 2, tzinfo=timezone.utc)
    elsewhere = midnight.astimezone(timezone(timedelta(hours=-11)))
    plan = planned("x")
    db.converse(plan, now=midnight - timedelta(microseconds=1))
    for now in (midnight, elsewhere):
        db.write(statistics.add_usage, DayUsage.of_turn(now, UsageInfo(10, 20, 30)))

    stats = db.read(statistics.platform_stats, midnight)
    day_before = db.read(statistics.platform_stats, midnight - timedelta(hours=1))

    assert (stats.total_requests, stats.requests_today, day_before.requests_today) == (3, 2, 1)
    assert (stats.total_tokens, stats.tokens_today) == (67, 60)
    assert day_before.tokens_today == USAGE.total_tokens
    assert len(rows(db, tables.turns)) == 1


def test_the_figures_of_people(db: Db) -> None:
    """Users, those of the last day, and organizations."""
    day = timedelta(days=1)
    db.converse(planned("x", user="old", now=NOW - day - SECOND, organization_id="acme"))
    db.converse(planned("x", user="just", now=NOW - day, organization_id="acme"))
    db.converse(planned("x", user="new", now=NOW, organization_id="other"))

    stats = db.read(statistics.platform_stats, NOW)

    assert (stats.total_users, stats.active_users, stats.total_organizations) == (3, 2, 2)


def test_an_empty_platform(db: Db) -> None:
    """Without a single request every figure is nought."""
    stats = db.read(statistics.platform_stats, NOW).to_dict()

    assert {value for value in stats.values() if isinstance(value, int)} == {0}


def test_the_index_holds_one_running_turn(db: Db) -> None:
    """A second process that looked too early is stopped by the database itself."""
    plan = planned("x")
    db.ask(plan)

    def sneak_in(connection: Any) -> None:
        row = beginning._turn_row(planned("y", session_id=plan.session.id))
        connection.execute(insert(tables.turns), row)

    with pytest.raises(Exception, match="(?i)unique constraint"):
        db.write(sneak_in)
    assert len(rows(db, tables.turns)) == 1
