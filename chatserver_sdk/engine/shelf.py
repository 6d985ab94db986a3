"""Shelf: the turns that are in memory, found by their ids, and for how long each of them is.

A turn that is in use stays: one that belongs to a history while it runs, any other while
somebody reads it. After that it rests for a time in which its readers may come back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .turn import RUNNING, Turn

# What rests may take so much memory: in events, of which a long text counts as several.
_MOST_RESTING = 250_000
_CHARACTERS_PER_EVENT = 256
# Who comes too late is told so, for an hour.
_REMEMBERED = 3600.0
_MOST_REMEMBERED = 10_000


class Shelf:
    """Keeps turns for `window` seconds after their last use; then `let_go` is called with them."""

    def __init__(self, window: float, let_go: Callable[[Turn], None]) -> None:
        self._window = window
        self._let_go = let_go
        self._turns: dict[str, Turn] = {}
        # The oldest first, but for turns that ended while they rested: those keep their time.
        self._resting: OrderedDict[Turn, float] = OrderedDict()
        self._gone: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._weight = 0
        self.readers = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, turn: Turn) -> Turn:
        """Keep a turn; the one that is there already, if somebody was faster."""
        kept = self._turns.setdefault(turn.id, turn)
        # Who asks for a turn that begins reads it next, and needs no time to come back.
        if kept.state != RUNNING:
            self.rest(kept)
        return kept

    def find(self, turn_id: str) -> Turn | None:
        """The turn, if it is still in memory."""
        return self._turns.get(turn_id)

    def release(self, turn: Turn) -> None:
        """Let a turn go that nobody will ask for again, if it has ended and nobody reads it."""
        if turn in self._resting and turn.state != RUNNING:
            self._wake(turn)
            del self._turns[turn.id]

    def forget(self, wanted: Callable[[Turn], bool]) -> None:
        """Let these turns go now, also those that are being read."""
        for turn in list(filter(wanted, self._turns.values())):
            self._drop(turn)

    def asker_of_gone(self, turn_id: str) -> str | None:
        """Who had asked a turn that was let go and stands in no store; None: nothing is known."""
        now = asyncio.get_running_loop().time()
        while self._gone and next(iter(self._gone.values()))[0] <= now:
            self._gone.popitem(last=False)
        return self._gone.get(turn_id, (0.0, None))[1]

    @contextmanager
    def reading(
        self, turn: Turn, on_leaving: Callable[[Turn], None] | None = None
    ) -> Iterator[None]:
        """While somebody reads."""
        turn.readers += 1
        self.readers += 1
        self._wake(turn)
        try:
            yield
        finally:
            turn.readers -= 1
            self.readers -= 1
            self.rest(turn)
            if on_leaving is not None:
                on_leaving(turn)

    def rest(self, turn: Turn) -> None:
        """Begin to count the time, unless the turn is in use."""
        is_used = turn.readers > 0 or (turn.state == RUNNING and turn.is_stored)
        if is_used or self._turns.get(turn.id) is not turn:
            return
        now = asyncio.get_running_loop().time()
        # One that ended while it rested has grown, and is given no more time for that.
        until = self._resting.get(turn, now + self._window)
        self._wake(turn)
        self._resting[turn] = until
        self._weight += _weight(turn)
        # The last one stays, whatever its size: somebody has just been reading it.
        while self._weight > _MOST_RESTING and len(self._resting) > 1:
            self._drop(next(iter(self._resting)))
        self._set_timer()

    def close(self) -> None:
        """Let nothing go any more by the clock."""
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self, turn: Turn) -> None:
        if self._resting.pop(turn, None) is not None:
            self._weight -= turn.resting_weight

    def _drop(self, turn: Turn) -> None:
        self._wake(turn)
        del self._turns[turn.id]
        if not turn.is_stored:
            until = asyncio.get_running_loop().time() + _REMEMBERED
            self._gone[turn.id] = (until, turn.principal_id)
            if len(self._gone) > _MOST_REMEMBERED:
                self._gone.popitem(last=False)
        self._let_go(turn)

    def _set_timer(self) -> None:
        if self._timer is None and self._resting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(next(iter(self._resting.values())), self._drop_oldest)

    def _drop_oldest(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._resting and next(iter(self._resting.values())) <= now:
            self._drop(next(iter(self._resting)))
        self._set_timer()


def _weight(turn: Turn) -> int:
    turn.resting_weight = len(turn.log) + turn.length // _CHARACTERS_PER_EVENT
    return turn.resting_weight
