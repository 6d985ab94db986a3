"""The bodies of requests: how much of them is read, and which of them are one request."""

from __future__ import annotations

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

_KEY = re.compile(r"[\x21-\x7e]{1,256}")


def limited(receive: Receive, limit: int) -> Receive:
    """What is received, up to so many bytes; behind them it raises RequestRefused."""
    size = 0

    async def receive_within() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise RequestRefused(413, f"the request is longer than {limit} bytes")
        return message

    return receive_within


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
