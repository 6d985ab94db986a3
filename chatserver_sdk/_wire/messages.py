"""An answer in a session as it adds up, event by event; and files as forms."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chatserver_sdk import models
from chatserver_sdk.exceptions import DecodeError

from . import errors, openai, session_chat
from .sse import ServerSentEvent

if TYPE_CHECKING:
    from chatserver_sdk.models import ChatMessageRecord, SessionChatResponse
    from chatserver_sdk.models.events import Event

_TOOLS = ("tool_call", "tool_call_delta", "tool_result")


class StreamedMessage:
    """Feed it events until `is_done`; `is_whole` once the turn has ended."""

    last_word = session_chat.END

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.is_done = False
        self.is_whole = False
        self.events = 0
        self._texts: list[str] = []
        self._body: dict[str, Any] | None = None
        self._id = ""
        self._tools: list[Event] = []
        self._stored: ChatMessageRecord | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @property
    def finish_reasons(self) -> list[str | None]:
        """Why the answer ended, if it has."""
        return [self.metadata.get("finish_reason")]

    def is_last(self, event: ServerSentEvent) -> bool:
        """Whether an event says that there is no more."""
        return event.event == session_chat.END

    def add(self, event: ServerSentEvent) -> str:
        """Take an event in; the text that it adds.

        Raises StreamFailedError for an error that the server says, DecodeError for data that is
        no event.
        """
        self.events += 1
        body = session_chat.body_of(event)
        self._body, self._id = body, event.id
        name = body["type"]
        if name == "text_delta" and isinstance(body.get("content"), str):
            self._texts.append(body["content"])
            return str(body["content"])
        if name == session_chat.END:
            self.is_done = True
        elif name == session_chat.ERROR:
            raise self._failure(body)
        else:
            self._note(str(name), body)
        return ""

    def typed_chunk(self) -> Event | None:
        """The event that came last as a model, once; None for what is none. Raises DecodeError."""
        body, self._body = self._body, None
        return None if body is None else session_chat.event_of(body, self._id)

    def response(self) -> SessionChatResponse:
        """The same as if the answer had come whole."""
        known, stored = self.metadata, self._stored
        said = openai.message_of(self.text, self._tools)
        calls = [{"id": call["id"], **call["function"]} for call in said.get("tool_calls", ())]
        results = [
            {"call_id": event.call_id, "result": event.content}  # type: ignore[attr-defined]
            for event in self._tools
            if event.type == "tool_result"
        ]
        message = models.SessionMessage(
            models.MessageRole.ASSISTANT,
            [{"type": "text", "text": self.text}],
            stored.id if stored else None,
            stored.created_at if stored else None,
            calls or None,
            results or None,
        )
        return models.SessionChatResponse(
            message,
            known.get("id") or "",
            known.get("turn_id") or "",
            known.get("usage") or models.UsageInfo(),
            known.get("finish_reason"),
        )

    def _note(self, name: str, body: dict[str, Any]) -> None:
        if name in session_chat.TERMINAL:
            self.is_whole = True
            self.metadata["id"] = body.get("id")
            self.metadata["finish_reason"] = body.get("finish_reason") or name
        elif name == "interaction_start":
            self.metadata["model"] = body.get("model")
        elif name == "usage":
            with suppress(DecodeError):
                self.metadata["usage"] = models.UsageInfo.from_dict(body.get("usage"))
        elif name in _TOOLS:
            event = session_chat.event_of(body, self._id)
            assert event is not None
            self._tools.append(event)
        elif name == "message":
            with suppress(DecodeError):
                self._stored = models.ChatMessageRecord.from_dict(body.get("message"))

    def _failure(self, body: dict[str, Any]) -> Exception:
        said = {"message": body.get("content"), "code": body.get("code")}
        payload = {"error": {**said, "status": body.get("status")}}
        return errors.stream_error_from(payload, partial=self.text, metadata=self.metadata)


def encode_file(filename: str, content_type: str, content: bytes) -> tuple[bytes, str]:
    """A form with one file: its bytes, and the Content-Type that goes with them."""
    boundary = f"chatserver-{uuid4().hex}"
    # https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    named = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    disposition = f'Content-Disposition: form-data; name="file"; filename="{named}"'
    head = f"--{boundary}\r\n{disposition}\r\nContent-Type: {content_type}\r\n\r\n"
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"
