"""Messages to sessions that are there: sending one, joining its turn, stopping it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from chatserver_sdk.agents import Agent, Files
from chatserver_sdk.models import (
    ChatCompletionRequest,
    ChatSession,
    FileInfo,
    Message,
    MessageRole,
    Principal,
    SessionChatRequest,
    SessionStatus,
    session_content_problem,
)
from chatserver_sdk.storage import Conflict, NotFound, Store, chat_sessions, files, turns
from chatserver_sdk.storage.idempotency import Key

from . import replay
from .asking import Asked, on_disconnect_of, resolve
from .catalogue import Catalogue
from .errors import Gone, InvalidRequest
from .running import Running
from .shelf import Shelf
from .turn import CANCELLED, Turn


class Messages(ABC):
    """What ChatService does for chat in sessions."""

    _store: Store
    _catalogue: Catalogue
    _shelf: Shelf
    _running: Running

    @abstractmethod
    async def _carry_out(self, asked: Asked, key: Key | None) -> Turn: ...

    @abstractmethod
    async def cancel(self, turn: Turn) -> None: ...

    @abstractmethod
    async def note_reading(
        self, principal: Principal, session_id: str, user_id: str | None, **about: str
    ) -> None: ...

    async def send_message(
        self,
        session_id: str,
        request: SessionChatRequest,
        principal: Principal,
        key: Key | None = None,
    ) -> Turn:
        """Begin a turn in a session; the message is stored when this returns.

        Raises NotFound for a session or a file that is not there or not the principal's, Conflict
        for a session that has ended and while another turn runs there (or too many wait),
        InvalidRequest with the field, UnknownModel, and what `ask` raises for a key.
        """
        session = await own_session(self._store, session_id, principal)
        _check_status(session)
        content = _content(request)
        agent = self._catalogue.find(session.model or "")
        attached = await self._attached(session.id, content)
        asked = _asked(session, request, principal, agent, _filled_in(content, attached))
        given = Files(attached, partial(self._read_file, session.id))
        asked = replace(asked, question=replace(asked.question, files=given))
        async with self._running.in_line(session.id):
            return await self._carry_out(asked, key)

    async def join(self, session_id: str, principal: Principal, turn_id: str | None = None) -> Turn:
        """A turn of a session to read: the one named, else the one that runs, else the last.

        Raises NotFound, and Gone with the code `resync` where its events are not kept any longer.
        """
        session = await own_session(self._store, session_id, principal)
        if turn_id is None:
            running = self._running.find(session.id)
            turn_id = running.id if running else None
        wanted = turn_id or await self._store.read(turns.find_last, session.id)
        if wanted is None:
            raise NotFound("nothing was said in this session yet")
        turn = self._shelf.find(wanted) or await self._read_again(wanted, principal)
        if turn.session_id != session.id:
            raise replay.not_found(wanted)
        if turn.principal_id != principal.id:
            await self.note_reading(principal, session.id, session.user_id, turn_id=turn.id)
        return turn

    async def cancel_message(
        self, session_id: str, principal: Principal, turn_id: str | None = None
    ) -> Turn | None:
        """Stop the turn that runs in a session, if it is the one named; it, once it has ended.

        None where there was nothing to stop: nothing runs, another turn does, or the answer was
        whole already. Raises NotFound for a session that is not the principal's.
        """
        session = await own_session(self._store, session_id, principal)
        # One that is being stored at this moment is meant as well.
        await self._running.opened(session.id)
        turn = self._running.find(session.id)
        if turn is None or turn_id not in (None, turn.id):
            return None
        await self.cancel(turn)
        return turn if turn.state == CANCELLED else None

    async def _read_again(self, turn_id: str, principal: Principal) -> Turn:
        try:
            return self._shelf.put(await replay.get_turn(self._store, turn_id, principal))
        except Gone:
            raise resync(turn_id) from None

    async def _attached(self, session_id: str, content: list[dict[str, Any]]) -> list[FileInfo]:
        ids = [part["file_id"] for part in content if part["type"] != "text"]
        return await self._store.read(files.get_files, session_id, ids) if ids else []

    async def _read_file(self, session_id: str, file_id: str) -> bytes | None:
        try:
            return (await self._store.read(files.read_file, session_id, file_id))[1]
        except NotFound:
            return None


async def own_session(store: Store, session_id: str, principal: Principal) -> ChatSession:
    """The session, if the principal may act for its user. Raises NotFound."""
    try:
        known = str(UUID(session_id))
    except ValueError:
        raise _no_session() from None
    session = await store.read(chat_sessions.find, known)
    if session is None or not principal.may_act_for(session.user_id):
        raise _no_session()
    return session


def resync(turn_id: str) -> Gone:
    """The refusal for a place behind which nothing can be said any more."""
    return Gone(
        f"the events of turn {turn_id} are not kept from that place on; read the session's"
        " messages instead, then join without a place",
        "resync",
    )


def _no_session() -> NotFound:
    return NotFound("there is no such session of yours")


def _check_status(session: ChatSession) -> None:
    if session.status != SessionStatus.ACTIVE:
        raise Conflict(
            f"session {session.id} is {session.status}; set its status to active first",
            f"session_{session.status}",
        )


def _content(request: SessionChatRequest) -> list[dict[str, Any]]:
    """The parts of the message. Raises InvalidRequest."""
    message = request.message
    if message.role != MessageRole.USER:
        raise InvalidRequest(
            "message.role must be user: the others are said by the server",
            "invalid_role",
            "message.role",
        )
    problem = session_content_problem(message.content)
    if problem is not None:
        param = f"message.content{problem[0]}"
        raise InvalidRequest(f"{param} must be {problem[1]}", "invalid_value", param)
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}]
    return message.content


def _filled_in(content: list[dict[str, Any]], attached: list[FileInfo]) -> list[dict[str, Any]]:
    """The parts with what is known of their files. Raises InvalidRequest for no picture."""
    known = iter(attached)
    parts = []
    for index, part in enumerate(content):
        if part["type"] == "text":
            parts.append(part)
            continue
        info = next(known)
        if part["type"] == "image" and not info.content_type.startswith("image/"):
            param = f"message.content[{index}].file_id"
            raise InvalidRequest(f"{param} must name a picture", "invalid_value", param)
        about = {"mime_type": info.content_type, "filename": info.filename}
        parts.append({**about, **{key: part[key] for key in part if part[key] is not None}})
    return parts


def _asked(
    session: ChatSession,
    request: SessionChatRequest,
    principal: Principal,
    agent: Agent,
    content: list[dict[str, Any]],
) -> Asked:
    is_text = len(content) == 1 and content[0].keys() == {"type", "text"}
    said = Message(MessageRole.USER, content[0]["text"] if is_text else content)
    of_session = {"session_id": session.id, "user_id": session.user_id}
    completion = ChatCompletionRequest(
        model=session.model or "",
        messages=[said],
        temperature=None,
        max_tokens=None,
        top_p=None,
        stream=request.stream,
        user=session.user_id,
        metadata={**(request.metadata or {}), **of_session},
    )
    asked = resolve(completion, principal, agent)
    wanted = asked.on_disconnect or on_disconnect_of(session.metadata)
    return replace(asked, opens=False, on_disconnect=wanted)
