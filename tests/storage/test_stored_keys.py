"""Idempotency keys in the store: taken once, with what they stand for, for a day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from store_records import NOW, SECOND, Db, ended, new_id, planned

from chatserver_sdk.models import Message
from chatserver_sdk.storage import Conflict, idempotency, sessions, tables, turns
from chatserver_sdk.storage.idempotency import KEPT, Claim, Key, KeyTaken, Taken

KEY = Key("p", "completions", "k", "h")


def count(db: Db, table: Any) -> int:
    """How many rows a table has."""
    return len(db.read(lambda connection: connection.execute(table.select()).all()))


def test_a_key_stands_for_its_turn(db: Db) -> None:
    """From the transaction of the question on; whoever sends it again is told which turn it is."""
    plan = planned("hello")
    plan.claim = Claim(KEY)
    db.ask(plan)
    second = planned("hello")
    second.claim = Claim(KEY)

    with pytest.raises(KeyTaken) as caught:
        db.ask(second)

    assert caught.value.earlier == Taken("h", plan.turn_id)
    assert db.read(idempotency.find, KEY, NOW) == Taken("h", plan.turn_id)
    assert count(db, tables.turns) == 1 and count(db, tables.messages) == 1


@pytest.mark.parametrize(
    "other",
    [replace(KEY, principal_id="q"), replace(KEY, route="admins"), replace(KEY, text="K")],
    ids=["principal", "route", "key"],
)
def test_keys_of_others(db: Db, other: Key) -> None:
    """The same text is another key elsewhere, and from somebody else."""
    db.write(idempotency.take, KEY, NOW, turn_id="t")

    assert db.read(idempotency.find, other, NOW) is None
    db.write(idempotency.take, other, NOW, turn_id="u")
    assert db.read(idempotency.find, KEY, NOW) == Taken("h", "t")


def test_a_refused_turn_takes_no_key(db: Db) -> None:
    """While another answer is given in the session, the key stays free."""
    first = planned("one")
    db.ask(first)
    busy = planned("two", session_id=first.session.id)
    busy.claim = Claim(KEY)

    with pytest.raises(Conflict, match="still being given"):
        db.ask(busy)

    assert db.read(idempotency.find, KEY, NOW) is None


def test_a_key_is_kept_for_a_day(db: Db) -> None:
    """Then it is free, whether or not it was deleted, and can stand for something else."""
    db.write(idempotency.take, KEY, NOW, turn_id="t")

    assert db.read(idempotency.find, KEY, NOW + KEPT - SECOND) is not None
    assert db.read(idempotency.find, KEY, NOW + KEPT) is None
    later = planned("hello", now=NOW + KEPT)
    later.claim = Claim(KEY)
    db.ask(later)
    assert db.read(idempotency.find, KEY, NOW + KEPT) == Taken("h", later.turn_id)


def test_old_keys_are_deleted_in_batches(db: Db) -> None:
    """The oldest first, so many at once, by an index; the others stay."""
    keys = [replace(KEY, text=str(number)) for number in range(7)]
    for number, key in enumerate(keys):
        db.write(idempotency.take, key, NOW + number * SECOND, turn_id="t")
    now = NOW + KEPT + 4 * SECOND

    deleted = [db.write(idempotency.delete_expired, now, 3) for _ in range(3)]

    assert deleted == [3, 2, 0]
    found = [db.read(idempotency.find, key, NOW) is not None for key in keys]
    assert found == [False] * 5 + [True] * 2


def test_old_keys_are_found_by_an_index(sqlite_db: Db) -> None:
    """The table is never read from end to end."""
    statement = (
        "EXPLAIN QUERY PLAN DELETE FROM idempotency_keys WHERE (principal_id, route, key) IN"
        " (SELECT principal_id, route, key FROM idempotency_keys WHERE created_at <= 1"
        " ORDER BY created_at LIMIT 9)"
    )
    lines = sqlite_db.read(
        lambda connection: [row[3] for row in connection.execute(text(statement))]
    )

    assert lines and not [line for line in lines if line.startswith("SCAN idempotency_keys")]


def failed(db: Db, *texts: str, session_id: str | None = None) -> turns.TurnPlan:
    """A turn that took the key and failed."""
    plan = planned(*texts, session_id=session_id)
    plan.claim = Claim(KEY)
    db.converse(plan, None, state="failed")
    return plan


def asked_again(db: Db, plan: turns.TurnPlan, *texts: str) -> tuple[str, list[str]]:
    """The turn that asks a failed one's question again, and what its agent sees."""
    second = planned(*texts, session_id=plan.session.id)
    second.claim = Claim(KEY, plan.turn_id, repeats=True)
    begun = db.ask(second)
    db.write(turns.finish, ended(second, begun))
    return second.turn_id, [message.text for message in begun.context]


