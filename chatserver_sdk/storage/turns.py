"""Verbs on turns: a question is stored before its agent runs, an answer before its end is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, bindparam, func, insert, select, update

from chatserver_sdk.models import ChatMessageRecord, ChatSessionSummary, Message, UsageInfo
from chatserver_sdk.models.events import Event, decode_log, encode_log

from . import idempotency
from . import sessions as session_verbs
from .errors import Conflict, NotFound
from .idempotency import Claim
from .prepared import Prepared
from .tables import Timestamp, day_of, messages, sessions, turn_logs, turns, usage_days

ChooseNew = Callable[[Sequence[Message], Sequence[Message]], list[Message]]


@dataclass
class TurnPlan:
    """A turn that is about to begin. `context_size`: how many messages the agent may see.
    `claim`: the idempotency key that is to stand for it."""

    turn_id: str
    session: ChatSessionSummary
    principal_id: str
    sent: Sequence[Message]
    context_size: int
    now: datetime
    claim: Claim | None = None


@dataclass
class BegunTurn:
    """What the agent is to see, and where the answer's place in the session is."""

    context: list[Message]
    next_index: int


@dataclass
class TurnEnd:
    """How a turn ended. session_id None: a turn that is not stored, only counted.

    log: what it said; it is encoded by the thread that writes it.
    """

    turn_id: str
    session_id: str | None
    state: str
    now: datetime
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: UsageInfo = field(default_factory=UsageInfo)
    answer: ChatMessageRecord | None = None
    log: Sequence[Event] = ()


@dataclass(frozen=True)
class StoredTurn:
    """What is known of a turn, its log aside."""

    id: str
    session_id: str
    user_id: str
    principal_id: str
    model: str
    state: str
    started_at: datetime


# What the end of a turn sets on its line.
_ENDS = (
    "state",
    "finish_reason",
    "error_code",
    "error_message",
    "tokens_in",
    "tokens_out",
    "ended_at",
)
_TURN = (
    select(
        turns.c.id,
        turns.c.session_id,
        sessions.c.user_id,
        turns.c.principal_id,
        turns.c.model,
        turns.c.state,
        turns.c.started_at,
    )
    .join(sessions, sessions.c.id == turns.c.session_id)
    .where(turns.c.id == bindparam("turn_id"))
)


_RUNNING = Prepared(
    select(turns.c.id).where(
        turns.c.session_id == bindparam("asked_id"), turns.c.state == "running"
    )
)
_ASKED = Prepared(
    update(sessions)
    .where(sessions.c.id == bindparam("asked_id"))
    .values(
        message_count=bindparam("count"),
        updated_at=bindparam("now"),
        last_message_at=bindparam("now"),
        model=bindparam("asked_model"),
        agent_type=bindparam("agent"),
    )
)
_ANSWERED = Prepared(
    update(sessions)
    .where(sessions.c.id == bindparam("asked_id"))
    .values(
        updated_at=bindparam("now"),
        message_count=sessions.c.message_count + bindparam("answers"),
        last_message_at=func.coalesce(
            bindparam("said_at", type_=Timestamp), sessions.c.last_message_at
        ),
        tokens_in=sessions.c.tokens_in + bindparam("prompt"),
        tokens_out=sessions.c.tokens_out + bindparam("completion"),
    )
)
_ENDED = Prepared(
    update(turns)
    .where(turns.c.id == bindparam("ended_id"))
    .values({name: bindparam(f"new_{name}") for name in _ENDS})
)
_DAY = Prepared(
    update(usage_days)
    .where(usage_days.c.day == bindparam("today"))
    .values(
        requests=usage_days.c.requests + 1,
        tokens_in=usage_days.c.tokens_in + bindparam("prompt"),
        tokens_out=usage_days.c.tokens_out + bindparam("completion"),
    )
)
_NEW_TURN = Prepared.insert(turns)
_NEW_LOG = Prepared.insert(turn_logs)
_NEW_ANSWER = Prepared.insert(messages)


def find_turn(connection: Connection, turn_id: str) -> StoredTurn | None:
    """The turn, whoever's it is; None where there is none."""
    row = connection.execute(_TURN, {"turn_id": turn_id}).one_or_none()
    return None if row is None else StoredTurn(**row._mapping)


