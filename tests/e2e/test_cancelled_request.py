"""A request whose task is cancelled, as uvicorn does when it waits no longer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing

import pytest
from starlette.types import Message

from chatserver_sdk.server import Settings
from chatserver_sdk.server.app import create_app
from chatserver_sdk.storage import open_store


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/platform/admins"])
def test_a_cancelled_request_is_no_failure(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """It ends without an exception, which uvicorn would log, and without an answer to nobody."""
    sent: list[Message] = []

    async def cancel_one() -> None:
        waiting = asyncio.Event()

        async def receive() -> Message:
            waiting.set()
            return await asyncio.get_running_loop().create_future()

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer any")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        with closing(open_store(":memory:")) as store:
            app = create_app(store, Settings(dev=True))
            request = asyncio.ensure_future(app({**scope, "query_string": b""}, receive, send))
            await waiting.wait()
            request.cancel()
            await request

    asyncio.run(cancel_one())
    assert sent == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
