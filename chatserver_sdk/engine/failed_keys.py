"""Failed authentications in the audit log: one entry for each source and minute, so that a
stranger who tries keys all day cannot fill the disk."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from chatserver_sdk.storage import Store, StoreUnavailable, audit

from . import clock

_log = logging.getLogger(__name__)

_A_MINUTE = 60.0
# Who comes from more places than that within a minute is one of the others.
_MOST_SOURCES = 20
OTHERS = "others"


class FailedKeys:
    """Counts who was refused for want of a valid key, and writes it down once a minute."""

    def __init__(self, store: Store, *, seconds: float = _A_MINUTE) -> None:
        self._store = store
        self._seconds = seconds
        self._counts: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def note(self, source: str | None) -> None:
        """One more refusal, of a caller from this address."""
        place = source or "unknown"
        if place not in self._counts and len(self._counts) >= _MOST_SOURCES:
            place = OTHERS
        self._counts[place] += 1
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_later())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the server runs; at its end what was counted is written."""
        try:
            yield
        finally:
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.gather(self._writing, return_exceptions=True)
            await self.write()

    async def write(self) -> None:
        """Write down what was counted since the last time."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._store.write(_record, counts, clock.now())
        except StoreUnavailable as exc:
            _log.error(
                "%d failed authentications are not in the log: %s", sum(counts.values()), exc
            )

    async def _write_later(self) -> None:
        await asyncio.sleep(self._seconds)
        self._writing = None
        await self.write()


def _record(connection: Any, counts: Mapping[str, int], now: datetime) -> None:
    for source, count in counts.items():
        audit.record(
            connection,
            "auth.failed",
            by=None,
            now=now,
            resource="source",
            resource_id=source[:256],
            metadata={"count": count},
        )