def read_log(connection: Connection, turn_id: str) -> list[Event]:
    """What a turn said; nothing where its log is not kept. Raises DecodeError."""
    events = select(turn_logs.c.events).where(turn_logs.c.turn_id == turn_id)
    return decode_log(connection.scalar(events) or [])


def begin(connection: Connection, plan: TurnPlan, choose_new: ChooseNew) -> BegunTurn:
    """Open or continue the session and store the question.

    `choose_new` says which of the sent messages are new, given the stored ones. Raises NotFound
    for another user's session, Conflict while one of the session's turns runs, KeyTaken.
    """
    if plan.claim is not None:
        idempotency.check_free(connection, plan.claim, plan.now)
    session = session_verbs.find_session(connection, plan.session.id)
    if session is None:
        session = plan.session
        context: list[Message] = []
        new = choose_new(context, plan.sent)
        session_verbs.insert_session(connection, session)
    else:
        _check_continuing(connection, session, plan)
        context, new = _continued(connection, plan, choose_new)
        session_verbs.see_user(connection, session.user_id, plan.now)
    _insert_turn(connection, plan)
    session_verbs.insert_messages(
        connection,
        new,
        session_id=session.id,
        turn_id=plan.turn_id,
        first_index=session.message_count,
        now=plan.now,
    )
    next_index = session.message_count + len(new)
    _touch(connection, plan, next_index)
    return BegunTurn([*context, *new][-plan.context_size :], next_index)


def finish(connection: Connection, end: TurnEnd) -> None:
    """Store the answer and how the turn ended, and add to the figures."""
    _add_usage(connection, end)
    if end.session_id is None:
        return
    _close_turn(connection, end)
    if end.answer is not None:
        _insert_answer(connection, end, end.answer)
    answered = {
        "asked_id": end.session_id,
        "now": end.now,
        "answers": int(end.answer is not None),
        "said_at": None if end.answer is None else end.now,
        "prompt": end.usage.prompt_tokens,
        "completion": end.usage.completion_tokens,
    }
    _ANSWERED.run(connection, answered)


def finish_late(connection: Connection, ends: Sequence[TurnEnd]) -> None:
    """Store ends that could not be stored in their time, unless their turns have ended since."""
    for end in ends:
        if connection.scalar(select(turns.c.state).where(turns.c.id == end.turn_id)) == "running":
            finish(connection, end)


def interrupt_running(connection: Connection, now: datetime) -> int:
    """Mark the turns of a process that is gone; how many there were."""
    stopped = connection.execute(
        update(turns)
        .where(turns.c.state == "running")
        .values(state="interrupted", finish_reason="interrupted", ended_at=now)
    )
    return stopped.rowcount


def _check_continuing(connection: Connection, session: ChatSessionSummary, plan: TurnPlan) -> None:
    if session.user_id != plan.session.user_id:
        raise NotFound(f"there is no session {session.id}")
    if session.archived:
        raise Conflict(f"session {session.id} is archived", "session_archived")
    if _RUNNING.scalar(connection, asked_id=session.id) is not None:
        raise Conflict(
            f"an answer is still being given in session {session.id}; wait for its end",
            "turn_in_progress",
        )


def _continued(
    connection: Connection, plan: TurnPlan, choose_new: ChooseNew
) -> tuple[list[Message], list[Message]]:
    """What is stored, as far as it is needed, and what of the sent messages is new."""
    if plan.claim is not None and plan.claim.repeats and plan.claim.freed_by is not None:
        return _asked_again(connection, plan, plan.claim.freed_by), []
    if len(plan.sent) >= session_verbs.count_said(connection, plan.session.id):
        stored = session_verbs.list_messages(connection, plan.session.id)
        return stored, choose_new(stored, plan.sent)
    # Too short to be the whole transcript: all of it is new, and the last messages are enough.
    last = session_verbs.list_messages(connection, plan.session.id, last=plan.context_size)
    return last, list(plan.sent)


