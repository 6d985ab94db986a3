"""Failed authentications, summed: one entry in the audit log per source address and minute.

A stranger who tries keys is seen, and cannot fill the disk.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from datetime import datetime, timezone
from typing import Any

from chatserver_sdk.storage import Store, StoreError, audit

_log = logging.getLogger(__name__)

_MINUTE = 60
# Sources that are told apart in one minute, and counts that may wait for a store that is away.
_MOST_SOURCES = 100
_MOST_WAITING = 1000
OTHERS = "others"


class FailedAuthentications:
    """Counts, and writes what a minute has summed up once that is over. `close` it in its loop."""

    def __init__(self, store: Store, most_sources: int = _MOST_SOURCES) -> None:
        self._store = store
        self._most_sources = most_sources
        self._minute = 0
        self._counts: dict[str, int] = {}
        self._waiting: dict[tuple[int, str], int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, source: str, now: float | None = None) -> None:
        """One more came from an address. now: seconds since 1970."""
        now = time.time() if now is None else now
        if int(now // _MINUTE) != self._minute:
            self._sum_up()
            self._minute = int(now // _MINUTE)
        name = _network(source)
        if name not in self._counts and len(self._counts) >= self._most_sources:
            name = OTHERS
        self._counts[name] = self._counts.get(name, 0) + 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_MINUTE - now % _MINUTE, self._is_over)

    async def close(self) -> None:
        """Write what was counted so far."""
        if self._timer is not None:
            self._timer.cancel()
        # A write that is on its way may know nothing of the latest.
        for _ in range(2):
            self._is_over()
            if self._writing is not None:
                await self._writing

    def _is_over(self) -> None:
        self._timer = None
        self._sum_up()

    def _sum_up(self) -> None:
        for name, count in self._counts.items():
            place = self._minute, name
            if len(self._waiting) >= _MOST_WAITING and place not in self._waiting:
                place = next(iter(self._waiting))[0], OTHERS
            self._waiting[place] = self._waiting.get(place, 0) + count
        self._counts = {}
        if self._waiting and self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        summed = dict(self._waiting)
        try:
            await self._store.write(_record, summed)
        except StoreError as exc:
            _log.error("failed authentications could not be recorded yet: %s", exc)
        else:
            for place, count in summed.items():
                self._waiting[place] -= count
                if not self._waiting[place]:
                    del self._waiting[place]
        finally:
            self._writing = None


def _record(connection: Any, summed: dict[tuple[int, str], int]) -> None:
    for (minute, source), count in summed.items():
        begin = datetime.fromtimestamp(minute * _MINUTE, timezone.utc)
        audit.record(
            connection,
            "auth.failed",
            by=None,
            now=datetime.now(timezone.utc),
            resource="source",
            resource_id=source,
            metadata={"count": count, "minute": begin.isoformat()},
        )


def _network(source: str) -> str:
    """An address; of IPv6 the /64, which is one customer's."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source[:64]
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)
