"""Verbs on turns: a question is stored before its agent runs, an answer before its end is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from chatserver_sdk.models import (
    ChatMessageRecord,
    ChatSession,
    ChatSessionSummary,
    Message,
    SessionStatus,
    UsageInfo,
)
from chatserver_sdk.models.events import Event, decode_log, encode_log

from . import chat_sessions, idempotency
from . import sessions as session_verbs
from .errors import Conflict, NotFound
from .idempotency import Claim
from .tables import day_of, messages, sessions, turn_logs, turns, usage_days

ChooseNew = Callable[[Sequence[Message], Sequence[Message]], list[Message]]


@dataclass
class TurnPlan:
    """A turn that is about to begin. `context_size`: how many messages the agent may see.
    `claim`: the idempotency key that is to stand for it. `opens`: whether a session that is not
    known is made."""

    turn_id: str
    session: ChatSessionSummary
    principal_id: str
    sent: Sequence[Message]
    context_size: int
    now: datetime
    claim: Claim | None = None
    opens: bool = True


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


def find_turn(connection: Connection, turn_id: str) -> StoredTurn | None:
    """The turn, whoever's it is; None where there is none."""
    row = connection.execute(_TURN, {"turn_id": turn_id}).one_or_none()
    return None if row is None else StoredTurn(**row._mapping)


def read_log(connection: Connection, turn_id: str) -> list[Event]:
    """What a turn said; nothing where its log is not kept. Raises DecodeError."""
    events = select(turn_logs.c.events).where(turn_logs.c.turn_id == turn_id)
    return decode_log(connection.scalar(events) or [])


def find_last(connection: Connection, session_id: str) -> str | None:
    """The id of the turn of a session that began last; None where there is none."""
    of_session = select(turns.c.id).where(turns.c.session_id == session_id)
    return connection.scalar(of_session.order_by(turns.c.started_at.desc()).limit(1))


def begin(connection: Connection, plan: TurnPlan, choose_new: ChooseNew) -> BegunTurn:
    """Open or continue the session and store the question.

    `choose_new` says which of the sent messages are new, given the stored ones. Raises NotFound
    for another user's session, Conflict while one of the session's turns runs and where the
    session has ended, KeyTaken.
    """
    if plan.claim is not None:
        idempotency.check_free(connection, plan.claim, plan.now)
    found = chat_sessions.find(connection, plan.session.id)
    session: ChatSessionSummary = found or plan.session
    if found is None:
        _check_opening(plan)
        context: list[Message] = []
        new = choose_new(context, plan.sent)
        session_verbs.insert_session(connection, session)
    else:
        _check_continuing(connection, found, plan)
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
    _touch(connection, plan, session, next_index)
    return BegunTurn([*context, *new][-plan.context_size :], next_index)


def finish(connection: Connection, end: TurnEnd) -> None:
    """Store the answer and how the turn ended, and add to the figures."""
    _add_usage(connection, end)
    if end.session_id is None:
        return
    _close_turn(connection, end)
    if end.answer is not None:
        _insert_answer(connection, end, end.answer)
    connection.execute(
        update(sessions)
        .where(sessions.c.id == end.session_id)
        .values(
            updated_at=end.now,
            message_count=sessions.c.message_count + (end.answer is not None),
            last_message_at=sessions.c.last_message_at if end.answer is None else end.now,
            tokens_in=sessions.c.tokens_in + end.usage.prompt_tokens,
            tokens_out=sessions.c.tokens_out + end.usage.completion_tokens,
        )
    )


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


def _check_opening(plan: TurnPlan) -> None:
    if not plan.opens:
        raise NotFound(f"there is no session {plan.session.id}")


def _check_continuing(connection: Connection, session: ChatSession, plan: TurnPlan) -> None:
    if session.user_id != plan.session.user_id:
        raise NotFound(f"there is no session {session.id}")
    if session.status != SessionStatus.ACTIVE:
        raise Conflict(f"session {session.id} is {session.status}", f"session_{session.status}")
    running = select(turns.c.id).where(turns.c.session_id == session.id, turns.c.state == "running")
    if connection.scalar(running) is not None:
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
    connection.execute(insert(turns), values)
    if plan.claim is not None:
        _take(connection, plan.claim, plan)


def _close_turn(connection: Connection, end: TurnEnd) -> None:
    connection.execute(
        update(turns)
        .where(turns.c.id == end.turn_id)
        .values(
            state=end.state,
            finish_reason=end.finish_reason,
            error_code=end.error_code,
            error_message=end.error_message,
            tokens_in=end.usage.prompt_tokens,
            tokens_out=end.usage.completion_tokens,
            ended_at=end.now,
        )
    )
    logged = {"turn_id": end.turn_id, "events": encode_log(end.log)}
    connection.execute(insert(turn_logs), logged)


def _touch(
    connection: Connection, plan: TurnPlan, session: ChatSessionSummary, message_count: int
) -> None:
    """What a question changes on its session's line."""
    changes: dict[str, Any] = {
        "message_count": message_count,
        "updated_at": plan.now,
        "last_message_at": plan.now,
        "model": plan.session.model,
        "agent_type": plan.session.agent_type,
    }
    if session.title is None and plan.session.title is not None:
        # It was opened before anything was said.
        changes["title"] = plan.session.title
    if plan.session.organization_id is not None:
        changes["organization_id"] = plan.session.organization_id
        session_verbs.see_organization(connection, plan.session.organization_id, plan.now)
    if plan.session.metadata:
        known = select(sessions.c.metadata).where(sessions.c.id == plan.session.id)
        changes["metadata"] = {**connection.scalars(known).one(), **plan.session.metadata}
    connection.execute(update(sessions).where(sessions.c.id == plan.session.id).values(changes))


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
    connection.execute(insert(messages), values)


def _add_usage(connection: Connection, end: TurnEnd) -> None:
    day = day_of(end.now)
    added = connection.execute(
        update(usage_days)
        .where(usage_days.c.day == day)
        .values(
            requests=usage_days.c.requests + 1,
            tokens_in=usage_days.c.tokens_in + end.usage.prompt_tokens,
            tokens_out=usage_days.c.tokens_out + end.usage.completion_tokens,
        )
    )
    if added.rowcount == 0:
        values = {"day": day, "requests": 1, "tokens_in": end.usage.prompt_tokens}
        connection.execute(
            insert(usage_days), {**values, "tokens_out": end.usage.completion_tokens}
        )
