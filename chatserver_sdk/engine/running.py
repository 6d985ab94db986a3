"""Running: which turn runs in each session, and who waits there for their own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatserver_sdk.storage import Conflict

from .turn import RUNNING, Turn


class Running:
    """most_waiting: how many messages of a session may wait for the one before; 0: none does."""

    def __init__(self, most_waiting: int = 0) -> None:
        self._most_waiting = most_waiting
        self._turns: dict[str, Turn] = {}
        self._opening: dict[str, set[asyncio.Future[None]]] = {}
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    def find(self, session_id: str) -> Turn | None:
        """The turn that runs in a session; None where there is none."""
        turn = self._turns.get(session_id)
        return turn if turn is not None and turn.state == RUNNING else None

    def note(self, turn: Turn) -> None:
        """It runs from now on."""
        if turn.is_stored:
            self._turns[turn.session_id] = turn

    def forget(self, turn: Turn) -> None:
        """It has ended."""
        if self._turns.get(turn.session_id) is turn:
            del self._turns[turn.session_id]

    async def opening(self, session_id: str, begun: asyncio.Future[None]) -> None:
        """Return when a turn has begun that is being stored, or raise as it does."""
        others = self._opening.setdefault(session_id, set())
        others.add(begun)
        try:
            await begun
        finally:
            others.discard(begun)
            if not others and self._opening.get(session_id) is others:
                del self._opening[session_id]

    async def opened(self, session_id: str) -> None:
        """Return when those that are about to begin now have begun, or have not."""
        if others := self._opening.get(session_id):
            await asyncio.wait(set(others))

    @asynccontextmanager
    async def in_line(self, session_id: str) -> AsyncIterator[None]:
        """While it is this message's time to begin. Raises Conflict where too many wait."""
        if self._most_waiting == 0:
            yield
            return
        line = self._lines.setdefault(session_id, deque())
        # The first in line may be beginning, and waits for nobody.
        if len(line) - (self.find(session_id) is None) >= self._most_waiting:
            raise Conflict(
                f"{self._most_waiting} messages wait in session {session_id} already",
                "turn_in_progress",
            )
        before = line[-1] if line else None
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(mine)
        try:
            await self._wait(session_id, before)
            yield
        finally:
            mine.set_result(None)
            line.remove(mine)
            if not line and self._lines.get(session_id) is line:
                del self._lines[session_id]

    async def _wait(self, session_id: str, before: asyncio.Future[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        while (turn := self.find(session_id)) is not None:
            await turn.end()
