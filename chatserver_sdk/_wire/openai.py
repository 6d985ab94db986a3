"""The chat-completions dialect: answers and chunks, read (client) and written (server)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from chatserver_sdk import _json, models
from chatserver_sdk.exceptions import DecodeError

from . import errors, sse
from .answers import DONE as DONE
from .answers import StreamedAnswer as StreamedAnswer
from .answers import is_error
from .sse import ServerSentEvent

if TYPE_CHECKING:
    from chatserver_sdk.models import ChatCompletionResponse, UsageInfo
    from chatserver_sdk.models.events import Event

# How the lines of events begin: data, event, id, retry, a comment.
_FIELDS = (b"d", b"e", b"i", b"r", b":")
# The byte order mark and what blank lines are made of.
_BLANK = b"\xef\xbb\xbf \t\r\n"

# The fingerprint is said in a header as well, before the first event: a stream that is cut at
# its first token can be resumed all the same.
_METADATA_HEADERS = {
    "system_fingerprint": "x-session-id",
    "turn_id": "x-turn-id",
    "request_id": "x-request-id",
}


_BESIDE_TEXT = {"thought_delta", "tool_call", "tool_call_delta"}


def read_completion(body: Any) -> ChatCompletionResponse:
    """The whole answer in a decoded body. Raises DecodeError, or what the body says it is."""
    if is_error(body):
        raise errors.error_in_success(body)
    if not isinstance(body, Mapping) or not isinstance(body.get("choices"), list):
        raise DecodeError("the server's answer is not a completion: it has no list of choices")
    return models.ChatCompletionResponse.from_decoded(body)


def events_of(content_type: str | None, chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events of an answer that was to be a stream, whatever it is and whatever it says it is.

    A whole answer as JSON is given in the words of a stream. Nothing is read before the first
    event is asked for. Raises DecodeError for a page, for text, and for what is not JSON.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    start, body = _started(chunks)
    if start == b"<":
        raise DecodeError(f"the server answered with a page ({_said(kind)}), not with events")
    if start in (b"{", b"[") or (_is_json(kind) and start not in _FIELDS):
        yield from events_of_whole(body)
        return
    events = sse.iter_events(body)
    first = next(events, None)
    if first is not None:
        yield first
        yield from events
    # Of events that were announced none may have come: then the connection was cut.
    elif start and kind != "text/event-stream":
        raise DecodeError(f"the server answered with text ({_said(kind)}), not with events")


def events_of_whole(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """A whole answer in the words of a stream, from servers that do not stream when asked to.

    Raises DecodeError for what is not JSON.
    """
    try:
        body = json.loads(_bounded(chunks))
    except (ValueError, RecursionError) as exc:
        raise DecodeError("the server's answer is neither events nor JSON") from exc
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if isinstance(choices, list):
        body = {**body, "choices": [_as_delta(choice) for choice in choices]}
    yield ServerSentEvent(json.dumps(body))
    if isinstance(choices, list):
        yield ServerSentEvent(DONE)


def _bounded(chunks: Iterable[bytes]) -> bytes:
    pieces, size = [], 0
    for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > sse.MAX_EVENT_BYTES:
            raise DecodeError(f"the server's answer is longer than {sse.MAX_EVENT_BYTES} bytes")
    return b"".join(pieces)


def metadata_from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """What is known of a streamed answer before its first event."""
    found = {key: errors.header(headers, name) for key, name in _METADATA_HEADERS.items()}
    return {key: value for key, value in found.items() if value is not None}


def _started(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first byte that says something, and the body from there on."""
    body = iter(chunks)
    for chunk in body:
        said = chunk.lstrip(_BLANK)
        if said:
            return said[:1], chain([said], body)
    return b"", iter(())


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _said(kind: str) -> str:
    """The type of a body, as the server named it; it may be anything, and is shown in part."""
    return kind[:80] or "of no type"


def _as_delta(choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    return {**choice, "delta": choice.get("message")}


@dataclass(frozen=True)
class Heading:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str
    fingerprint: str


def completion_body(
    heading: Heading,
    text: str,
    finish_reason: str,
    usage: UsageInfo,
    said: Iterable[Event] = (),
) -> dict[str, Any]:
    """The JSON of a whole answer: what its chunks add up to.

    said: the events that hold thoughts and tool calls; others are passed over.
    """
    return {
        "id": heading.id,
        "object": "chat.completion",
        "created": heading.created,
        "model": heading.model,
        "choices": [
            {
                "index": 0,
                "message": message_of(text, said),
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


def text_chunk(heading: Heading) -> Callable[[str], str]:
    """What gives the JSON of the chunk that says some text; most chunks do, so that all of it but
    the text is written once."""
    empty = _chunk(heading, {"delta": {"content": ""}, "finish_reason": None})
    written = _json.compact(empty)
    # Quotes inside a name are escaped, so this stands for the field alone.
    start, field, end = written.rpartition('"content":')
    return lambda text: f"{start}{field}{_json.compact(text)}{end[2:]}"


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


def message_of(text: str, said: Iterable[Event]) -> dict[str, Any]:
    """The JSON of an answer's message. said: as of completion_body."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    thoughts: list[str] = []
    calls: dict[int, list[dict[str, Any]]] = {}
    for delta in (_delta(event) or {} for event in said if event.type in _BESIDE_TEXT):
        thoughts.append(delta.get("reasoning_content", ""))
        for piece in delta.get("tool_calls", ()):
            calls.setdefault(piece["index"], []).append(piece)
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        # As OpenAI's does: a call, and nothing said.
        message["content"] = text or None
        message["tool_calls"] = [_whole_call(calls[index]) for index in sorted(calls)]
    return message


def _whole_call(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    functions = [piece["function"] for piece in pieces]
    joined = {key: "".join(f.get(key, "") for f in functions) for key in ("name", "arguments")}
    ids = [piece["id"] for piece in pieces if piece.get("id")]
    return {"id": ids[-1] if ids else "", "type": "function", "function": joined}


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
