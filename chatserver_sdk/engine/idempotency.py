"""Requests with one idempotency key, one after the other; and the keys that no store keeps."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatserver_sdk.storage import Conflict
from chatserver_sdk.storage.idempotency import KEPT, Claim, Key, KeyTaken, Place, Taken

# How long a request waits for an earlier one that is about to be stored.
_PATIENCE = 10.0
_MOST_KEYS = 10_000
_KEYS_PER_SWEEP = 256


class IdempotencyKeys:
    """One server's keys. Those of turns without a user are in memory, the newest of them."""

    def __init__(self, *, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._held: dict[Place, asyncio.Future[None]] = {}
        self._unstored: OrderedDict[Place, tuple[float, Taken]] = OrderedDict()
        self._used = 0

    @asynccontextmanager
    async def alone(self, key: Key) -> AsyncIterator[None]:
        """While no other request with this key is looked at. Raises Conflict if that takes long."""
        while (other := self._held.get(key.place)) is not None:
            done, _ = await asyncio.wait({other}, timeout=self._patience)
            if not done:
                raise in_progress()
        mine = self._held[key.place] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._held[key.place]
            mine.set_result(None)

    def is_time_to_sweep(self) -> bool:
        """Now and then: whether the store's old keys are to be deleted."""
        self._used += 1
        return self._used % _KEYS_PER_SWEEP == 0

    def check_free(self, claim: Claim) -> None:
        """Raises KeyTaken where the key stands in memory for a turn other than who freed it."""
        self._forget_old()
        known = self._unstored.get(claim.key.place)
        if known is not None and known[1].turn_id != claim.freed_by:
            raise KeyTaken(known[1])

    def remember(self, key: Key, turn_id: str) -> None:
        """Have the key stand for a turn that no store knows."""
        until = asyncio.get_running_loop().time() + KEPT.total_seconds()
        self._unstored.pop(key.place, None)
        self._unstored[key.place] = until, Taken(key.body_hash, turn_id)
        if len(self._unstored) > _MOST_KEYS:
            self._unstored.popitem(last=False)

    def forget(self, key: Key, turn_id: str | None) -> None:
        """Have the key stand for this turn no longer."""
        known = self._unstored.get(key.place)
        if known is not None and known[1].turn_id == turn_id:
            del self._unstored[key.place]

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._unstored and next(iter(self._unstored.values()))[0] <= now:
            self._unstored.popitem(last=False)


def in_progress() -> Conflict:
    """The refusal while nobody can say yet what the key will stand for."""
    return Conflict(
        "the first request with this idempotency key has not begun yet; try again in a moment",
        "idempotency_in_progress",
    )
