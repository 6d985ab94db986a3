"""Verbs on sessions and their messages: reading them, and the rows behind new ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, func, insert, literal, select, tuple_, update

from chatserver_sdk.models import (
    ChatMessageRecord,
    ChatSessionDetailResponse,
    ChatSessionSummary,
    Message,
    MessageRole,
)

from .errors import NotFound
from .tables import Timestamp, messages, organizations, sessions, users

CHATSERVER = "chatserver"

_SESSION = select(sessions).where(sessions.c.id == bindparam("session_id"))
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
_SAID = (
    select(func.count())
    .select_from(messages)
    .where(
        messages.c.session_id == bindparam("session_id"),
        messages.c.kind != "note",
        messages.c.role != MessageRole.SYSTEM.value,
    )
)


def find_session(connection: Connection, session_id: str) -> ChatSessionSummary | None:
    """The session, whoever's it is; None where there is none."""
    row = connection.execute(_SESSION, {"session_id": session_id}).one_or_none()
    return None if row is None else summary_of(row)


def get_session(connection: Connection, session_id: str, user_id: str) -> ChatSessionDetailResponse:
    """A user's session with its transcript. Raises NotFound, for somebody else's as well."""
    session = find_session(connection, session_id)
    if session is None or session.user_id != user_id:
        raise NotFound(f"there is no session {session_id}")
    rows = connection.execute(_TRANSCRIPT, {"session_id": session_id})
    return ChatSessionDetailResponse(session, [_record(row) for row in rows])


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
    return connection.scalar(_SAID, {"session_id": session_id}) or 0


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
    parameters = {"session_id": session_id}
    wanted = _TRANSCRIPT
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
    see_user(connection, session.user_id, session.created_at, new_sessions=1)
    see_organization(connection, session.organization_id, session.created_at)
    values = {column.name: getattr(session, column.name, None) for column in sessions.c}
    values.update(protocol=CHATSERVER, status="active")
    connection.execute(insert(sessions), values)


def see_user(connection: Connection, user_id: str, now: datetime, *, new_sessions: int = 0) -> None:
    """Note that the user was here."""
    seen = connection.execute(
        update(users)
        .where(users.c.id == user_id)
        .values(last_seen_at=now, session_count=users.c.session_count + new_sessions)
    )
    if seen.rowcount == 0:
        values = {"id": user_id, "session_count": new_sessions}
        connection.execute(insert(users), {**values, "first_seen_at": now, "last_seen_at": now})


def see_organization(connection: Connection, organization_id: str | None, now: datetime) -> None:
    """Note that this label is in use."""
    if organization_id is None:
        return
    known = select(organizations.c.id).where(organizations.c.id == organization_id)
    if connection.scalar(known) is None:
        connection.execute(insert(organizations), {"id": organization_id, "first_seen_at": now})


def insert_messages(
    connection: Connection,
    said: Sequence[Message],
    *,
    session_id: str,
    turn_id: str,
    first_index: int,
    now: datetime,
) -> None:
    """What a caller sent, behind what is there."""
    rows = [
        {
            **message_row(message),
            "session_id": session_id,
            "turn_id": turn_id,
            "message_index": first_index + place,
            "created_at": now,
        }
        for place, message in enumerate(said)
    ]
    if rows:
        connection.execute(insert(messages), rows)


def message_row(message: Message) -> dict[str, Any]:
    """The columns that a message itself decides."""
    role = role_of(message)
    said = message.to_dict()
    extra = {key: said[key] for key in said if key not in ("role", "content")}
    return {
        "id": str(uuid4()),
        "role": role,
        "author": _AUTHORS.get(role, "user"),
        "kind": "text",
        "content": message.content,
        "extra": extra or None,
        "metadata": {},
        "tokens": count_words(message.text),
    }


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


def _message(row: Row[Any]) -> Message:
    raw = {"role": row.role, "content": row.content, **(row.extra or {})}
    return Message.from_dict(raw)
