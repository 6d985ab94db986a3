"""Verbs that delete what users have said. What is deleted is out of sight at once, and gone for
good after as many small steps as it takes, so that nobody else waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from sqlalchemy import Connection, delete, func, insert, select, update

from chatserver_sdk.models import UserDeletion

from . import audit
from .errors import NotFound
from .tables import NOBODY as NOBODY
from .tables import files, idempotency_keys, messages, sessions, turn_logs, turns, users

_SESSIONS_A_STEP = 100
# A turn has a log, which may be long.
_TURNS_A_STEP = 200
# What a file holds is freed page by page; one file goes in any case.
_FILES_A_STEP = 50
_BYTES_A_STEP = 8_000_000


def hide_session(
    connection: Connection, session_id: str, user_id: str, *, by: str | None, now: datetime
) -> None:
    """Take a user's session out of sight for good. Raises NotFound, for others' as well."""
    is_theirs = (sessions.c.id == session_id, sessions.c.user_id == user_id)
    said = connection.scalar(select(sessions.c.message_count).where(*is_theirs))
    if said is None:
        raise NotFound(f"there is no session {session_id}")
    answered = select(func.count()).select_from(turns).where(turns.c.session_id == session_id)
    metadata = {"user_id": user_id, "messages": said, "turns": connection.scalar(answered)}
    _see_nobody(connection, 1, now)
    connection.execute(update(sessions).where(*is_theirs).values(user_id=NOBODY, external_id=None))
    connection.execute(
        update(users).where(users.c.id == user_id).values(session_count=users.c.session_count - 1)
    )
    audit.record(
        connection,
        "session.deleted",
        by=by,
        now=now,
        resource="session",
        resource_id=session_id,
        metadata=metadata,
    )


def hide_user(
    connection: Connection, user_id: str, *, by: str | None, now: datetime
) -> UserDeletion:
    """Take everything of a user out of sight for good. Raises NotFound for who has no history."""
    theirs = sessions.c.user_id == user_id
    known = connection.scalar(select(users.c.id).where(users.c.id == user_id))
    if known is None or user_id == NOBODY:
        raise NotFound(f"there is no user {user_id}")
    count, said = connection.execute(
        select(func.count(), func.coalesce(func.sum(sessions.c.message_count), 0)).where(theirs)
    ).one()
    _see_nobody(connection, count, now)
    connection.execute(update(sessions).where(theirs).values(user_id=NOBODY, external_id=None))
    connection.execute(delete(users).where(users.c.id == user_id))
    deleted = UserDeletion(user_id, count, int(said))
    audit.record(
        connection,
        "user.deleted",
        by=by,
        now=now,
        resource="user",
        resource_id=user_id,
        metadata={"sessions": count, "messages": int(said)},
    )
    return deleted


def purge(connection: Connection, most: int) -> bool:
    """Delete some of what is out of sight, so many messages at most, and files of 8 MB or one that
    is larger; whether there may be more."""
    hidden = select(sessions.c.id).where(sessions.c.user_id == NOBODY).limit(_SESSIONS_A_STEP)
    doomed = connection.scalars(hidden).all()
    if not doomed:
        connection.execute(delete(users).where(users.c.id == NOBODY))
        return False
    some = select(messages.c.id).where(messages.c.session_id.in_(doomed)).limit(most)
    gone = connection.execute(delete(messages).where(messages.c.id.in_(some))).rowcount
    if gone == most or _purge_turns(connection, doomed) == _TURNS_A_STEP:
        return True
    if _purge_files(connection, doomed):
        # Their answers tell of the sessions and files.
        connection.execute(delete(idempotency_keys).where(idempotency_keys.c.turn_id.in_(doomed)))
        connection.execute(delete(sessions).where(sessions.c.id.in_(doomed)))
        connection.execute(
            update(users)
            .where(users.c.id == NOBODY)
            .values(session_count=users.c.session_count - len(doomed))
        )
    return True


def _purge_turns(connection: Connection, doomed: Sequence[str]) -> int:
    """Delete some turns, what they said, and the keys that stand for them; how many."""
    some = select(turns.c.id).where(turns.c.session_id.in_(doomed)).limit(_TURNS_A_STEP)
    ids = connection.scalars(some).all()
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.turn_id.in_(ids)))
    connection.execute(delete(turn_logs).where(turn_logs.c.turn_id.in_(ids)))
    connection.execute(delete(turns).where(turns.c.id.in_(ids)))
    return len(ids)


def _purge_files(connection: Connection, doomed: Sequence[str]) -> bool:
    """Delete some files; whether these were all."""
    some = select(files.c.id, files.c.size).where(files.c.session_id.in_(doomed))
    ordered = some.order_by(files.c.session_id, files.c.created_at, files.c.id)
    found = connection.execute(ordered.limit(_FILES_A_STEP)).all()
    sizes = accumulate(row.size for row in found)
    ids = [row.id for row, size in zip(found, sizes) if row is found[0] or size <= _BYTES_A_STEP]
    connection.execute(delete(files).where(files.c.id.in_(ids)))
    return len(ids) == len(found) < _FILES_A_STEP


def _see_nobody(connection: Connection, count: int, now: datetime) -> None:
    known = update(users).where(users.c.id == NOBODY)
    more = known.values(session_count=users.c.session_count + count)
    if connection.execute(more).rowcount == 0:
        values = {"id": NOBODY, "session_count": count, "first_seen_at": now, "last_seen_at": now}
        connection.execute(insert(users), values)
