"""Stopping turns: when somebody says so, when nobody reads, with the agent's help or without."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from chatserver_sdk.models.events import TurnCancelled, TurnFailed

from .errors import ShuttingDown
from .outcome import Outcome
from .running import Running
from .shares import Shares
from .shelf import Shelf
from .turn import CANCELLED, FAILED, RUNNING, Turn

_log = logging.getLogger(__name__)


class Stopping(ABC):
    """What ends ChatService's turns before they end by themselves."""

    _shelf: Shelf
    _running: Running
    _shares: Shares
    _tasks: dict[Turn, asyncio.Task[None]]
    # What ends a turn, in its own task or without that.
    _ends: dict[Turn, Callable[[Outcome], Awaitable[None]]]
    _cancel_patience: float
    _disconnect_grace: float
    # In seconds; 0: for ever.
    _longest_turn: float
    _closing: bool
    _on_end: Callable[[Turn], None] | None

    def reading(self, turn: Turn) -> AbstractContextManager[None]:
        """While somebody reads. A turn that is nobody's history, or is to be cancelled when it is
        not read, ends some time after the last."""
        turn.visits += 1
        return self._shelf.reading(turn, self._note_leaving)

    def _note_leaving(self, turn: Turn) -> None:
        if turn.stops_unread and turn.readers == 0 and turn.state == RUNNING:
            loop = asyncio.get_running_loop()
            loop.call_later(self._disconnect_grace, self._stop_unread, turn, turn.visits)

    def _forget(
        self, turn: Turn, task: asyncio.Task[None], begun: asyncio.Future[None] | None = None
    ) -> None:
        # The task of an agent that did not stop is none of the turn's any more.
        if self._tasks.get(turn) is not task:
            return
        del self._tasks[turn]
        self._ends.pop(turn, None)
        self._running.forget(turn)
        self._shares.give_back(turn)
        self._shelf.rest(turn)
        if self._on_end is not None:
            self._on_end(turn)
        # The server stops before it could begin: whoever asked still waits for an answer.
        if begun is not None and not begun.done():
            begun.set_exception(shutting_down())

    def _stop(self, turn: Turn) -> None:
        # Once the agent is done, the storing of what it said is not to be torn apart.
        # And once it was told, it is not to be disturbed while it puts things away.
        if turn.is_ending or turn.is_stopping or (task := self._tasks.get(turn)) is None:
            return
        turn.is_stopping = True
        if turn not in self._ends and not self._closing:
            # It is being begun. What is written of that stays written, so it ends behind it.
            return
        task.cancel()
        if not self._closing:
            loop = asyncio.get_running_loop()
            loop.call_later(self._cancel_patience, self._end_without_agent, turn)

    async def _ended(self, turn: Turn) -> None:
        """Return when a turn has ended, or could not begin."""
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(turn.end())]
        if (task := self._tasks.get(turn)) is not None:
            waiting.append(task)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting[0].cancel()

    def _stop_unread(self, turn: Turn, visits: int) -> None:
        # Where somebody has come and gone since, there is a later time to look.
        if turn.visits == visits:
            self._stop(turn)

    @contextmanager
    def _timed(self, turn: Turn) -> Iterator[None]:
        """While its agent speaks, which may take so long and no longer."""
        if not self._longest_turn:
            yield
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._longest_turn, self._stop_overdue, turn)
        try:
            yield
        finally:
            timer.cancel()

    def _stop_overdue(self, turn: Turn) -> None:
        if not turn.is_ending and not turn.is_stopping:
            turn.is_overdue = True
            self._stop(turn)

    def _end_without_agent(self, turn: Turn) -> None:
        """End a turn whose agent takes no notice; what that says from now on is not heard."""
        end = self._ends.get(turn)
        if end is None or turn.is_ending or self._closing:
            return
        _log.error(
            "turn %s is ended without its agent (%s), which does not stop", turn.id, turn.model
        )
        task = asyncio.ensure_future(end(self._stopped(turn)))
        # `end` has not begun yet, and until then the agent might.
        turn.is_ending = True
        self._tasks[turn] = task
        task.add_done_callback(lambda done: self._forget(turn, done))

    def _stopped(self, turn: Turn) -> Outcome:
        if turn.is_overdue:
            message = f"the answer was not whole after {self._longest_turn:g} seconds"
            return Outcome(TurnFailed(message, "turn_too_long"), FAILED)
        if self._closing:
            message = "the server was stopped before the answer was whole"
            return Outcome(TurnFailed(message, "interrupted", 503), "interrupted")
        return Outcome(TurnCancelled(), CANCELLED)


def shutting_down() -> ShuttingDown:
    """The refusal of a service that is about to close."""
    return ShuttingDown("the server is stopping; try again in a moment", "shutting_down")
