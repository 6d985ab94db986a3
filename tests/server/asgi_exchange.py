"""The ASGI application as a server calls it: requests made of messages, and what is sent back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from server_wire import request

from chatserver_sdk.engine import Turn
from chatserver_sdk.models.events import TurnStarted
from chatserver_sdk.server import Settings, create_app
from chatserver_sdk.server.app import ChatServerApp
from chatserver_sdk.storage import open_store

KEY = "csk_key"
DISCONNECT = {"type": "http.disconnect"}


class Exchange:
    """One request to an application: what it receives, and all that it has sent."""

    def __init__(self, *parts: bytes, hangs_up: bool = False) -> None:
        last = len(parts) - 1
        self._incoming: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": hangs_up or place < last}
            for place, part in enumerate(parts)
        ]
        self._gone = asyncio.Event()
        self.sent: list[Any] = []
        self.begun = asyncio.Event()
        if hangs_up:
            self.hang_up()

    def hang_up(self) -> None:
        """The client closes its connection."""
        self._gone.set()

    async def receive(self) -> Any:
        """What a server hands over."""
        if self._incoming:
            return self._incoming.pop(0)
        await self._gone.wait()
        return DISCONNECT

    async def send(self, message: Any) -> None:
        """What a server is given."""
        self.sent.append(message)
        self.begun.set()

    @property
    def status(self) -> int | None:
        """The answer's status; None where there is no answer."""
        return self.sent[0]["status"] if self.sent else None

    @property
    def body(self) -> bytes:
        """The answer's body so far."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def error(self) -> Any:
        """The error in the answer."""
        return json.loads(self.body)["error"]


async def ask(app: ChatServerApp, exchange: Exchange, path: str, method: str = "POST") -> Exchange:
    """Let the application answer."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, exchange.receive, exchange.send)
    return exchange


def body(**fields: Any) -> bytes:
    """A completion that the first agent of a test is asked for."""
    return json.dumps(request("hello", **fields)).encode()


@asynccontextmanager
async def application(*agents: Any, **settings: Any) -> AsyncIterator[ChatServerApp]:
    """An application over a store in memory, in which KEY is the administrator's."""
    store = open_store(":memory:")
    app = create_app(store, Settings(**settings), agents)
    await app.services.keys.create_first(KEY)
    try:
        yield app
    finally:
        await app.services.chat.close()
        await app.services.close()
        store.close()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """What the work gives; nothing takes longer than a minute."""

    async def bounded() -> Any:
        return await asyncio.wait_for(work(), 60)

    return asyncio.run(bounded())


async def laps(count: int = 50) -> None:
    """Let everybody else on the loop have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def new_turn() -> Turn:
    """A turn that has begun."""
    turn = Turn("t", session_id="s", model="m", user_id=None)
    turn.emit(TurnStarted())
    return turn
