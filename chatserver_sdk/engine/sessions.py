"""SessionService: sessions as things of their own, and the files that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from chatserver_sdk._ids import new_id
from chatserver_sdk.models import (
    ChatSession,
    ChatSessionPage,
    CreateSessionRequest,
    FileInfo,
    FileList,
    Principal,
    Role,
    UpdateSessionRequest,
)
from chatserver_sdk.storage import NotFound, Store, audit, chat_sessions, files, session_metadata
from chatserver_sdk.storage.idempotency import Answer, Key

from . import clock
from .asking import on_disconnect_of
from .catalogue import Catalogue
from .chat import ChatService
from .cursors import decode_cursor, encode_cursor
from .errors import Forbidden, InvalidRequest, metadata_too_long
from .messages import own_session

R = TypeVar("R")

_LIST = "chat_sessions"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class SessionService:
    """Opens, changes, lists and deletes sessions. most_files: how many one of them holds."""

    def __init__(
        self, store: Store, catalogue: Catalogue, chat: ChatService, *, most_files: int = 100
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._chat = chat
        self._most_files = most_files

    async def create_session(
        self, principal: Principal, request: CreateSessionRequest, key: Key | None = None
    ) -> Answer:
        """Open a session; 201 and the session, the same again for the same key.

        Raises InvalidRequest, Forbidden for another's user, UnknownModel, Conflict for a key of
        another request.
        """
        user_id = user_of(principal, _storable(request.user_id, "user_id"))
        metadata = _checked(request.metadata or {})
        agent = self._catalogue.find(request.model)
        now = clock.now()
        session = ChatSession(
            id=new_id(),
            user_id=user_id,
            created_at=now,
            updated_at=now,
            title=_storable(request.title, "title"),
            model=request.model,
            agent_type=agent.name,
            metadata=metadata,
        )
        return await self._store.write(chat_sessions.open_session, session, key)

    async def list_sessions(
        self,
        principal: Principal,
        user_id: str | None,
        *,
        cursor: str,
        limit: int,
        status: str | None = None,
    ) -> ChatSessionPage:
        """A user's sessions behind a cursor (empty: all), the one that was opened last first.

        Raises InvalidRequest, Forbidden.
        """
        wanted = user_of(principal, _storable(user_id, "user_id"))
        filters = {"user_id": wanted, "status": status}
        key = decode_cursor(_LIST, filters, cursor, (int, str))
        behind = None if key is None else (_EPOCH + key[0] * _MICROSECOND, key[1])
        # One more than is shown says whether there is more.
        found = await self._store.read(
            chat_sessions.list_from, wanted, behind, most=limit + 1, status=status
        )
        page = ChatSessionPage(found[:limit], len(found) > limit)
        if page.has_more:
            last = page.sessions[-1]
            opened = (last.created_at - _EPOCH) // _MICROSECOND
            page.next_cursor = encode_cursor(_LIST, filters, [opened, last.id])
        return page

    async def get_session(self, principal: Principal, session_id: str) -> ChatSession:
        """The session. Raises NotFound, also for somebody else's."""
        return await own_session(self._store, session_id, principal)

    async def update_session(
        self, principal: Principal, session_id: str, request: UpdateSessionRequest
    ) -> ChatSession:
        """The session as it is with what the request says. Raises NotFound, InvalidRequest."""
        session = await own_session(self._store, session_id, principal)
        changes: dict[str, Any] = {"updated_at": clock.now()}
        if request.title is not None:
            changes["title"] = _storable(request.title, "title")
        if request.metadata is not None:
            changes["metadata"] = _checked(request.metadata)
        if request.status is not None:
            changes["status"] = request.status.value
        about = {"changed": sorted(changes.keys() - {"updated_at"})}
        change = partial(chat_sessions.change, session_id=session.id, changes=changes)
        return await self._act(principal, session, "session.updated", change, **about)

    async def delete_session(self, principal: Principal, session_id: str) -> None:
        """Forget a session and all that was said in it; a turn that runs is stopped before.

        Raises NotFound.
        """
        session = await own_session(self._store, session_id, principal)
        await self._chat.delete_session(principal, session.id)

    async def add_file(
        self,
        principal: Principal,
        session_id: str,
        info: FileInfo,
        content: bytes,
        key: Key | None = None,
    ) -> Answer:
        """Keep a file; 201 and what is known of it, the same again for the same key.

        Raises NotFound, Conflict where the session has as many as it may.
        """
        session = await own_session(self._store, session_id, principal)
        new = files.NewFile(
            new_id(), session.id, info.filename, info.content_type, content, clock.now()
        )
        return await self._store.write(files.insert_file, new, self._most_files, key)

    async def list_files(self, principal: Principal, session_id: str) -> FileList:
        """The files of a session, the oldest first. Raises NotFound."""
        session = await own_session(self._store, session_id, principal)
        return FileList(await self._store.read(files.list_files, session.id))

    async def get_file(self, principal: Principal, session_id: str, file_id: str) -> FileInfo:
        """What is known of a file. Raises NotFound."""
        session = await own_session(self._store, session_id, principal)
        return (await self._store.read(files.get_files, session.id, [file_id]))[0]

    async def read_file(
        self, principal: Principal, session_id: str, file_id: str
    ) -> tuple[FileInfo, bytes]:
        """A file with its content. Raises NotFound."""
        session = await own_session(self._store, session_id, principal)
        found = await self._store.read(files.read_file, session.id, _file_id(file_id))
        about = (session.id, session.user_id)
        await self._chat.note_reading(principal, *about, file_id=found[0].file_id)
        return found

    async def delete_file(self, principal: Principal, session_id: str, file_id: str) -> None:
        """Forget a file. Raises NotFound."""
        session = await own_session(self._store, session_id, principal)
        delete = partial(files.delete_file, session_id=session.id, file_id=_file_id(file_id))
        await self._act(principal, session, "file.deleted", delete, file_id=file_id)

    async def _act(
        self,
        principal: Principal,
        session: ChatSession,
        action: str,
        verb: Callable[[Any], R],
        **about: Any,
    ) -> R:
        """What a verb gives. An administrator's, in somebody else's session, is recorded with it."""
        if principal.role != Role.ADMIN or principal.user_id == session.user_id:
            return await self._store.write(verb)

        def act(connection: Any) -> R:
            done = verb(connection)
            about_it = {"user_id": session.user_id, **about}
            audit.record(
                connection,
                action,
                by=principal.label,
                now=clock.now(),
                resource="session",
                resource_id=session.id,
                metadata=about_it,
            )
            return done

        return await self._store.write(act)


def user_of(principal: Principal, user_id: str | None) -> str:
    """In whose name something is done. Raises InvalidRequest, Forbidden."""
    wanted = user_id
    if wanted is None and principal.role in (Role.USER, Role.EXPERT):
        wanted = principal.user_id
    if wanted is None:
        raise InvalidRequest("say whose it is: user_id", "missing_user", "user_id")
    if not principal.may_act_for(wanted):
        raise Forbidden("this API key may not act for another user", "wrong_user", "user_id")
    return wanted


def _storable(text: str | None, param: str) -> str | None:
    # PostgreSQL takes any character but this one.
    if text is not None and "\0" in text:
        raise InvalidRequest(f"{param} must not hold a NUL", "invalid_value", param)
    return text


def _file_id(given: str) -> str:
    try:
        return str(UUID(given))
    except ValueError:
        raise NotFound("there is no such file in this session") from None


def _checked(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata that can be stored and means something. Raises InvalidRequest."""
    on_disconnect_of(metadata)
    try:
        session_metadata.check_length(metadata)
    except session_metadata.MetadataTooLong as exc:
        raise metadata_too_long(exc) from exc
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "metadata holds what JSON or UTF-8 cannot write", "invalid_value", "metadata"
        ) from None
    return dict(metadata)
