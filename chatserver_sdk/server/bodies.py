"""The bodies of requests: how much of them is read."""

from __future__ import annotations

from starlette.types import Message, Receive

from .errors import RequestRefused


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
