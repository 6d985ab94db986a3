"""The chat-completions dialect: answers and chunks, read (client) and written (server)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatserver_sdk import models
from chatserver_sdk.exceptions import DecodeError

from . import errors
from .sse import ServerSentEvent

if TYPE_CHECKING:
    from chatserver_sdk.models import ChatCompletionResponse, UsageInfo
    from chatserver_sdk.models.events import Event

DONE = "[DONE]"

# The fingerprint is said in a header as well, before the first event: a stream that is cut at
# its first token can be resumed all the same.
_METADATA_HEADERS = {
    "system_fingerprint": "x-session-id",
    "turn_id": "x-turn-id",
    "request_id": "x-request-id",
}
_METADATA_KEYS = ("id", "model", "created", "system_fingerprint")


def read_completion(body: Any) -> ChatCompletionResponse:
    """The whole answer in a decoded body. Raises DecodeError, or what the body says it is."""
    if _is_error(body):
        raise errors.error_in_success(body)
    if not isinstance(body, Mapping) or not isinstance(body.get("choices"), list):
        raise DecodeError("the server's answer is not a completion: it has no list of choices")
    return models.ChatCompletionResponse.from_dict(body)


def metadata_from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """What is known of a streamed answer before its first event."""
    found = {key: errors.header(headers, name) for key, name in _METADATA_HEADERS.items()}
    return {key: value for key, value in found.items() if value is not None}


class StreamedAnswer:
    """A streamed answer as it adds up, event by event. Feed it until `is_done`."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.is_done = False
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """The text of choice 0 so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @property
    def is_whole(self) -> bool:
        """Whether the answer was said to its end."""
        return self.is_done or bool(self.metadata.get("finish_reason"))

    def add(self, event: ServerSentEvent) -> str:
        """Take an event in; the text that it adds, mostly some, sometimes none.

        Raises StreamFailedError for an error that the server sends, DecodeError for data that
        is not JSON.
        """
        if event.data == DONE:
            self.is_done = True
            return ""
        chunk = self._decode(event)
        if not isinstance(chunk, Mapping):
            return ""
        self._note(chunk)
        text = self._delta_text(chunk)
        if text:
            self._texts.append(text)
        return text

    def response(self) -> ChatCompletionResponse:
        """The same as if the answer had come whole."""
        known = self.metadata
        return models.ChatCompletionResponse(
            id=known.get("id") or "",
            created=known.get("created") or 0,
            model=known.get("model") or "",
            choices=[
                models.ChatCompletionChoice(
                    message=models.Message(models.MessageRole.ASSISTANT, self.text),
                    finish_reason=known.get("finish_reason"),
                )
            ],
            usage=known.get("usage") or models.UsageInfo(),
            system_fingerprint=known.get("system_fingerprint"),
        )

    def _decode(self, event: ServerSentEvent) -> Any:
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError) as exc:
            if event.event != "error":
                raise DecodeError("the server sent an event that is not JSON") from exc
            chunk = event.data
        if event.event == "error" or _is_error(chunk):
            raise errors.stream_error_from(chunk, partial=self.text, metadata=self.metadata)
        return chunk

    def _note(self, chunk: Mapping[str, Any]) -> None:
        for key in _METADATA_KEYS:
            if chunk.get(key):
                self.metadata[key] = chunk[key]
        if isinstance(chunk.get("usage"), Mapping):
            self.metadata["usage"] = models.UsageInfo.from_dict(chunk["usage"])

    def _delta_text(self, chunk: Mapping[str, Any]) -> str:
        """The text of choice 0, whatever else odd servers put into a chunk."""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, Mapping) or (choice.get("index") or 0) != 0:
                continue
            if choice.get("finish_reason"):
                self.metadata["finish_reason"] = choice["finish_reason"]
            delta = choice.get("delta")
            content = delta.get("content") if isinstance(delta, Mapping) else None
            return content if isinstance(content, str) else models.text_of(content)
        return ""


def _is_error(said: Any) -> bool:
    # Some gateways say it beside the choices: https://openrouter.ai/docs/api-reference/streaming
    if not isinstance(said, Mapping):
        return False
    return bool(said.get("error") or ("choices" not in said and said.get("detail")))


@dataclass(frozen=True)
class Heading:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str
    fingerprint: str


def completion_body(
    heading: Heading, text: str, finish_reason: str, usage: UsageInfo
) -> dict[str, Any]:
    """The JSON of a whole answer."""
    return {
        "id": heading.id,
        "object": "chat.completion",
        "created": heading.created,
        "model": heading.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage.to_dict(),
        "system_fingerprint": heading.fingerprint,
    }


def chunk_body(heading: Heading, event: Event) -> dict[str, Any] | None:
    """The JSON of the chunk that says this event; None where this dialect has no word for it."""
    kind = event.type
    if kind == "turn_failed":
        return _failure(event)
    if kind in ("turn_completed", "turn_cancelled"):
        return _last_chunk(heading, event)
    if kind in ("widget_shown", "widget_updated"):
        return _chunk(heading, {"delta": {}, "finish_reason": None, "widget": _widget(event)})
    delta = _delta(event)
    if delta is None:
        return None
    return _chunk(heading, {"delta": delta, "finish_reason": None})


def failure_detail(event: Any) -> errors.ErrorDetail:
    """A failed turn in the words of an error body."""
    kind = "invalid_request_error" if event.status < 500 else "server_error"
    return errors.ErrorDetail(event.message, type=kind, code=event.code)


def _failure(event: Any) -> dict[str, Any]:
    body = errors.encode_error(failure_detail(event))
    # A stream has no status line: the class of the reader's exception comes from this.
    body["error"]["status"] = event.status
    return body


def _last_chunk(heading: Heading, event: Any) -> dict[str, Any]:
    reason = event.finish_reason if event.type == "turn_completed" else "cancelled"
    chunk = _chunk(heading, {"delta": {}, "finish_reason": reason})
    if getattr(event, "usage", None) is not None:
        chunk["usage"] = event.usage.to_dict()
    return chunk


def _chunk(heading: Heading, choice: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": heading.id,
        "object": "chat.completion.chunk",
        "created": heading.created,
        "model": heading.model,
        "choices": [{"index": 0, **choice}],
        "system_fingerprint": heading.fingerprint,
    }


def _widget(event: Any) -> dict[str, Any]:
    said = event.to_dict()
    return {key: said[key] for key in said if key not in ("seq", "at")}


def _delta(event: Any) -> dict[str, Any] | None:
    if event.type == "text_delta":
        return {"content": event.text}
    if event.type == "turn_started":
        return {"role": "assistant", "content": ""}
    if event.type == "thought_delta":
        return {"reasoning_content": event.text}
    if event.type == "tool_call":
        function = {"name": event.name, "arguments": event.arguments}
        call = {"index": event.index, "id": event.id, "type": "function", "function": function}
        return {"tool_calls": [call]}
    if event.type == "tool_call_delta":
        return {"tool_calls": [{"index": event.index, "function": {"arguments": event.arguments}}]}
    return None
