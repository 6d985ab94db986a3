"""Histories: what was recorded is read, exported and deleted, by whom it is allowed to.

An administrator who reads, exports or deletes what is somebody else's leaves an entry in the
audit log before anything is given out. A service's key acts for its users all day: what it reads
in a user's name is that user's reading, and leaves none. Exports and deletions always do.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any

from chatserver_sdk.models import (
    ChatSessionDetailResponse,
    ChatSessionListResponse,
    ChatSessionSummary,
    Principal,
    Role,
    UserDeletion,
)
from chatserver_sdk.storage import NotFound, Store, audit, deletion, sessions

from . import clock, lists
from .asking import reader_of
from .errors import Forbidden, InvalidRequest
from .exports import FORMATS, Export, Format
from .turn import Turn

_MESSAGES_A_READ = 20
# What one transaction deletes: others wait for it.
_MESSAGES_A_PURGE = 500


class Histories(ABC):
    """What ChatService does with recorded sessions."""

    _store: Store
    # Nothing is purged between its hiding and the ends of the turns that began before.
    _hiding: asyncio.Lock

    @abstractmethod
    async def _end_turns(self, wanted: Callable[[Turn], bool]) -> None:
        """Stop these turns and forget them, and wait for their ends."""

    async def list_sessions(
        self, principal: Principal, user_id: str | None, *, page: int, page_size: int
    ) -> ChatSessionListResponse:
        """A page of a user's sessions, the latest first."""
        user_id = reader_of(principal, user_id)
        found, total = await self._store.read(
            sessions.list_sessions, user_id, page=page, page_size=page_size
        )
        return ChatSessionListResponse(found, total, page, page_size, page * page_size < total)

    async def list_sessions_from(
        self, principal: Principal, user_id: str | None, *, cursor: str, page_size: int
    ) -> ChatSessionListResponse:
        """A user's sessions behind a cursor (empty: all), the one that was opened last first.

        Whatever happens meanwhile, following next_cursor gives each session once. Raises
        InvalidRequest for what is no cursor of this list.
        """
        user_id = reader_of(principal, user_id)
        return await lists.sessions_from(self._store, user_id, cursor, page_size)

    async def get_session(
        self, principal: Principal, session_id: str, user_id: str | None
    ) -> ChatSessionDetailResponse:
        """A user's session with its transcript. Raises NotFound, also for somebody else's."""
        user_id = reader_of(principal, user_id)
        found = await self._store.read(sessions.get_session, session_id, user_id)
        await self.note_reading(principal, session_id, user_id)
        return found

    async def export_session(
        self, principal: Principal, session_id: str, user_id: str | None, format: str
    ) -> Export:
        """A user's session as a file, piece by piece. Raises NotFound, also for somebody else's,
        and InvalidRequest for an unknown format.

        It ends with NotFound where the session is deleted meanwhile.
        """
        user_id = reader_of(principal, user_id)
        written = FORMATS.get(format)
        if written is None:
            known = " or ".join(FORMATS)
            raise InvalidRequest(f"format must be {known}", "invalid_value", "format")
        session = await self._find(session_id, user_id)
        about = {"format": format, "user_id": user_id, "messages": session.message_count}
        await self._note("session.exported", principal, session_id, about)
        chunks = self._chunks(session, written)
        return Export(f"session-{session.id}.{written.suffix}", written.media_type, chunks)

    async def delete_session(self, principal: Principal, session_id: str) -> None:
        """Delete a session with all that was said in it; a turn that runs is stopped first.

        When this returns nothing of it is left. Raises NotFound, also for somebody else's.
        """
        found = await self._store.read(sessions.find_session, session_id)
        is_there = found is not None and found.user_id != deletion.NOBODY
        if found is None or not is_there or not principal.may_act_for(found.user_id):
            raise _no_session(session_id)
        await self._end_turns(lambda turn: turn.session_id == session_id)
        by, owner = principal.label, found.user_id
        async with self._hiding:
            await self._store.write(
                deletion.hide_session, session_id, owner, by=by, now=clock.now()
            )
            # One more may have begun before the session was out of sight.
            await self._end_turns(lambda turn: turn.session_id == session_id)
        await self._purge()

    async def delete_user(self, principal: Principal, user_id: str) -> UserDeletion:
        """Delete everything that a user has said and been told; turns that run are stopped first.

        For administrators, and for the user. Keys and the audit log stay. Raises Forbidden, and
        NotFound for who has no history.
        """
        if principal.role != Role.ADMIN and principal.user_id != user_id:
            raise Forbidden("only the user and administrators may delete a user", "wrong_user")
        await self._end_turns(lambda turn: turn.user_id == user_id)
        async with self._hiding:
            deleted = await self._store.write(
                deletion.hide_user, user_id, by=principal.label, now=clock.now()
            )
            await self._end_turns(lambda turn: turn.user_id == user_id)
        await self._purge()
        return deleted

    async def note_reading(
        self, principal: Principal, session_id: str, user_id: str | None, **about: str
    ) -> None:
        """An administrator's look at somebody else's transcript is recorded before it is had."""
        if principal.role == Role.ADMIN and user_id is not None and principal.user_id != user_id:
            read = {"user_id": user_id, **about}
            await self._note("session.read", principal, session_id, read)

    async def _note(
        self, action: str, principal: Principal, session_id: str, about: dict[str, Any]
    ) -> None:
        await self._store.write(
            audit.record,
            action,
            by=principal.label,
            now=clock.now(),
            resource="session",
            resource_id=session_id,
            metadata=about,
        )

    async def _find(self, session_id: str, user_id: str) -> ChatSessionSummary:
        found = await self._store.read(sessions.find_session, session_id)
        if found is None or found.user_id != user_id:
            raise _no_session(session_id)
        return found

    async def _chunks(self, session: ChatSessionSummary, written: Format) -> AsyncIterator[bytes]:
        yield written.begin(session).encode()
        behind = -1
        while records := await self._store.read(
            sessions.list_records,
            session.id,
            behind,
            below=session.message_count,
            most=_MESSAGES_A_READ,
        ):
            yield "".join(map(written.message, records)).encode()
            behind = records[-1].message_index
        # Half of a session that is gone is not to be taken for the whole.
        await self._find(session.id, session.user_id)

    async def _purge(self) -> None:
        has_more = True
        while has_more:
            async with self._hiding:
                has_more = await self._store.write(deletion.purge, _MESSAGES_A_PURGE)
            await asyncio.sleep(0)


def _no_session(session_id: str) -> NotFound:
    return NotFound(f"there is no session {session_id}")
