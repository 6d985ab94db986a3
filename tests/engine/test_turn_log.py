"""A turn's log: many readers at their own places, woken once there is something to read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk.engine import Turn
from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import (
    Event,
    TextDelta,
    ThoughtDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
)


def new_turn(user_id: str | None = "ada") -> Turn:
    """A turn that has said nothing."""
    return Turn("t", session_id="s", model="m", user_id=user_id)


def soon(work: Callable[[], Awaitable[Any]]) -> Any:
    """What the work gives; a wake-up that was missed fails after a while instead of hanging."""

    async def run() -> Any:
        return await asyncio.wait_for(work(), 30)

    return asyncio.run(run())


async def read_all(turn: Turn) -> list[int]:
    """The numbers that a reader sees who follows the turn to its end."""
    seen: list[int] = []
    while not seen or turn.state == "running":
        seen += [event.seq for event in await turn.read(len(seen), 3600)]
    return seen


def test_events_are_numbered_and_dated() -> None:
    """From 1, without gaps, with aware times that do not run backwards."""

    async def run() -> list[Event]:
        turn = new_turn()
        turn.emit(TurnStarted())
        turn.emit(TextDelta("a"), TextDelta("b"))
        turn.emit(TurnCompleted())
        return turn.log

    log = asyncio.run(run())
    assert [event.seq for event in log] == [1, 2, 3, 4]
    times = [event.at for event in log if event.at is not None and event.at.tzinfo]
    assert len(times) == 4 and times == sorted(times)


def test_text_and_usage_add_up() -> None:
    """The text is what was said aloud; the usage stands beside the end."""
    turn = new_turn()
    before = (turn.text, turn.usage, turn.is_stored)
    turn.emit(TextDelta("He"), ThoughtDelta("hm"), TextDelta("llo"))
    turn.emit(Usage(UsageInfo(1, 2, 3)), TurnCompleted())

    assert before == ("", UsageInfo(), True)
    assert (turn.text, turn.usage) == ("Hello", UsageInfo(1, 2, 3))
    assert not new_turn(None).is_stored


@pytest.mark.parametrize(
    ("end", "state"),
    [(TurnCompleted(), "completed"), (TurnCancelled(), "cancelled"), (TurnFailed("no"), "failed")],
)
def test_each_end_has_its_state(end: Event, state: str) -> None:
    """The last event decides; before it the turn runs, and behind it nothing is waited for."""

    async def run() -> Any:
        turn = new_turn()
        turn.emit(TextDelta("a"))
        running = turn.state
        turn.emit(end)
        return running, turn.state, await turn.end(), await turn.read(2), await turn.read(99)

    assert soon(run) == ("running", state, end, [], [])


@pytest.mark.parametrize("after", range(4))
def test_a_late_reader_gets_what_was_said(after: int) -> None:
    """From whichever place one reads, everything behind it comes at once."""

    async def run() -> list[int]:
        turn = new_turn()
        turn.emit(TurnStarted(), TextDelta("a"), TextDelta("b"))
        return [event.seq for event in await turn.read(after, 0.001)]

    assert soon(run) == [1, 2, 3][after:]


def test_silence_has_an_end() -> None:
    """A reader who waits only so long gets nothing, and may wait again."""

    async def run() -> Any:
        turn = new_turn()
        first = await turn.read(0, 0.001)
        turn.emit(TurnStarted())
        return first, len(await turn.read(0, 0.001)), await turn.read(1, 0.001)

    assert soon(run) == ([], 1, [])


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("wait", [None, 3600])
def test_no_wake_up_is_missed(steps: int, wait: float | None) -> None:
    """Wherever on its way to waiting a reader is when something is said, it hears of it."""

    async def run() -> int:
        turn = new_turn()
        reading = asyncio.ensure_future(turn.read(0, wait))
        for _ in range(steps):
            await asyncio.sleep(0)
        turn.emit(TurnStarted())
        return len(await reading)

    assert soon(run) == 1


@given(
    pauses=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    entrances=st.lists(st.integers(0, 20), min_size=1, max_size=5),
)
def test_all_readers_see_everything(pauses: list[int], entrances: list[int]) -> None:
    """Whenever they come and however fast it goes, each sees each event once and in order."""

    async def enter(turn: Turn, delay: int) -> list[int]:
        for _ in range(delay):
            await asyncio.sleep(0)
        return await read_all(turn)

    async def speak(turn: Turn) -> None:
        for pause in pauses:
            turn.emit(TextDelta("x"))
            for _ in range(pause):
                await asyncio.sleep(0)
        turn.emit(TurnCompleted())

    async def run() -> list[list[int]]:
        turn = new_turn()
        readers = [asyncio.ensure_future(enter(turn, delay)) for delay in entrances]
        await speak(turn)
        return await asyncio.gather(*readers)

    whole = list(range(1, len(pauses) + 2))
    assert soon(run) == [whole] * len(entrances)


def test_a_reader_who_goes_changes_nothing() -> None:
    """One who stops waiting takes nothing away from another."""

    async def run() -> Any:
        turn = new_turn()
        gone, there = (asyncio.ensure_future(turn.read(0, 3600)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        turn.emit(TurnCompleted())
        return gone.cancelled(), [e.seq for e in await there]

    is_gone, seen = soon(run)
    assert is_gone and seen == [1]
