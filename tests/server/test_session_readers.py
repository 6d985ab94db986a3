"""Readers of a session's turn that leave, that are slow, that were never there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgi_exchange import Exchange, application, ask, laps, run
from scripted_agents import EndlessAgent, Gate, ScriptedAgent
from server_wire import COMPLETIONS, request

from chatserver_sdk.models import CreateSessionRequest
from chatserver_sdk.server.app import ChatServerApp

NEVER = Gate()


async def open_session(app: ChatServerApp, model: str) -> str:
    """The path of a new session."""
    principal = await app.services.keys.authenticate("csk_key")
    request = CreateSessionRequest(model, "ada")
    answer = await app.services.sessions.create_session(principal, request)
    return f"/api/v2/sessions/{answer[1]['id']}"


def body(**fields: Any) -> bytes:
    """A message."""
    return json.dumps({"message": {"role": "user", "content": "x"}, **fields}).encode()


CANCEL = {"metadata": {"on_disconnect": "cancel"}}


@pytest.mark.parametrize("stream", [True, False])
def test_a_reader_that_leaves_a_silent_turn(stream: bool) -> None:
    """Is noticed at once and not at the next heartbeat; then the turn is stopped."""

    async def work() -> str:
        async with application(ScriptedAgent(NEVER, name="silent"), disconnect_grace=0.0) as app:
            path = await open_session(app, "silent")
            exchange = Exchange(body(stream=stream, **CANCEL))
            asking = asyncio.ensure_future(ask(app, exchange, f"{path}/chat"))
            session_id = path.rpartition("/")[2]
            while (turn := app.services.chat._running.find(session_id)) is None:
                await asyncio.sleep(0)
            while not turn.readers:
                await asyncio.sleep(0)
            exchange.hang_up()
            await turn.end()
            await asking
            return turn.state

    assert run(work) == "cancelled"


@pytest.mark.parametrize("stream", [True, False])
def test_a_reader_that_leaves_a_silent_completion(stream: bool) -> None:
    """The same for a completion that is somebody's history."""

    async def work() -> str:
        async with application(ScriptedAgent(NEVER, name="silent"), disconnect_grace=0.0) as app:
            session_id = "00000000-0000-4000-8000-000000000001"
            metadata = {**CANCEL["metadata"], "session_id": session_id}
            sent = request("x", model="silent", user="ada", stream=stream, metadata=metadata)
            exchange = Exchange(json.dumps(sent).encode())
            asking = asyncio.ensure_future(ask(app, exchange, COMPLETIONS))
            while (turn := app.services.chat._running.find(session_id)) is None:
                await asyncio.sleep(0)
            while not turn.readers:
                await asyncio.sleep(0)
            exchange.hang_up()
            await turn.end()
            await asking
            return turn.state

    assert run(work) == "cancelled"


def test_a_reader_that_leaves_changes_nothing() -> None:
    """Unless that was asked for; what was said is there for who joins."""
    gate = Gate()

    async def work() -> Any:
        async with application(ScriptedAgent("a ", gate, "b", name="slow")) as app:
            path = await open_session(app, "slow")
            exchange = Exchange(body())
            asking = asyncio.ensure_future(ask(app, exchange, f"{path}/chat"))
            await exchange.begun.wait()
            exchange.hang_up()
            await asking
            gate.open()
            joined = await ask(app, Exchange(b""), f"{path}/chat/events", "GET")
            return joined.status, joined.body.count(b"event: text_delta"), joined.body

    status, texts, said = run(work)
    assert (status, texts) == (200, 2) and b"event: completion" in said


def test_a_reader_that_takes_nothing() -> None:
    """It is sent no more than a part at once, while the agent and another reader go on."""

    class Stuck(Exchange):
        """Takes the head and the first part, and then nothing."""

        async def send(self, message: Any) -> None:
            await super().send(message)
            if len(self.sent) == 2:
                await asyncio.Event().wait()

    async def work() -> Any:
        async with application(EndlessAgent()) as app:
            path = await open_session(app, "endless")
            stuck = Stuck(body())
            asking = asyncio.ensure_future(ask(app, stuck, f"{path}/chat"))
            await stuck.begun.wait()
            other = Exchange(b"")
            joining = asyncio.ensure_future(ask(app, other, f"{path}/chat/events", "GET"))
            while other.body.count(b"event: text_delta") < 2000:
                await asyncio.sleep(0)
            await ask(app, Exchange(b""), f"{path}/chat", "DELETE")
            await joining
            asking.cancel()
            await asyncio.wait({asking})
            await laps()
            return len(stuck.sent), len(stuck.body), other.body[-400:]

    parts, size, end = run(work)
    assert parts == 2 and size < 200_000 and b"event: interaction_end" in end
