"""Verbs on sessions as things of their own: opened, changed, listed, deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, literal, select, tuple_, update

from chatserver_sdk.models import ChatSession, SessionStatus

from . import idempotency
from . import sessions as verbs
from .errors import Conflict, NotFound
from .idempotency import Answer, Key
from .tables import Timestamp, files, messages, sessions, turn_logs, turns, users


def open_session(connection: Connection, new: ChatSession, key: Key | None = None) -> Answer:
    """Store a new session; 201 and what is known of it, the same again for the same key."""
    if key is None:
        return _open(connection, new)
    return idempotency.answer_once(connection, key, new.created_at, lambda it: _open(it, new))


def _open(connection: Connection, new: ChatSession) -> Answer:
    verbs.insert_session(connection, new)
    return 201, new.to_dict()


def find(connection: Connection, session_id: str) -> ChatSession | None:
    """The session, whoever's it is; None where there is none."""
    row = connection.execute(select(sessions).where(sessions.c.id == session_id)).one_or_none()
    return None if row is None else _session(row)


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


def delete_session(connection: Connection, session_id: str) -> None:
    """Forget a session with all that belongs to it.

    Raises NotFound, and Conflict while one of its turns runs.
    """
    session = find(connection, session_id)
    if session is None:
        raise NotFound(f"there is no session {session_id}")
    of_session = select(turns.c.id).where(turns.c.session_id == session_id)
    if connection.scalar(of_session.where(turns.c.state == "running")) is not None:
        raise Conflict(
            f"an answer is still being given in session {session_id}", "turn_in_progress"
        )
    connection.execute(delete(turn_logs).where(turn_logs.c.turn_id.in_(of_session)))
    for table in (messages, turns, files):
        connection.execute(delete(table).where(table.c.session_id == session_id))
    connection.execute(delete(sessions).where(sessions.c.id == session_id))
    connection.execute(
        update(users)
        .where(users.c.id == session.user_id)
        .values(session_count=users.c.session_count - 1)
    )


def _session(row: Row[Any]) -> ChatSession:
    known = verbs.summary_of(row)
    return ChatSession(**vars(known), status=SessionStatus(row.status))
