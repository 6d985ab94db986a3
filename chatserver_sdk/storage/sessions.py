"""Verbs on sessions and their messages: reading them, and the rows behind new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    bindparam,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from chatserver_sdk._ids import new_id
from chatserver_sdk.models import (
    ChatMessageRecord,
    ChatSessionDetailResponse,
    ChatSessionSummary,
    Message,
    MessageRole,
)

from .errors import NotFound
from .prepared import Prepared
from .tables import Timestamp, messages, organizations, sessions, users

CHATSERVER = "chatserver"

_NEW_SESSIONS = Prepared.insert(sessions)
_COLUMNS = [column.name for column in sessions.c]
_OPTIONAL = [f.name for f in fields(Message) if f.name not in ("role", "content")]

_USERS = select(users.c.id).where(users.c.id.in_(bindparam("user_ids", expanding=True)))
_LABELS = select(organizations.c.id).where(
    organizations.c.id.in_(bindparam("labels", expanding=True))
)
_SEE_USER = Prepared(
    update(users)
    .where(users.c.id == bindparam("seen_id"))
    .values(
        last_seen_at=bindparam("seen_at"), session_count=users.c.session_count + bindparam("more")
    )
)
_SESSION = Prepared(select(sessions).where(sessions.c.id == bindparam("session_id")))
_OF_USER = (
    select(sessions)
    .where(sessions.c.user_id == bindparam("user_id"))
    .order_by(sessions.c.updated_at.desc(), sessions.c.id.desc())
)
_AS_OPENED = (
    select(sessions)
    .where(sessions.c.user_id == bindparam("user_id"))
    .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
)
# Notes are what experts write for each other.
_TRANSCRIPT = (
    select(messages)
    .where(messages.c.session_id == bindparam("session_id"), messages.c.kind != "note")
    .order_by(messages.c.message_index)
)
# What agents see of it.
_SPOKEN = _TRANSCRIPT.with_only_columns(messages.c.role, messages.c.content, messages.c.extra)
_WHOLE = Prepared(_SPOKEN)
_END = Prepared(
    _SPOKEN.order_by(None)
    .order_by(messages.c.message_index.desc())
    .limit(bindparam("last", type_=Integer))
)
_SAID = Prepared(
    select(func.count().label("said"))
    .select_from(messages)
    .where(
        messages.c.session_id == bindparam("session_id"),
        messages.c.kind != "note",
        messages.c.role != MessageRole.SYSTEM.value,
    )
)


def find_session(connection: Connection, session_id: str) -> ChatSessionSummary | None:
    """The session, whoever's it is; None where there is none."""
    row = _SESSION.first(connection, session_id=session_id)
    return None if row is None else summary_of(row)


def get_session(connection: Connection, session_id: str, user_id: str) -> ChatSessionDetailResponse:
    """A user's session with its transcript. Raises NotFound, for somebody else's as well."""
    session = find_session(connection, session_id)
    if session is None or session.user_id != user_id:
        raise NotFound(f"there is no session {session_id}")
    rows = connection.execute(_TRANSCRIPT, {"session_id": session_id})
    return ChatSessionDetailResponse(session, [_record(row) for row in rows])


def list_records(
    connection: Connection, session_id: str, behind: int, *, below: int, most: int
) -> list[ChatMessageRecord]:
    """The transcript between two places, the first ones of it, oldest first."""
    places = (messages.c.message_index > behind, messages.c.message_index < below)
    statement = _TRANSCRIPT.where(*places).limit(most)
    return [_record(row) for row in connection.execute(statement, {"session_id": session_id})]


def list_from(
    connection: Connection, user_id: str, behind: tuple[datetime, str] | None, *, most: int
) -> list[ChatSessionSummary]:
    """A user's sessions, the one that was opened last first; those behind a time of opening and an
    id, which never change."""
    statement = _AS_OPENED.limit(most)
    if behind is not None:
        place = tuple_(sessions.c.created_at, sessions.c.id)
        opened, session_id = behind
        statement = statement.where(place < tuple_(literal(opened, Timestamp), literal(session_id)))
    return [summary_of(row) for row in connection.execute(statement, {"user_id": user_id})]


def count_sessions(connection: Connection, user_id: str) -> int:
    """How many sessions a user has."""
    return connection.scalar(select(users.c.session_count).where(users.c.id == user_id)) or 0


def list_sessions(
    connection: Connection, user_id: str, *, page: int, page_size: int
) -> tuple[list[ChatSessionSummary], int]:
    """A page of a user's sessions, the latest first, and how many there are in all."""
    total = count_sessions(connection, user_id)
    statement = _OF_USER.limit(page_size).offset((page - 1) * page_size)
    rows = connection.execute(statement, {"user_id": user_id})
    return [summary_of(row) for row in rows], total


def count_said(connection: Connection, session_id: str) -> int:
    """How many messages the session has, system messages aside."""
    return int(_SAID.scalar(connection, session_id=session_id))


