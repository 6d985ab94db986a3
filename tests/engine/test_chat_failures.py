"""What goes wrong with an agent, a store, a reader or the server ends a turn and nothing else."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from engine_room import Room, everything, held, in_room, kinds, laps, room
from scripted_agents import EndlessAgent, Gate, ScriptedAgent, StubbornAgent

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import ShuttingDown
from chatserver_sdk.models import Message, MessageRole, UsageInfo
from chatserver_sdk.models.events import (
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    Usage,
    WidgetShown,
)
from chatserver_sdk.storage import StoreUnavailable, tables

NEVER = Gate()
UNKNOWN = "0a1b2c3d-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("secret"),
        RuntimeError("secret"),
        StopAsyncIteration("secret"),
        RecursionError("secret"),
        TimeoutError("secret"),
        SystemExit("secret"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_an_agent_raises(failure: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """It ends its turn with a sentence for the user; the log has its kind and its places, not its words."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        events = await everything(turn)
        return events, await room.texts(turn), (await room.rows(tables.turns))[0]

    events, texts, stored = in_room(ScriptedAgent("half ", failure), work=work)

    assert kinds(events) == ["turn_started", "text_delta", "usage", "turn_failed"]
    assert (events[-1].code, events[-1].status) == ("agent_failed", 500)
    assert "secret" not in events[-1].message and texts == ["x"]
    assert (stored.state, stored.error_code) == ("failed", "agent_failed")
    assert stored.ended_at is not None and "secret" not in caplog.text
    assert type(failure).__name__ in caplog.text and "scripted_agents.py" in caplog.text


def test_an_agent_that_cancels_itself() -> None:
    """It has stopped: the turn is cancelled, and what it had said stands."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        return await turn.end(), await room.texts(turn)

    end, texts = in_room(ScriptedAgent("half", asyncio.CancelledError()), work=work)
    assert isinstance(end, TurnCancelled) and texts == ["x", "half"]


def test_an_agents_own_failure_is_passed_on() -> None:
    """Its sentence, code and status are the turn's."""
    own = TurnFailed("try tomorrow", "quota", 429)

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        return await turn.end(), (await room.rows(tables.turns))[0]

    end, stored = in_room(ScriptedAgent("half", own), work=work)
    assert (end.message, end.code, end.status) == ("try tomorrow", "quota", 429)
    assert (stored.state, stored.error_code, stored.error_message) == (
        "failed",
        "quota",
        "try tomorrow",
    )


