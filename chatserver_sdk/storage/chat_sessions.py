"""Verbs on sessions as things of their own: opened, changed, listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, literal, select, tuple_, update

from chatserver_sdk.models import ChatSession, SessionStatus

from . import idempotency
from . import sessions as verbs
from .errors import NotFound
from .idempotency import Answer, Key
from .tables import NOBODY, Timestamp, sessions

_THESE = select(sessions).where(sessions.c.id.in_(bindparam("session_ids", expanding=True)))


def open_session(connection: Connection, new: ChatSession, key: Key | None = None) -> Answer:
    """Store a new session; 201 and what is known of it, the same again for the same key."""
    if key is None:
        return _open(connection, new)
    return idempotency.answer_once(
        connection, key, new.created_at, lambda it: _open(it, new), session_id=new.id
    )


def _open(connection: Connection, new: ChatSession) -> Answer:
    verbs.insert_session(connection, new)
    return 201, new.to_dict()


def find(connection: Connection, session_id: str) -> ChatSession | None:
    """The session, whoever's it is; None where there is none, and for one that is being deleted."""
    found = find_all(connection, [session_id]).get(session_id)
    return None if found is None or found.user_id == NOBODY else found


def find_all(connection: Connection, session_ids: Sequence[str]) -> dict[str, ChatSession]:
    """Those of the sessions that there are, by their ids, whoever's they are."""
    rows = connection.execute(_THESE, {"session_ids": session_ids})
    return {row.id: _session(row) for row in rows}


def list_from(
    connection: Connection,
    user_id: str,
    behind: tuple[datetime, str] | None,
    *,
    most: int,
    status: str | None = None,
) -> list[ChatSession]:
    """A user's sessions, the one that was opened last first; those behind a time of opening and an
    id; of one status, if asked."""
    statement = (
        select(sessions)
        .where(sessions.c.user_id == user_id)
        .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        .limit(most)
    )
    if status is not None:
        statement = statement.where(sessions.c.status == status)
    if behind is not None:
        place = tuple_(sessions.c.created_at, sessions.c.id)
        opened, session_id = behind
        statement = statement.where(place < tuple_(literal(opened, Timestamp), literal(session_id)))
    return [_session(row) for row in connection.execute(statement)]


def change(connection: Connection, session_id: str, changes: dict[str, Any]) -> ChatSession:
    """The session as it is with these columns changed. Raises NotFound."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(changes))
    changed = find(connection, session_id)
    if changed is None:
        raise NotFound(f"there is no session {session_id}")
    return changed


def _session(row: Row[Any]) -> ChatSession:
    known = verbs.summary_of(row)
    return ChatSession(**vars(known), status=SessionStatus(row.status))
