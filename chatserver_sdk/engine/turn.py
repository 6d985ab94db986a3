"""Turn: one question and its answer, as a log of numbered events that anybody may read.

Readers come and go and change nothing: a turn belongs to the engine, not to a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from chatserver_sdk.models import Principal, UsageInfo
from chatserver_sdk.models.events import (
    Event,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    Usage,
)

from chatserver_sdk.storage.idempotency import Key

from . import clock

RUNNING = "running"
COMPLETED = "completed"
CANCELLED = "cancelled"
FAILED = "failed"
INTERRUPTED = "interrupted"


# Statuses that say: not now.
_PASSING = (408, 429)


class Turn:
    """What was said so far (`log`), whether it goes on, and who is to be told of more."""

    def __init__(
        self,
        turn_id: str,
        *,
        session_id: str,
        model: str,
        user_id: str | None,
        principal_id: str = "",
        started_at: datetime | None = None,
    ) -> None:
        self.id = turn_id
        self.session_id = session_id
        self.model = model
        self.user_id = user_id
        self.principal_id = principal_id
        self.started_at = started_at or clock.now()
        self.state = RUNNING
        self.log: list[Event] = []
        self.key: Key | None = None
        self.length = 0
        self.readers = 0
        self.resting_weight = 0
        self.is_ending = False
        self.is_stopping = False
        self.is_overdue = False
        self.stops_unread = False
        self.visits = 0
        self._watchers: set[Callable[[], object]] = set()

    @property
    def created(self) -> int:
        """When it began, in whole seconds since 1970."""
        return int(self.started_at.timestamp())

    def may_be_read_by(self, principal: Principal) -> bool:
        """Whether they may ask in its user's name; without a user, whether they asked it.

        Who asked counts for nothing beside a user: a key may have been narrowed since.
        """
        if self.user_id is None:
            return self.principal_id == principal.id
        return principal.may_act_for(self.user_id)

    @property
    def is_stored(self) -> bool:
        """Whether it belongs to a history; without a user it lives in memory only."""
        return self.user_id is not None

    @property
    def ending(self) -> Event | None:
        """The event that ended it; None while it runs."""
        return None if self.state == RUNNING else self.log[-1]

    @property
    def may_be_repeated(self) -> bool:
        """Whether it failed for no fault of the question: asked again, it may succeed."""
        return isinstance(self.ending, TurnFailed) and (
            self.ending.status >= 500 or self.ending.status in _PASSING
        )

    @property
    def text(self) -> str:
        """The answer so far."""
        # By their names: isinstance() is slow for classes with an abstract base.
        said: list[Any] = [event for event in self.log if event.type == TextDelta.type]
        return "".join([event.text for event in said])

    @property
    def usage(self) -> UsageInfo:
        """What it cost; zeros while it runs."""
        said: list[Any] = [event for event in self.log[-2:] if event.type == Usage.type]
        return said[0].usage if said else UsageInfo()

    def number(self, events: Sequence[Event]) -> None:
        """Give events that are about to be said their places and the time."""
        now = clock.now()
        for seq, event in enumerate(events, len(self.log) + 1):
            event.seq = seq
            event.at = now

    def emit(self, *events: Event) -> None:
        """Number the events, add them to the log and wake the readers."""
        self.number(events)
        self.publish(events)

    def publish(self, events: Sequence[Event]) -> None:
        """Add events that have their numbers to the log and wake the readers."""
        self.log.extend(events)
        if self.log[-1].is_terminal:
            self.state = STATE_AFTER[type(self.log[-1])]
        self.wake()

    def wake(self) -> None:
        """Have all who wait for news look up, though there are none."""
        for wake in self._watchers:
            wake()

    def watch(self, wake: Callable[[], object]) -> None:
        """Have `wake` called whenever something is said, until unwatch()."""
        self._watchers.add(wake)

    def unwatch(self, wake: Callable[[], object]) -> None:
        """Call it no longer."""
        self._watchers.discard(wake)

    async def read(
        self, after: int, wait: float | None = None, most: int | None = None
    ) -> list[Event]:
        """The events behind `after`, as soon as there are some; no more than `most`.

        Empty when the turn has ended before, after `wait` seconds of silence, and when it is woken.
        """
        if len(self.log) <= after and self.state == RUNNING:
            await self._wait_for_news(wait)
        return self.log[after : None if most is None else after + most]

    async def _wait_for_news(self, seconds: float | None) -> None:
        # Not wait_for(Event.wait(), ...): until Python 3.12 that begins to wait one step of the
        # loop later, and what is said in between wakes nobody.
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        wake = partial(_wake, waiter)
        self.watch(wake)
        timer = None if seconds is None else loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            self.unwatch(wake)
            if timer is not None:
                timer.cancel()

    async def end(self) -> Event:
        """The event that ends the turn, once it is there."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self.waking_at_end(partial(_wake, waiter)):
            await waiter
        return self.log[-1]

    @contextmanager
    def waking_at_end(self, wake: Callable[[], object]) -> Iterator[None]:
        """Have `wake` called when the turn ends, or now if it has ended; only within the block."""

        def wake_at_end() -> None:
            if self.state != RUNNING:
                wake()

        wake_at_end()
        self.watch(wake_at_end)
        try:
            yield
        finally:
            self.unwatch(wake_at_end)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


STATE_AFTER: dict[type[Event], str] = {
    TurnCompleted: COMPLETED,
    TurnCancelled: CANCELLED,
    TurnFailed: FAILED,
}
