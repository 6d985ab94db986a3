"""How long turns are kept in memory: for a window behind their last use, and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chatserver_sdk.engine import Turn, shelf
from chatserver_sdk.engine.shelf import Shelf
from chatserver_sdk.models.events import TextDelta, TurnCompleted

WINDOW = 60.0


def new_turn(name: str, *, events: int = 1, length: int = 0, user_id: str | None = None) -> Turn:
    """A turn that has ended, with so many events in its log."""
    turn = Turn(name, session_id="s", model="m", user_id=user_id, principal_id="p")
    turn.length = length
    turn.emit(*(TextDelta("") for _ in range(events - 1)), TurnCompleted())
    return turn


def shelved(work: Callable[[Shelf, list[str]], Awaitable[Any]], window: float = WINDOW) -> Any:
    """What the work gives with a shelf, and with the list of those that were let go."""

    async def run() -> Any:
        gone: list[str] = []
        kept = Shelf(window, lambda turn: gone.append(turn.id))
        try:
            return await asyncio.wait_for(work(kept, gone), 60)
        finally:
            kept.close()

    return asyncio.run(run())


def test_what_rests_is_let_go_in_time() -> None:
    """In the order in which they were read last, each once, and then they are not found."""

    async def work(kept: Shelf, gone: list[str]) -> Any:
        turns = [kept.put(new_turn(name)) for name in "abc"]
        with kept.reading(turns[0]):
            pass
        while len(gone) < 3:
            await asyncio.sleep(0)
        return gone, [kept.find(name) for name in "abc"], kept.asker_of_gone("a")

    gone, found, asker = shelved(work, window=0.02)
    assert gone == ["b", "c", "a"]
    assert found == [None] * 3 and asker == "p"


def test_what_is_read_stays() -> None:
    """As long as there is a reader, and the time begins when the last one goes."""

    async def work(kept: Shelf, gone: list[str]) -> Any:
        read, other = kept.put(new_turn("read")), kept.put(new_turn("other"))
        with kept.reading(read), kept.reading(read):
            while not gone:
                await asyncio.sleep(0)
            still = kept.find("read") is read
        while len(gone) < 2:
            await asyncio.sleep(0)
        return still, gone, other.readers

    assert shelved(work, window=0) == (True, ["other", "read"], 0)


def test_the_first_of_two_counts() -> None:
    """Two who make the same turn again at once read one and the same."""

    async def work(kept: Shelf, gone: list[str]) -> bool:
        first, second = new_turn("a", user_id="ada"), new_turn("a", user_id="ada")
        return kept.put(first) is first and kept.put(second) is first

    assert shelved(work)


@pytest.mark.parametrize(
    ("events", "length"), [(shelf._MOST_RESTING // 3, 0), (1, (shelf._MOST_RESTING // 3 - 1) * 256)]
)
def test_what_rests_has_a_bound(events: int, length: int) -> None:
    """The oldest goes early where there is too much, by events and by text; the last one never."""

    async def work(kept: Shelf, gone: list[str]) -> Any:
        for name in "abcd":
            kept.put(new_turn(name, events=events, length=length))
        before = list(gone)
        kept.put(new_turn("huge", events=1, length=shelf._MOST_RESTING * 10_000))
        return before, gone, kept.find("huge") is not None, kept.find("d")

    assert shelved(work) == (["a"], ["a", "b", "c", "d"], True, None)


def test_one_that_grows_while_it_rests() -> None:
    """It is weighed again at its end, and given no more time."""

    async def work(kept: Shelf, gone: list[str]) -> Any:
        turn = kept.put(Turn("a", session_id="s", model="m", user_id=None))
        with kept.reading(turn):
            pass
        until = kept._resting[turn]
        turn.emit(TextDelta(""), TurnCompleted())
        kept.rest(turn)
        weights = [kept._weight]
        with kept.reading(turn):
            weights.append(kept._weight)
        return kept._resting[turn] >= until, weights

    assert shelved(work) == (True, [2, 0])


def test_who_comes_too_late_is_known_for_a_while() -> None:
    """So many ids are remembered, the newest, and of those in the store none."""

    async def work(kept: Shelf, gone: list[str]) -> Any:
        kept.put(new_turn("stored", user_id="ada"))
        names = [str(number) for number in range(shelf._MOST_REMEMBERED + 1)]
        for name in names:
            kept.put(new_turn(name))
        while len(gone) < len(names) + 1:
            await asyncio.sleep(0)
        return [kept.asker_of_gone(name) for name in ("stored", names[0], names[1], names[-1])]

    assert shelved(work, window=0) == [None, None, "p", "p"]


def test_the_memory_of_ids_ends() -> None:
    """After its time nothing is known any more."""

    async def work(kept: Shelf, gone: list[str]) -> Any:
        kept.put(new_turn("a"))
        while not gone:
            await asyncio.sleep(0)
        until, asker = kept._gone["a"]
        kept._gone["a"] = (until - shelf._REMEMBERED - 1, asker)
        return kept.asker_of_gone("a"), kept._gone

    assert shelved(work, window=0) == (None, {})