RUBBISH: list[Any] = [
    None,
    5,
    b"bytes",
    {"type": "text_delta"},
    TextDelta(5),  # type: ignore[arg-type]
    WidgetShown("w", "t", {"x": object()}),
    WidgetShown("w", "t", {"x": math.nan}),
    WidgetShown("w", "t", {"x": "\ud800"}),
    TurnFailed("\udfff"),
]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda value: repr(value)[:30])
def test_what_cannot_be_written_down(rubbish: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What is no event, or no JSON, fails the turn where it is said; no reader is left waiting."""

    async def work(room: Room) -> Any:
        turn = await room.say("x", session_id=None)
        events = await everything(turn)
        again = await room.say("y", session_id=turn.session_id)
        await again.end()
        return events

    events = in_room(ScriptedAgent("a", rubbish, "b"), work=work)
    assert kinds(events) == ["turn_started", "text_delta", "usage", "turn_failed"]
    assert caplog.records


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [("\ud83d\ude42", "🙂"), ("a\ud800b", "a\ufffdb"), ("\udfff", "\ufffd"), ("🙂ü\0", "🙂ü\0")],
)
def test_half_an_emoji(said: str, passed_on: str) -> None:
    """A text with lone surrogates, as some upstream servers cut them, is mended, not refused."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        return isinstance(await turn.end(), TurnCompleted), await room.texts(turn)

    for step in (said, TextDelta(said)):
        assert in_room(ScriptedAgent(step), work=work) == (True, ["x", passed_on])


def test_a_failed_question_can_be_asked_again_by_transcript() -> None:
    """A client that sends everything again does not double its question."""
    agent = ScriptedAgent(ValueError())

    async def work(room: Room) -> list[str]:
        first = await room.say("one", session_id=None)
        await first.end()
        room.model = "echo"
        past = await room.say("one again", session_id=first.session_id)
        await past.end()
        sent = [
            Message(MessageRole.USER, "one"),
            Message(MessageRole.USER, "one again"),
            Message(MessageRole.ASSISTANT, "one again"),
            Message(MessageRole.USER, "two"),
        ]
        for model in ("scripted", "scripted", "echo"):
            room.model = model
            turn = await room.send(sent, session_id=first.session_id)
            await turn.end()
        return await room.texts(turn)

    expected = ["one", "one again", "one again", "two", "two"]
    assert in_room(agent, EchoAgent(), work=work) == expected


def test_an_answer_that_cannot_be_stored(caplog: pytest.LogCaptureFixture) -> None:
    """Its readers are told, and the session is free for the next question."""
    agent = ScriptedAgent("a", Usage(UsageInfo(10**30, 1, 10**30)))

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        end = await turn.end()
        room.model = "echo"
        again = await room.say("y", session_id=turn.session_id)
        await again.end()
        return end, await room.texts(turn), [row.state for row in await room.rows(tables.turns)]

    end, texts, states = in_room(agent, EchoAgent(), work=work)
    assert (end.code, end.status) == ("store_unavailable", 503)
    assert texts == ["x", "y", "y"] and states == ["failed", "completed"]
    assert "could not be stored" in caplog.text


def test_a_store_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """A turn whose end cannot be stored at all ends for its readers; the next one never begins."""
    gate = Gate()

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        room.store.close()
        gate.open()
        end = await turn.end()
        with pytest.raises(StoreUnavailable):
            await room.say("y")
        return end

    end = in_room(ScriptedAgent(gate), work=work)
    assert end.code == "store_unavailable" and "either" in caplog.text


@pytest.mark.parametrize("agent", [ScriptedAgent(NEVER), EndlessAgent()], ids=["silent", "endless"])
def test_closing_interrupts(agent: Any) -> None:
    """An answer that is not whole when the server stops is a failure, and stored as interrupted."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        await room.close()
        with pytest.raises(ShuttingDown):
            await room.say("y")
        return turn.log[-1], (await room.rows(tables.turns))[0], await room.texts(turn)

    end, stored, texts = in_room(agent, work=work)
    assert (end.code, end.status, stored.state) == ("interrupted", 503, "interrupted")
    assert texts == ["x"] and stored.ended_at is not None


def test_closing_leaves_time_to_finish() -> None:
    """A turn that ends within the grace is a whole one, and closing waits no longer than that."""
    gate = Gate()

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        closing = asyncio.ensure_future(room.close(grace=3600))
        await laps()
        is_waiting = not closing.done()
        gate.open()
        await closing
        return is_waiting, turn.state, await room.texts(turn)

    assert in_room(ScriptedAgent(gate, "a"), work=work) == (True, "completed", ["x", "a"])


def test_grace_has_an_end() -> None:
    """Who does not finish in time is interrupted."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        await room.close(grace=0.001)
        return turn.state

    assert in_room(ScriptedAgent(NEVER), work=work) == "failed"


def test_grace_can_be_cut_short() -> None:
    """Who does not want to wait any longer interrupts, and closing is done."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        closing = asyncio.ensure_future(room.close(grace=3600))
        await laps()
        room.interrupt()
        await closing
        return turn.state, (await room.rows(tables.turns))[0].state

    assert in_room(ScriptedAgent(NEVER), work=work) == ("failed", "interrupted")


def test_an_agent_that_does_not_stop(caplog: pytest.LogCaptureFixture) -> None:
    """Closing waits for it so long and no longer, and says which turn was left behind."""
    agent = StubbornAgent()

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        await turn.read(1)
        await room.close()
        left = turn.state, (await room.rows(tables.turns))[0].state, turn.id in caplog.text
        agent.gate.open()
        await turn.end()
        return left

    assert in_room(agent, work=work, patience=0.001) == ("running", "running", True)


def test_closing_waits_for_the_store() -> None:
    """An answer that is being stored when the server stops is stored, however long it takes."""
    gate = Gate()

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        async with held(room.store) as go_on:
            gate.open()
            while not turn.is_ending:
                await asyncio.sleep(0)
            closing = asyncio.ensure_future(room.close())
            await laps()
            is_waiting = not closing.done()
            go_on.set()
            await closing
        return is_waiting, turn.state, await room.texts(turn)

    expected = (True, "completed", ["x", "a"])
    assert in_room(ScriptedAgent(gate, "a"), work=work, patience=0) == expected


def busy_store(work: Callable[[Room, threading.Event], Awaitable[Any]]) -> Any:
    """What `work` gives while the store's writer is held up; it sets the event to let it go on."""

    async def hold(room: Room) -> Any:
        async with held(room.store) as go_on:
            return await work(room, go_on)

    return in_room(EchoAgent(), work=hold)


def test_who_asks_while_the_server_stops_is_told() -> None:
    """A question that waits to be stored when the server is closed is refused, not forgotten."""

    async def work(room: Room, go_on: threading.Event) -> str:
        asking = [asyncio.ensure_future(room.say("x")) for _ in range(3)]
        await laps()
        late = asyncio.ensure_future(room.say("x"))
        closing = asyncio.ensure_future(room.close())
        results = await asyncio.gather(*asking, late, return_exceptions=True)
        go_on.set()
        await closing
        assert await room.rows(tables.turns) == []
        assert all(isinstance(result, ShuttingDown) for result in results)
        return str(results[0])

    assert "stopping" in busy_store(work)


def test_an_asker_who_goes_leaves_no_turn_behind() -> None:
    """Cancelled while the question is being stored, the turn runs to its end all the same."""

    async def work(room: Room, go_on: threading.Event) -> Any:
        asking = asyncio.ensure_future(room.say("x"))
        await laps()
        asking.cancel()
        await laps()
        go_on.set()
        while not (rows := await room.rows(tables.turns)) or rows[0].state == "running":
            await asyncio.sleep(0)
        return asking.cancelled(), rows[0].state

    assert busy_store(work) == (True, "completed")


def test_an_asker_who_goes_does_not_hear_of_a_refusal() -> None:
    """Cancelled while it is being refused, nothing is left, not even a warning."""

    async def work(room: Room, go_on: threading.Event) -> Any:
        owner = asyncio.ensure_future(room.say("x", session_id=UNKNOWN))
        other = asyncio.ensure_future(room.say("x", user="bob", session_id=UNKNOWN))
        await laps()
        other.cancel()
        go_on.set()
        await (await owner).end()
        await laps()
        return other.cancelled(), len(await room.rows(tables.turns))

    assert busy_store(work) == (True, 1)


def test_what_a_dead_process_left_behind(tmp_path: Path, caplog: Any) -> None:
    """A new process marks its turns as interrupted, and their sessions go on."""
    caplog.set_level(logging.CRITICAL)
    db = str(tmp_path / "store.db")

    async def work(dead: Room) -> Any:
        turn = await dead.say("lost")
        async with room(EchoAgent(), db=db) as alive:
            state = (await alive.rows(tables.turns))[0].state
            again = await alive.say("found", session_id=turn.session_id)
            await again.end()
            return state, await alive.texts(again)

    expected = ("interrupted", ["lost", "found", "found"])
    assert in_room(ScriptedAgent(NEVER), work=work, db=db) == expected