def list_messages(
    connection: Connection,
    session_id: str,
    *,
    last: int | None = None,
    turn_id: str | None = None,
    without: str | None = None,
) -> list[Message]:
    """What was said in the session, oldest first, as agents see it; only the last ones if asked,
    only those of one turn, or those of all turns without one."""
    if turn_id is None and without is None:
        if last is None:
            return [_message(row) for row in _WHOLE.rows(connection, session_id=session_id)]
        rows = _END.rows(connection, session_id=session_id, last=last)
        return [_message(row) for row in reversed(rows)]
    parameters = {"session_id": session_id}
    wanted = _SPOKEN
    if turn_id is not None:
        wanted = wanted.where(messages.c.turn_id == turn_id)
    if without is not None:
        wanted = wanted.where(messages.c.turn_id.is_distinct_from(without))
    if last is None:
        return [_message(row) for row in connection.execute(wanted, parameters)]
    latest = wanted.order_by(None).order_by(messages.c.message_index.desc()).limit(last)
    return [_message(row) for row in connection.execute(latest, parameters)][::-1]


def insert_session(connection: Connection, session: ChatSessionSummary) -> None:
    """A new session, and its user and organization where they are new."""
    see_users(connection, [(session.user_id, session.created_at, 1)])
    see_organizations(connection, {session.organization_id: session.created_at})
    insert_sessions(connection, [(session, session.message_count, session.last_message_at)])


def insert_sessions(
    connection: Connection, opened: Sequence[tuple[ChatSessionSummary, int, datetime | None]]
) -> None:
    """New sessions, each with the number of its messages and the time of the last one; their users
    are known already."""
    rows = [
        {
            **{name: getattr(session, name, None) for name in _COLUMNS},
            "protocol": CHATSERVER,
            "status": "active",
            "message_count": count,
            "last_message_at": last_at,
        }
        for session, count, last_at in opened
    ]
    _NEW_SESSIONS.run_all(connection, rows)


def see_users(connection: Connection, seen: Sequence[tuple[str, datetime, int]]) -> None:
    """Note which users were here, when, and how many new sessions they have."""
    latest: dict[str, dict[str, Any]] = {}
    for user_id, now, opened in seen:
        line = latest.setdefault(user_id, {"seen_id": user_id, "more": 0, "seen_at": now})
        line["more"] += opened
        line["seen_at"] = max(line["seen_at"], now)
    known = set(connection.scalars(_USERS, {"user_ids": list(latest)}))
    _SEE_USER.run_all(connection, [latest[user_id] for user_id in known])
    rows = [
        {
            "id": user_id,
            "session_count": line["more"],
            "first_seen_at": line["seen_at"],
            "last_seen_at": line["seen_at"],
        }
        for user_id, line in latest.items()
        if user_id not in known
    ]
    if rows:
        connection.execute(insert(users), rows)


def see_organizations(connection: Connection, seen: Mapping[str | None, datetime]) -> None:
    """Note which labels are in use; None is none."""
    labels = {label: now for label, now in seen.items() if label is not None}
    if not labels:
        return
    known = set(connection.scalars(_LABELS, {"labels": list(labels)}))
    rows = [
        {"id": label, "first_seen_at": now} for label, now in labels.items() if label not in known
    ]
    if rows:
        connection.execute(insert(organizations), rows)


def message_row(message: Message) -> dict[str, Any]:
    """The columns that a message itself decides."""
    role = role_of(message)
    return {
        "id": new_id(),
        "role": role,
        "author": _AUTHORS.get(role, "user"),
        "kind": "text",
        "content": message.content,
        "extra": _beside(message),
        "metadata": {},
        "tokens": count_words(message.text),
    }


def _beside(message: Message) -> dict[str, Any] | None:
    """What the sender wrote into a message beside role and content."""
    if not message.extra and all(getattr(message, name) is None for name in _OPTIONAL):
        return None
    said = message.to_dict()
    return {key: said[key] for key in said if key not in ("role", "content")} or None


def role_of(message: Message) -> str:
    """The role that is stored: OpenAI calls newer system messages "developer"."""
    return "system" if message.role == MessageRole.DEVELOPER else str(message.role)


def count_words(text: str) -> int:
    """The size of a text for agents without a tokenizer."""
    return len(text.split())


_AUTHORS = {"user": "user", "assistant": "ai", "system": "system", "tool": "ai"}


def summary_of(row: Row[Any]) -> ChatSessionSummary:
    """What a row of the table says."""
    return ChatSessionSummary(
        id=row.id,
        user_id=row.user_id,
        organization_id=row.organization_id,
        title=row.title,
        model=row.model,
        agent_type=row.agent_type,
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_message_at=row.last_message_at,
        message_count=row.message_count,
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        tokens_total=row.tokens_in + row.tokens_out,
        metadata=row.metadata,
        archived=row.status == "archived",
    )


def _record(row: Row[Any]) -> ChatMessageRecord:
    return ChatMessageRecord(
        id=row.id,
        message_index=row.message_index,
        role=MessageRole(row.role),
        content=row.content,
        metadata={**(row.extra or {}), **row.metadata},
        tokens=row.tokens,
        created_at=row.created_at,
        updated_at=row.updated_at,
        session_id=row.session_id,
    )


def _message(row: Any) -> Message:
    raw = {"role": row.role, "content": row.content, **(row.extra or {})}
    return Message.from_dict(raw)
