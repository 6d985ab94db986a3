"""Answers for a WireServer, byte by byte: what is sent, where it waits, where it is cut.

A script is a sequence of steps; the functions here write the scripts of common answers. Nothing
here checks that an answer makes sense: an answer that makes none is what such a server is for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

Framing = Literal["chunked", "close_delimited", "sized"]


@dataclass(frozen=True)
class Pause:
    """Wait: so many seconds, or until an Event is set. Closing the server ends every wait.

    until: seconds, or the Event; one that is still waited for when the server closes is set then.
    """

    until: float | threading.Event


@dataclass(frozen=True)
class Cut:
    """Close the connection; what follows in the script is not sent.

    reset: the way a dying machine does it (RST), which may take bytes along that were sent before.
    """

    reset: bool = False


@dataclass(frozen=True)
class UntilHangup:
    """Wait until the client closes the connection, and tell it by setting the Event.

    seen: the Event.
    """

    seen: threading.Event


Step = bytes | Pause | Cut | UntilHangup
Script = bytes | Iterable[Step]


def plain_answer(
    status: int, content: bytes, headers: Mapping[str, str] | None = None
) -> list[Step]:
    """An answer with these bytes as its body; text/plain unless `headers` say otherwise."""
    defaults = {"Content-Type": "text/plain", "Content-Length": str(len(content))}
    return [_head(status, defaults, headers) + content]


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> list[Step]:
    """An answer with this value as its JSON."""
    return plain_answer(
        status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
    )


def close_delimited(
    *pieces: Step, headers: Mapping[str, str] | None = None, status: int = 200
) -> list[Step]:
    """An event stream that ends where the connection does, so that a cut looks like an end."""
    return [_head(status, {**_EVENTS, "Connection": "close"}, headers), *pieces, Cut()]


def chunked(
    *pieces: Step, headers: Mapping[str, str] | None = None, status: int = 200
) -> list[Step]:
    """An event stream in HTTP chunks, one for each of the pieces that are bytes."""
    head = _head(status, {**_EVENTS, "Transfer-Encoding": "chunked"}, headers)
    return [head, *(_chunk(piece) for piece in pieces), b"0\r\n\r\n"]


def sized(*pieces: Step, headers: Mapping[str, str] | None = None, status: int = 200) -> list[Step]:
    """An event stream that says beforehand how long it is."""
    length = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
    return [_head(status, {**_EVENTS, "Content-Length": str(length)}, headers), *pieces]


def event_stream(
    *pieces: Step,
    framing: Framing = "chunked",
    fingerprint: str | None = "s1",
    headers: Mapping[str, str] | None = None,
) -> list[Step]:
    """A streamed completion as a chat server sends it: its fingerprint is in a header too."""
    write = {"chunked": chunked, "close_delimited": close_delimited, "sized": sized}[framing]
    named = {} if fingerprint is None else {"X-Session-Id": fingerprint}
    return write(*pieces, headers={**named, **(headers or {})})


def event(data: Any, *, name: str | None = None, id: str | None = None) -> bytes:
    """The bytes of one server-sent event; `data` that is no string is written as JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    head = (f"event: {name}\n" if name else "") + (f"id: {id}\n" if id else "")
    return f"{head}data: {text}\n\n".encode()


def delta(text: str, *, id: str | None = None, **fields: Any) -> bytes:
    """The event that adds this text to a streamed completion; `fields` join the chunk's own."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event({**_CHUNK, "choices": [choice], **fields}, id=id)


def finished(reason: str = "stop", *, id: str | None = None, **fields: Any) -> bytes:
    """The event that ends a choice of a streamed completion."""
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return event({**_CHUNK, "choices": [choice], **fields}, id=id)


def completion(text: str, **fields: Any) -> dict[str, Any]:
    """The JSON of a whole completion; `fields` replace or join its own."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "system_fingerprint": "s1",
        **fields,
    }


DONE = b"data: [DONE]\n\n"

_EVENTS = {"Content-Type": "text/event-stream"}
_CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "m",
    "system_fingerprint": "s1",
}


def _head(status: int, defaults: Mapping[str, str], headers: Mapping[str, str] | None) -> bytes:
    given = {name.lower() for name in headers or ()}
    kept = {name: value for name, value in defaults.items() if name.lower() not in given}
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in {**kept, **(headers or {})}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Whatever"


def _chunk(piece: Step) -> Step:
    # An empty chunk would be the last one.
    if isinstance(piece, bytes) and piece:
        return b"%x\r\n%b\r\n" % (len(piece), piece)
    return piece
