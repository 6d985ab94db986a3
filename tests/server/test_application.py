"""The ASGI application, called as a server calls it: what no client can do at will."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgi_exchange import Exchange, application, ask, body, laps, new_turn, run
from scripted_agents import Gate, ScriptedAgent
from server_wire import COMPLETIONS, PLATFORM, parse

from chatserver_sdk.models.events import ModeChanged, TextDelta, TurnCompleted
from chatserver_sdk.server.routes.completions import Chunks
from chatserver_sdk.server.streaming import send_events
from chatserver_sdk.storage import sessions


def test_silence_is_filled_with_comments() -> None:
    """While nothing is said, a comment goes out now and then; events are not touched by it."""

    async def work() -> Any:
        turn, exchange = new_turn(), Exchange()

        async def send(message: Any) -> None:
            await exchange.send(message)
            comments = sum(b": still here" in m.get("body", b"") for m in exchange.sent)
            if comments == 3 and turn.state == "running":
                turn.emit(TextDelta("x"), TurnCompleted())

        await send_events(turn, Chunks(turn), {}, exchange.receive, send, heartbeat=0.001)
        return exchange

    exchange = run(work)
    assert exchange.body.count(b": still here\n\n") == 3
    events = list(parse(exchange.body))
    assert [event.id for event in events] == ["t:1", "t:2", "t:3", "t:3"]
    assert [m["more_body"] for m in exchange.sent[1:]] == [True] * 4 + [False]


def test_what_waits_is_sent_at_once() -> None:
    """All events that are there are one message to the server, not one each."""

    async def work() -> Any:
        turn, exchange = new_turn(), Exchange()
        turn.emit(*(TextDelta("x") for _ in range(100)), TurnCompleted())
        await send_events(turn, Chunks(turn), {"x-a": "b"}, exchange.receive, exchange.send)
        return exchange

    exchange = run(work)
    assert len(exchange.sent) == 2 and len(list(parse(exchange.body))) == 103
    assert (b"x-a", b"b") in exchange.sent[0]["headers"]


@pytest.mark.parametrize(("count", "size"), [(5000, 1), (300, 10_000), (3, 1_000_000)])
def test_a_long_log_is_sent_in_pieces(count: int, size: int) -> None:
    """A reader who takes nothing holds up one piece of it, and others get their turn in between."""

    async def work() -> Any:
        turn, exchange = new_turn(), Exchange()
        turn.emit(*(TextDelta("x" * size) for _ in range(count)), TurnCompleted())
        go_on = asyncio.Event()

        async def send(message: Any) -> None:
            await exchange.send(message)
            await go_on.wait()

        sending = asyncio.ensure_future(
            send_events(turn, Chunks(turn), {}, exchange.receive, send, after=1)
        )
        await laps()
        held = len(exchange.sent)
        go_on.set()
        await sending
        return held, exchange

    held, exchange = run(work)
    pieces = [len(message["body"]) for message in exchange.sent[1:]]
    assert held == 1 and len(pieces) >= 3
    assert max(pieces) < 64 * 1024 + size + 1000
    assert len(list(parse(exchange.body))) == count + 2


def test_what_has_no_word_here_is_passed_over() -> None:
    """An event that this dialect does not show sends nothing, not even a comment."""

    async def work() -> Any:
        turn, exchange = new_turn(), Exchange()
        sending = asyncio.ensure_future(
            send_events(turn, Chunks(turn), {}, exchange.receive, exchange.send)
        )
        for event in (ModeChanged("expert"), ModeChanged("ai"), TurnCompleted()):
            await laps()
            turn.emit(event)
        await sending
        return exchange

    exchange = run(work)
    assert len(exchange.sent) == 3
    assert [event.id for event in parse(exchange.body)] == ["t:1", "t:4", "t:4"]


@pytest.mark.parametrize("says_more", [True, False])
def test_a_reader_who_is_gone_is_sent_nothing(says_more: bool) -> None:
    """Once the connection is closed, sending ends, whether or not there is something to say."""

    async def work() -> Any:
        turn, exchange = new_turn(), Exchange()
        sending = asyncio.ensure_future(
            send_events(turn, Chunks(turn), {}, exchange.receive, exchange.send, heartbeat=0.01)
        )
        await laps()
        exchange.hang_up()
        await laps()
        if says_more:
            turn.emit(TextDelta("x"))
        await sending
        return turn.state

    assert run(work) == "running"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_nobodys_ends_with_its_reader(stream: bool) -> None:
    """Without a history and without a reader, the agent is stopped when the window is over."""
    gate = Gate()
    agent = ScriptedAgent("a", gate, name="echo")

    async def work() -> Any:
        async with application(agent, resume_window=0) as app:
            exchange = Exchange(body(stream=stream))
            asking = asyncio.ensure_future(ask(app, exchange, COMPLETIONS))
            while not gate.reached.is_set() or (stream and not exchange.body):
                await asyncio.sleep(0)
            exchange.hang_up()
            # A stream notices at its next event or comment; this one has none to wait for.
            if stream:
                asking.cancel()
            await asyncio.wait([asking])
            while not agent.ended:
                await asyncio.sleep(0)
            return exchange.status

    assert run(work) == (200 if stream else None)


def test_a_stored_answer_outlives_its_reader() -> None:
    """Whole answers too: who hangs up finds it in the history."""
    gate = Gate()
    agent = ScriptedAgent("a", gate, "b", name="echo")

    async def work() -> Any:
        async with application(agent, resume_window=0) as app:
            exchange = Exchange(body(user="ada"))
            asking = asyncio.ensure_future(ask(app, exchange, COMPLETIONS))
            while not gate.reached.is_set():
                await asyncio.sleep(0)
            exchange.hang_up()
            await laps()
            gate.open()
            await asking
            session_id = agent.questions[0].session_id
            store = app.services.store
            return [m.text for m in await store.read(sessions.list_messages, session_id)]

    assert run(work) == ["hello", "ab"]


@pytest.mark.parametrize("path", [COMPLETIONS, f"{PLATFORM}/admins"])
@pytest.mark.parametrize("sizes", [[101], [50, 51], [1] * 101, [0, 101], [10_000]])
def test_a_body_that_is_too_long(path: str, sizes: list[int]) -> None:
    """However it is cut, it is refused as soon as it is over the limit."""

    async def work() -> Any:
        async with application(max_body_bytes=100) as app:
            return await ask(app, Exchange(*(b"x" * size for size in sizes)), path)

    exchange = run(work)
    assert (exchange.status, exchange.error["code"]) == (413, "body_too_large")
    assert "100 bytes" in exchange.error["message"]


def test_a_body_within_the_limit() -> None:
    """Up to the last byte it is read, in whatever pieces it comes."""
    content = body()

    async def work() -> Any:
        async with application(max_body_bytes=len(content)) as app:
            pieces = [content[at : at + 1] for at in range(len(content))]
            return await ask(app, Exchange(*pieces), COMPLETIONS)

    assert run(work).status == 200


ASKED = {"temperature": 0, "top_p": 0.5, "max_tokens": 7, "system_prompt": "Be brief."}


@pytest.mark.parametrize("fields", [{}, ASKED, dict.fromkeys(ASKED)])
def test_what_an_agent_is_told(fields: dict[str, Any]) -> None:
    """What the request says, and nothing in place of what it leaves open."""
    agent = ScriptedAgent("a", name="echo")

    async def work() -> Any:
        async with application(agent) as app:
            return await ask(app, Exchange(body(**fields)), COMPLETIONS)

    assert run(work).status == 200
    told = {name: getattr(agent.questions[0], name) for name in ASKED}
    assert told == {name: fields.get(name) for name in ASKED}


@pytest.mark.parametrize("parts", [[], [b""], [body()[:10]]])
def test_a_request_that_breaks_off(parts: list[bytes]) -> None:
    """Nothing is asked in the name of somebody whose request was not whole."""
    agent = ScriptedAgent("a", name="echo")

    async def work() -> Any:
        async with application(agent) as app:
            return await ask(app, Exchange(*parts, hangs_up=True), COMPLETIONS)

    assert run(work).status == 400 and agent.questions == []


@pytest.mark.parametrize("path", [COMPLETIONS, f"{PLATFORM}/stats"])
def test_a_store_that_is_gone(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """503 with a sentence, wherever it is missed; the operator reads the same one, once."""

    async def work() -> Any:
        async with application() as app:
            app.services.store.close()
            method = "POST" if path == COMPLETIONS else "GET"
            return await ask(app, Exchange(body()), path, method)

    exchange = run(work)
    assert (exchange.status, exchange.error["type"]) == (503, "service_unavailable")
    assert exchange.error["message"] == "the store is closed"
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == "a request could not be carried out: the store is closed"
    assert record.exc_info is None


def test_a_server_that_is_stopping() -> None:
    """It begins nothing new, and says that trying again is worth it."""

    async def work() -> Any:
        async with application() as app:
            await app.services.chat.close()
            return await ask(app, Exchange(body()), COMPLETIONS)

    exchange = run(work)
    assert (exchange.status, exchange.error["code"]) == (503, "shutting_down")


def test_an_agent_that_cannot_check(caplog: pytest.LogCaptureFixture) -> None:
    """What an agent raises where it may only refuse is a 500 without particulars, and logged."""

    class Broken(ScriptedAgent):
        def check(self, question: Any) -> None:
            raise KeyError("secret")

    async def work() -> Any:
        async with application(Broken(name="echo")) as app:
            return await ask(app, Exchange(body()), COMPLETIONS)

    exchange = run(work)
    assert (exchange.status, exchange.error["type"]) == (500, "server_error")
    assert b"secret" not in exchange.body and "secret" in caplog.text


def test_an_answer_that_breaks_on_its_way(caplog: pytest.LogCaptureFixture) -> None:
    """What fails once the answer has begun is logged; no second answer is begun behind it."""

    async def work() -> Any:
        async with application() as app:
            exchange = Exchange(body(stream=True))

            async def send(message: Any) -> None:
                await exchange.send(message)
                if message["type"] == "http.response.body":
                    raise OSError("the cable is cut")

            broken = Exchange(body(stream=True))
            broken.send = send  # type: ignore[method-assign]
            await ask(app, broken, COMPLETIONS)
            return exchange.sent

    sent = run(work)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "the cable is cut" in caplog.text
