"""Sessions: opening them, talking in them, as the part of the client that keeps chats on a server."""

from __future__ import annotations

import mimetypes
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

from . import models
from ._lazy import Later
from ._transport import CallOptions, Transport, path_segment
from .exceptions import BadRequestError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from . import _arguments as arguments, message_stream
    from ._transport import call as calls, resuming, tracing
    from ._wire import genai, messages
    from .message_stream import MessageStream
    from .models import (
        CancelMessageResponse,
        ChatSession,
        DeleteSessionResponse,
        FileInfo,
        SessionChatResponse,
        SessionMessage,
    )

    Said = str | Sequence[Mapping[str, Any]] | Mapping[str, Any] | SessionMessage
    Attached = str | FileInfo
else:
    arguments = Later("chatserver_sdk._arguments")
    calls = Later("chatserver_sdk._transport.call")
    genai = Later("chatserver_sdk._wire.genai")
    message_stream = Later("chatserver_sdk.message_stream")
    messages = Later("chatserver_sdk._wire.messages")
    resuming = Later("chatserver_sdk._transport.resuming")
    tracing = Later("chatserver_sdk._transport.tracing")

_PATH = "/api/v2/sessions"
_ONE = f"{_PATH}/{{session_id}}"
_CHAT = f"{_ONE}/chat"
_EVENTS = f"{_CHAT}/events"
_FILES = f"{_ONE}/files"


