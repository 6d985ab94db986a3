"""The audit log from end to end: verified, its head given out, its old end trimmed in steps.

What a verification proves, and what not, stands in storage/verification.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from chatserver_sdk.models import AuditFault, AuditHead, AuditVerification
from chatserver_sdk.storage import Conflict, Store, StoreUnavailable, audit, retention, verification
from chatserver_sdk.storage.chain import Head, parse_head

from . import clock
from .errors import InvalidRequest

_log = logging.getLogger(__name__)

# What one look at the log reads; no transaction is open in between.
_ENTRIES_A_STEP = 1000
# What one transaction trims: others wait for it.
_ENTRIES_A_TRIM = 2000
_A_DAY = 24 * 3600.0


def read_head(text: str | None) -> Head | None:
    """A head that was kept elsewhere. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        return parse_head(text.strip())
    except ValueError as exc:
        raise InvalidRequest(f"head cannot be read: {exc}", "invalid_head", "head") from None


async def get_head(store: Store) -> AuditHead:
    """The last entry's number and hash."""
    head = await store.read(audit.get_head)
    return AuditHead(str(head), head.seq, head.hash)


async def verify(store: Store, known: Head | None = None) -> AuditVerification:
    """Whether every entry is as it was written; with a head that was kept elsewhere, also that
    nothing up to it was written anew or cut off."""
    walk = verification.Walk(known)
    while not walk.is_over:
        await store.read(verification.step, walk, _ENTRIES_A_STEP)
    if walk.fault is not None and walk.fault.reason in ("changed", "missing"):
        walk.fault = await _look_elsewhere(store, walk, walk.fault)
    return AuditVerification(walk.fault is None, walk.entries, str(walk.at), walk.fault)


async def _look_elsewhere(
    store: Store, walk: verification.Walk, fault: AuditFault
) -> AuditFault | None:
    """The fault in other words where the entry stands at another place."""
    behind: int | None = None
    while True:
        found = await store.read(verification.find_moved, walk, behind, _ENTRIES_A_STEP)
        if found is None:
            return fault
        if not isinstance(found, int):
            sentence = f"entry {fault.seq} stands where entry {found.seq} should be"
            return AuditFault(fault.seq, "reordered", sentence)
        behind = found


async def trim(store: Store, before: datetime, by: str | None = None) -> int:
    """Trim all entries from before this time, in steps that hold nobody up; how many.

    Raises Conflict where they are not as they were written.
    """
    trimmed = 0
    while True:
        taken = await store.write(
            retention.trim, before, by=by, now=clock.now(), most=_ENTRIES_A_TRIM
        )
        trimmed += taken
        if taken < _ENTRIES_A_TRIM:
            return trimmed


class Retention:
    """Trims what is older than so many days, at the start and once a day; None keeps all."""

    def __init__(self, store: Store, days: int | None) -> None:
        self._store = store
        self._days = days

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the server runs."""
        if self._days is None:
            yield
            return
        await self.trim(self._days)
        daily = asyncio.create_task(self._trim_daily(self._days))
        try:
            yield
        finally:
            daily.cancel()
            await asyncio.gather(daily, return_exceptions=True)

    async def trim(self, days: int) -> None:
        """Trim what is too old by now; what is in the way is said in the log."""
        try:
            trimmed = await trim(self._store, clock.now() - timedelta(days=days))
        except (StoreUnavailable, Conflict) as exc:
            _log.error("the audit log could not be trimmed: %s", exc)
            return
        if trimmed:
            _log.info("%d entries of the audit log were older than %d days", trimmed, days)

    async def _trim_daily(self, days: int) -> None:
        while True:
            await asyncio.sleep(_A_DAY)
            await self.trim(days)