def history(db: Db, session_id: str) -> list[str]:
    """What is stored of a session."""
    return [message.text for message in db.read(sessions.list_messages, session_id)]


def test_a_question_is_asked_again(db: Db) -> None:
    """It is not stored a second time, belongs to the new turn, and has its answer behind it."""
    plan = failed(db, "one", "two")

    turn_id, seen = asked_again(db, plan, "one", "two")

    assert seen == ["one", "two"] and history(db, plan.session.id) == ["one", "two", "yes"]
    assert db.read(idempotency.find, KEY, NOW) == Taken("h", turn_id)
    rows = db.read(lambda c: c.execute(tables.messages.select()).all())
    assert {row.turn_id for row in rows} == {turn_id}
    assert [row.message_index for row in rows] == [0, 1, 2]


def test_a_question_is_asked_again_and_again(db: Db) -> None:
    """However often it fails, it stands in the history once."""
    plan = failed(db, "one")
    for _ in range(3):
        second = planned("one", session_id=plan.session.id)
        second.claim = Claim(KEY, plan.turn_id, repeats=True)
        db.converse(second, None, state="failed")
        plan = second

    _, seen = asked_again(db, plan, "one")

    assert seen == ["one"] and history(db, plan.session.id) == ["one", "yes"]


def test_something_was_said_in_between(db: Db) -> None:
    """The agent sees the question that is asked again last; the history stays as it is."""
    plan = failed(db, "one")
    db.converse(planned("other", session_id=plan.session.id), "answer")

    _, seen = asked_again(db, plan, "one")

    assert seen == ["other", "answer", "one"]
    assert history(db, plan.session.id) == ["one", "other", "answer", "yes"]


def test_another_request_with_a_freed_key(db: Db) -> None:
    """It is a new question, and the key is its own from then on."""
    plan = failed(db, "one")
    second = planned("two")
    second.claim = Claim(replace(KEY, body_hash="i"), plan.turn_id)
    db.converse(second)

    assert history(db, plan.session.id) == ["one"]
    assert history(db, second.session.id) == ["two", "yes"]
    assert db.read(idempotency.find, KEY, NOW) == Taken("i", second.turn_id)


def test_who_is_late_does_not_get_a_freed_key(db: Db) -> None:
    """Of two who repeat a failed turn, the second is told of the first one's."""
    plan = failed(db, "one")
    turn_id, _ = asked_again(db, plan, "one")

    with pytest.raises(KeyTaken) as caught:
        asked_again(db, plan, "one")

    assert caught.value.earlier.turn_id == turn_id


def test_answers_are_stored_with_their_key(db: Db) -> None:
    """The work is done once; what it refuses leaves the key free; another body is a conflict."""
    done: list[int] = []

    def work(connection: Any) -> tuple[int, dict[str, Any]]:
        done.append(1)
        return 201, {"n": len(done), "text": "ü"}

    def refuse(connection: Any) -> Any:
        raise Conflict("no", "no")

    with pytest.raises(Conflict, match="no"):
        db.write(idempotency.answer_once, KEY, NOW, refuse)
    answers = [db.write(idempotency.answer_once, KEY, NOW, work) for _ in range(3)]
    with pytest.raises(Conflict) as caught:
        db.write(idempotency.answer_once, replace(KEY, body_hash="i"), NOW, work)

    assert answers == [(201, {"n": 1, "text": "ü"})] * 3 and done == [1]
    assert caught.value.code == "idempotency_key_reused"


def test_a_deleted_turns_key(db: Db) -> None:
    """A turn may be deleted while its key is kept."""
    plan = failed(db, "one")
    for statement in ("messages", "turn_logs", "turns"):
        db.write(lambda c: c.execute(text(f"DELETE FROM {statement}")).rowcount)

    assert db.read(idempotency.find, KEY, NOW) == Taken("h", plan.turn_id)
    assert db.read(turns.find_turn, plan.turn_id) is None
    assert db.read(turns.read_log, new_id()) == []


def test_messages_keep_their_parts(db: Db) -> None:
    """What the agent sees of a repeated question is the message itself."""
    sent = [Message.from_dict({"role": "tool", "content": "42", "tool_call_id": "c1"})]
    plan = planned(sent=sent)
    plan.claim = Claim(KEY)
    db.converse(plan, None, state="failed")
    second = planned(sent=sent, session_id=plan.session.id)
    second.claim = Claim(KEY, plan.turn_id, repeats=True)

    assert db.ask(second).context == sent
