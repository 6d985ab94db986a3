"""An answer that is nobody's history lives as long as somebody reads it, and a while longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from engine_room import ADMIN, Room, in_room, laps
from scripted_agents import Gate, ScriptedAgent

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import Turn
from chatserver_sdk.models.events import TurnCancelled

NEVER = Gate()


def orphaned(
    script: Callable[[Room, Turn], Awaitable[Any]], user: str | None = None, window: float = 0.0
) -> Any:
    """What `script` gives with a turn that goes on for ever, whose orphans live so long."""

    async def work(room: Room) -> Any:
        return await script(room, await room.say("x", user=user))

    return in_room(ScriptedAgent("a", NEVER), work=work, resume_window=window)


def test_an_answer_that_nobody_reads_ends() -> None:
    """Without a history and without a reader it is cancelled when its time is over."""

    async def script(room: Room, turn: Turn) -> Any:
        with room.reading(turn):
            await laps()
            running = turn.state
        return running, type(await turn.end())

    assert orphaned(script) == ("running", TurnCancelled)


def test_an_answer_goes_on_for_a_while() -> None:
    """Until its time is over it runs, and closing does not wait for that."""

    async def script(room: Room, turn: Turn) -> str:
        with room.reading(turn):
            await laps()
        await laps()
        return turn.state

    assert orphaned(script, window=3600) == "running"


def test_a_stored_answer_needs_no_reader() -> None:
    """What belongs to a history goes on without anybody."""

    async def script(room: Room, turn: Turn) -> str:
        with room.reading(turn):
            await laps()
        await laps()
        return turn.state

    assert orphaned(script, user="ada") == "running"


def test_a_second_reader_keeps_it() -> None:
    """Only the last one's leaving counts, and who comes back in time finds it running."""

    async def script(room: Room, turn: Turn) -> Any:
        states = []
        with room.reading(turn):
            with room.reading(turn):
                await laps()
            await laps()
            states.append(turn.state)
        with room.reading(turn):
            await laps()
            states.append(turn.state)
        await turn.end()
        return [*states, turn.state]

    assert orphaned(script) == ["running", "running", "cancelled"]


def test_a_finished_answer_is_kept_for_as_long() -> None:
    """Once it is whole nobody stops it, and who comes back in time can read it again."""

    async def work(room: Room) -> Any:
        turn = await room.say("x", user=None)
        with room.reading(turn):
            await turn.end()
        await laps()
        return await room.get_turn(turn.id, ADMIN) is turn, turn.state

    assert in_room(EchoAgent(), work=work, resume_window=3600) == (True, "completed")


def test_an_asker_who_goes_takes_it_along() -> None:
    """Cancelled in the moment in which the agent begins, there will never be a reader."""
    gate = Gate()
    agent = ScriptedAgent(gate)

    async def work(room: Room) -> int:
        asking = asyncio.ensure_future(room.say("x", user=None))
        while not gate.reached.is_set():
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        while not agent.ended:
            await asyncio.sleep(0)
        return agent.ended

    assert in_room(agent, work=work, resume_window=3600) == 1
