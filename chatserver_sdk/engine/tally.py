"""Tally: what turns that nobody stores have cost, until the store's figures hold it.

A write an answer would cost more than the answer. What a process that is killed has counted in
its last second is lost.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from chatserver_sdk.models import UsageInfo
from chatserver_sdk.storage import Store, statistics
from chatserver_sdk.storage.statistics import DayUsage
from chatserver_sdk.storage.tables import day_of

_log = logging.getLogger(__name__)

_FLUSH_AFTER = 1.0


class Tally:
    """Counts now, writes soon. flush() before the figures are read, and at the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._days: dict[int, DayUsage] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def add(self, now: datetime, usage: UsageInfo) -> None:
        """Count one turn that has ended."""
        day = day_of(now)
        counted = self._days.get(day) or self._days.setdefault(day, DayUsage(day))
        counted.add(1, usage.prompt_tokens, usage.completion_tokens)
        self._set_timer()

    async def flush(self) -> None:
        """Have the store's figures hold everything that was counted. Raises what the store raises;
        then it stays counted."""
        self._stop_timer()
        counted = [*self._days.values()]
        self._days.clear()
        try:
            for day in counted:
                await self._store.write(statistics.add_usage, day)
        except BaseException:
            self._put_back(counted)
            raise

    async def close(self) -> None:
        """Write what there is; a store that fails is reported."""
        await self._flush_quietly()
        self._stop_timer()

    def _put_back(self, days: list[DayUsage]) -> None:
        for day in days:
            counted = self._days.setdefault(day.day, DayUsage(day.day))
            counted.add(day.requests, day.tokens_in, day.tokens_out)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_FLUSH_AFTER, self._begin_flush)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_flush(self) -> None:
        self._flushing = asyncio.ensure_future(self._flush_quietly())

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except Exception as exc:
            _log.error("the figures of turns could not be written, and will be later: %s", exc)
