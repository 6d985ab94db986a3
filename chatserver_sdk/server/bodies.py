"""The bodies of requests: how much of them is read, and which of them are one request."""

from __future__ import annotations

import asyncio
import hashlib
import re

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from chatserver_sdk.engine import InvalidRequest, Key
from chatserver_sdk.models import Principal

from .errors import RequestRefused

# What the OpenAPI document says of the header.
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same body within 24 hours, the same answer is given.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,256}$"},
}

# Bytes a second: a body that comes faster is given time, however long it is.
_SLOWEST = 10_000

_KEY = re.compile(r"[\x21-\x7e]{1,256}")


def limited(receive: Receive, limit: int, timeout: float) -> Receive:
    """What is received, up to so many bytes and for so many seconds; then RequestRefused.

    What comes behind the body says that the caller has gone, and may take any time.
    """
    size = 0
    is_whole = False
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def receive_within() -> Message:
        nonlocal size, is_whole
        if is_whole:
            return await receive()
        message = await _in_time(receive, begun + timeout + size / _SLOWEST)
        is_whole = not message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > limit:
            raise RequestRefused(413, f"the request is longer than {limit} bytes")
        return message

    return receive_within


async def _in_time(receive: Receive, until: float) -> Message:
    # Not wait_for(): until Python 3.12 that makes a task of everything it waits for.
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    is_late = False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = loop.call_at(until, give_up)
    try:
        return await receive()
    except asyncio.CancelledError:
        if not is_late:
            raise
        sentence = "the body of the request did not come in time"
        raise RequestRefused(408, sentence, Connection="close") from None
    finally:
        timer.cancel()


async def read_body(receive: Receive) -> bytes:
    """All of it. Raises RequestRefused where the connection is closed before."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused(400, "the connection was closed before the request was whole")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def idempotency_key(headers: Headers, principal: Principal, route: str, body: bytes) -> Key | None:
    """The key that makes this request and its repetitions one. Raises InvalidRequest."""
    sent = headers.getlist("idempotency-key")
    if not sent:
        return None
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise InvalidRequest(
            "Idempotency-Key must be 1 to 256 visible ASCII characters",
            "invalid_value",
            "Idempotency-Key",
        )
    return Key(principal.id, route, sent[0], hashlib.sha256(body).hexdigest())
