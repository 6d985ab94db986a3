"""Sockets that must not be opened in the way they are asked for: refused before anything else."""

from __future__ import annotations

from typing import Any

import pytest
from asgi_exchange import application, run


async def opened(host: str, scheme: str, **settings: Any) -> list[Any]:
    """What an application says to somebody who wants to open a socket."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": "/no/such/socket",
        "raw_path": b"/no/such/socket",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "subprotocols": [],
    }
    async with application(**settings) as app:
        await app(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("host", "scheme", "settings", "code"),
    [
        ("evil.example", "ws", {"dev": True}, 1008),
        ("a.example", "ws", {"require_tls": True, "trusted_proxies": ("10.0.0.1",)}, 1008),
        # Nobody's fault: there is no such socket.
        ("localhost", "ws", {"dev": True}, 1000),
        ("a.example", "wss", {"require_tls": True, "trusted_proxies": ("10.0.0.1",)}, 1000),
    ],
)
def test_sockets(host: str, scheme: str, settings: dict[str, Any], code: int) -> None:
    """Names of others in development, and plain text where it must not be, are refused."""
    (message,) = run(lambda: opened(host, scheme, **settings))
    assert (message["type"], message["code"]) == ("websocket.close", code)