class Sessions:
    """The calls about sessions that a chat server keeps; ChatServerClient has them."""

    _transport: Transport

    def create_session(
        self,
        model: str,
        *,
        user_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> ChatSession:
        """A new session, in which `model` answers.

        user_id: whose it is; a user's own key need not say it. metadata: free, but for
        `on_disconnect`: "cancel" stops answers that nobody reads any more.
        """
        request = models.CreateSessionRequest(
            arguments.text(model, "model"),
            arguments.optional_identifier(user_id, "user_id"),
            arguments.optional_text(title, "title"),
            _object(metadata),
        )
        read = models.ChatSession.from_decoded
        return self._transport.ask(read, "POST", _PATH, body=request, options=options)

    def update_session(
        self,
        session_id: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        status: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ChatSession:
        """The session with what is given changed.

        metadata: in place of all that there was. status: active, completed or archived; only an
        active session takes messages.
        """
        wanted = None if status is None else models.SessionStatus(arguments.text(status, "status"))
        request = models.UpdateSessionRequest(
            arguments.optional_text(title, "title"), _object(metadata), wanted
        )
        return self._transport.ask(
            models.ChatSession.from_decoded,
            "PATCH",
            _path(session_id),
            body=request,
            options=options,
            subject=tracing.Subject(_ONE),
        )

    def delete_session(
        self, session_id: str, **options: Unpack[CallOptions]
    ) -> DeleteSessionResponse:
        """Delete a session with all that was said in it; an answer that is given is stopped."""
        read = models.DeleteSessionResponse.from_decoded
        return self._transport.ask(
            read, "DELETE", _path(session_id), options=options, subject=tracing.Subject(_ONE)
        )

    @overload
    def send_message(
        self,
        session_id: str,
        message: Said,
        *,
        files: Iterable[Attached] = (),
        stream: Literal[False] = False,
        metadata: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> SessionChatResponse: ...

    @overload
    def send_message(
        self,
        session_id: str,
        message: Said,
        *,
        files: Iterable[Attached] = (),
        stream: Literal[True],
        metadata: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> MessageStream: ...

    @overload
    def send_message(
        self,
        session_id: str,
        message: Said,
        *,
        files: Iterable[Attached] = (),
        stream: bool = False,
        metadata: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> SessionChatResponse | MessageStream: ...

    def send_message(
        self,
        session_id: str,
        message: Said,
        *,
        files: Iterable[Attached] = (),
        stream: bool = False,
        metadata: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> SessionChatResponse | MessageStream:
        """The answer to a message in a session: whole, or with stream=True as it arrives.

        message: a text, a list of parts, or a SessionMessage. files: what upload_file gave, or
        ids; they stand behind the text. metadata: for the agent (`variables`), and
        `on_disconnect` for this answer alone.

        Raises BadRequestError with `param` for arguments that cannot be right (before anything is
        sent), ConflictError where another answer is still given or the session has ended, and what
        the server answers otherwise.
        """
        said = _message(message, files)
        request = models.SessionChatRequest(said, bool(stream), _object(metadata))
        path = f"{_path(session_id)}/chat"
        if stream:
            return self._open("POST", session_id, options, body=request)
        return self._transport.ask(
            models.SessionChatResponse.from_decoded,
            "POST",
            path,
            body=request,
            options=options,
            subject=tracing.Subject(_CHAT),
        )

    def cancel_message(
        self, session_id: str, turn_id: str | None = None, **options: Unpack[CallOptions]
    ) -> CancelMessageResponse:
        """Stop the answer that is given in a session; it has ended when this returns.

        turn_id: stops that one only (`stream.turn_id`). Where there is nothing to stop `cancelled`
        is false, and nothing happens.
        """
        return self._transport.ask(
            models.CancelMessageResponse.from_decoded,
            "DELETE",
            f"{_path(session_id)}/chat",
            query={"turn_id": arguments.optional_identifier(turn_id, "turn_id")},
            options=options,
            subject=tracing.Subject(_CHAT),
        )

    def join_stream(
        self, session_id: str, after: str | None = None, **options: Unpack[CallOptions]
    ) -> MessageStream:
        """The answer that is given in a session, or else the last one, from its beginning.

        after: `stream.cursor` of an earlier stream: what comes behind it. Raises NotFoundError
        where nothing was said yet, APIStatusError 410 with the code `resync` where the place is
        not kept any longer: then read the session's messages again.
        """
        cursor = None if after is None else arguments.text(after, "after")
        return self._open("GET", session_id, options, cursor=cursor)

    def upload_file(
        self,
        session_id: str,
        file: str | os.PathLike[str] | bytes | BinaryIO,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        **options: Unpack[CallOptions],
    ) -> FileInfo:
        """Give a file to a session, for its messages to name.

        file: its path, its bytes, or a file opened for reading bytes. filename: bytes need one.
        content_type: by default what the name's ending says.

        Raises BadRequestError for a file that cannot be read, APIStatusError 413 and 415 for one
        that the server does not take.
        """
        content, found = _content(file)
        name = arguments.text(filename if filename is not None else found, "filename")
        guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
        kind = arguments.optional_text(content_type, "content_type") or guessed
        if not kind.isascii() or not kind.isprintable():
            raise BadRequestError("content_type must be a media type", param="content_type")
        return self._transport.ask(
            models.FileInfo.from_decoded,
            "POST",
            f"{_path(session_id)}/files",
            body=calls.Encoded(*messages.encode_file(name, kind, content)),
            options=options,
            subject=tracing.Subject(_FILES),
        )

    def _open(
        self,
        method: Literal["POST", "GET"],
        session_id: str,
        options: CallOptions,
        *,
        body: Any = None,
        cursor: str | None = None,
    ) -> MessageStream:
        chat = f"{_path(session_id)}/chat"
        path, route = (chat, _CHAT) if method == "POST" else (f"{chat}/events", _EVENTS)
        begun_at = time.monotonic()
        opened = self._transport.open_stream(
            method,
            path,
            body=body,
            headers=None if cursor is None else {"Last-Event-ID": cursor},
            options=options,
            begun_at=begun_at,
            subject=lambda: tracing.Subject(route, of_answer=genai.of_stream),
        )
        trace = opened.trace
        resume = resuming.Resumption(
            self._transport, lambda _: f"{chat}/events", options, begun_at, trace
        )
        return message_stream.MessageStream(
            opened,
            resume,
            cursor=cursor,
            on_end=lambda answer, error: trace.end_stream(answer, answer.events, error),
        )


def _path(session_id: str) -> str:
    named = arguments.identifier(session_id, "session_id")
    return f"{_PATH}/{path_segment(named, 'session_id')}"


def _object(metadata: object) -> dict[str, Any] | None:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise BadRequestError("metadata must be an object", param="metadata")
    return None if metadata is None else dict(metadata)


def _message(said: Any, files: Iterable[Attached]) -> SessionMessage:
    """What is sent. Raises BadRequestError with the place."""
    if isinstance(said, Mapping):
        content, role = said.get("content"), said.get("role", "user")
    elif isinstance(said, models.SessionMessage):
        content, role = said.content, said.role
    else:
        content, role = said, "user"
    parts: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if isinstance(parts, (list, tuple)):
        parts = [dict(part) if isinstance(part, Mapping) else part for part in parts]
        parts += [_attached(file, place) for place, file in enumerate(files)]
    problem = models.session_content_problem(parts)
    if problem is not None:
        param = f"message{problem[0]}"
        raise BadRequestError(f"{param} must be {problem[1]}", param=param)
    return models.SessionMessage(models.MessageRole(arguments.text(role, "role")), parts)


def _attached(file: Attached, place: int) -> dict[str, Any]:
    if isinstance(file, models.FileInfo):
        kind = "image" if file.content_type.startswith("image/") else "file"
        return {"type": kind, "file_id": file.file_id}
    return {"type": "file", "file_id": arguments.identifier(file, f"files[{place}]")}


def _content(file: Any) -> tuple[bytes, str | None]:
    """A file's bytes and, where it has one, its name. Raises BadRequestError."""
    if isinstance(file, (bytes, bytearray, memoryview)):
        return bytes(file), None
    try:
        if isinstance(file, (str, os.PathLike)):
            return Path(file).read_bytes(), Path(file).name
        content = file.read()
    except (OSError, ValueError, AttributeError) as exc:
        raise BadRequestError(f"file cannot be read: {exc}", param="file") from exc
    if not isinstance(content, bytes):
        raise BadRequestError("file must be opened for reading bytes", param="file")
    name = getattr(file, "name", None)
    return content, Path(name).name if isinstance(name, str) else None