def _asked_again(connection: Connection, plan: TurnPlan, failed_id: str) -> list[Message]:
    """What the agent is to see where a turn's question is asked again: it comes last, also
    where something was said since."""
    session_id, most = plan.session.id, plan.context_size
    others = session_verbs.list_messages(connection, session_id, last=most, without=failed_id)
    return [*others, *session_verbs.list_messages(connection, session_id, turn_id=failed_id)]


def _take(connection: Connection, claim: Claim, plan: TurnPlan) -> None:
    """The key stands for the new turn; a question that is asked again belongs to it too."""
    idempotency.take(connection, claim.key, plan.now, turn_id=plan.turn_id)
    if claim.repeats:
        connection.execute(
            update(messages)
            .where(messages.c.turn_id == claim.freed_by)
            .values(turn_id=plan.turn_id)
        )


def _insert_turn(connection: Connection, plan: TurnPlan) -> None:
    values = {
        "id": plan.turn_id,
        "session_id": plan.session.id,
        "principal_id": plan.principal_id,
        "model": plan.session.model,
        "state": "running",
        "tokens_in": 0,
        "tokens_out": 0,
        "started_at": plan.now,
    }
    _NEW_TURN.run(connection, values)
    if plan.claim is not None:
        _take(connection, plan.claim, plan)


def _close_turn(connection: Connection, end: TurnEnd) -> None:
    ended = {
        "state": end.state,
        # An agent's own words may be longer; what ended has to be stored all the same.
        "finish_reason": _short(end.finish_reason, turns.c.finish_reason),
        "error_code": _short(end.error_code, turns.c.error_code),
        "error_message": end.error_message,
        "tokens_in": end.usage.prompt_tokens,
        "tokens_out": end.usage.completion_tokens,
        "ended_at": end.now,
    }
    values = {f"new_{name}": value for name, value in ended.items()}
    _ENDED.run(connection, {**values, "ended_id": end.turn_id})
    _NEW_LOG.run(connection, {"turn_id": end.turn_id, "events": encode_log(end.log)})


def _short(text: str | None, column: Column[str]) -> str | None:
    if text is None:
        return None
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable[: column.type.length]  # type: ignore[attr-defined]


def _touch(connection: Connection, plan: TurnPlan, message_count: int) -> None:
    """What a question changes on its session's line."""
    asked = {
        "asked_id": plan.session.id,
        "count": message_count,
        "now": plan.now,
        "asked_model": plan.session.model,
        "agent": plan.session.agent_type,
    }
    _ASKED.run(connection, asked)
    changes: dict[str, Any] = {}
    if plan.session.organization_id is not None:
        changes["organization_id"] = plan.session.organization_id
        session_verbs.see_organization(connection, plan.session.organization_id, plan.now)
    if plan.session.metadata:
        known = select(sessions.c.metadata).where(sessions.c.id == plan.session.id)
        changes["metadata"] = {**connection.scalars(known).one(), **plan.session.metadata}
    if changes:
        changed = update(sessions).where(sessions.c.id == plan.session.id)
        connection.execute(changed.values(changes))


def _insert_answer(connection: Connection, end: TurnEnd, answer: ChatMessageRecord) -> None:
    metadata = dict(answer.metadata)
    # Where the messages that callers send have them, so that agents see them too.
    calls = metadata.pop("tool_calls", None)
    values = {
        "id": answer.id,
        "session_id": end.session_id,
        "message_index": answer.message_index,
        "role": str(answer.role),
        "author": "ai",
        "kind": "text",
        "content": answer.content,
        "extra": {"tool_calls": calls} if calls else None,
        "metadata": metadata,
        "tokens": answer.tokens,
        "turn_id": end.turn_id,
        "created_at": answer.created_at,
    }
    _NEW_ANSWER.run(connection, values)


def _add_usage(connection: Connection, end: TurnEnd) -> None:
    day = day_of(end.now)
    spent = {"prompt": end.usage.prompt_tokens, "completion": end.usage.completion_tokens}
    if _DAY.run(connection, {"today": day, **spent}) == 0:
        values = {"day": day, "requests": 1, "tokens_in": end.usage.prompt_tokens}
        connection.execute(
            insert(usage_days), {**values, "tokens_out": end.usage.completion_tokens}
        )
