"""API keys: made at random, shown once, stored as hashes; and who holds one."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import time
from datetime import datetime, timezone

from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage import Store, StoreError, generation
from chatserver_sdk.storage import keys as verbs
from chatserver_sdk.storage.generation import Watch

from . import clock
from .errors import Unauthenticated
from .remembered import Remembered

_log = logging.getLogger(__name__)

FIRST_ADMIN = "admin@localhost"
DEV_ADMIN = "dev@localhost"

# How many keys are remembered, and for how many seconds at most.
_MOST_KNOWN = 10_000
_LIFE = 60.0
_MINUTE = 60.0
# How often a database that says nothing by itself is asked whether its keys are the same.
_POLLED = 1.0
# No key is longer; whatever is need not be hashed.
_LONGEST = 4096

# csk, eight letters that are no secret, 256 bits that are.
_OURS = re.compile(r"(csk_[0-9a-f]{8})_[\w-]{43}")


def new_key() -> str:
    """A key that nobody can guess."""
    return f"csk_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """What is stored of a key. A key of 256 bits needs no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_prefix(key: str) -> str:
    """What people tell a key apart by: the part of ours that is no secret; others have none."""
    ours = _OURS.fullmatch(key)
    return ours.group(1) if ours else ""


class KeyRing:
    """Knows who holds a key. In development mode any key is the administrator's.

    What it has found out it remembers for a minute at most, and for no longer than the keys stay
    as they are: in a SQLite file that is seen before each use, whoever changes them; of another
    database's changes by other processes it learns within a second. `close` it in its loop.
    """

    def __init__(self, store: Store, *, dev: bool = False, polled: float = _POLLED) -> None:
        self._store = store
        self._polled = polled
        self._dev_admin = (
            Principal(id="dev", role=Role.ADMIN, email=DEV_ADMIN, name="dev") if dev else None
        )
        self._watch = None if store.file is None else Watch(store.file)
        self._known: Remembered[verbs.Holder] = Remembered(_MOST_KNOWN)
        self._generation = -1
        self._asked_at = float("-inf")
        self._forgotten = 0
        self._uses = LastUses(store)

    async def create_first(self, key: str) -> bool:
        """Store the first administrator's key; False where the store has one already."""
        new = verbs.NewKey(hash_key(key), key_prefix(key), "first administrator", Role.ADMIN)
        return await self._store.write(verbs.create_first, new, email=FIRST_ADMIN, now=clock.now())

    async def exist(self) -> bool:
        """Whether the store holds any key of an administrator's."""
        return await self._store.read(verbs.any_key)

    async def knows(self, key: str) -> bool:
        """Whether somebody holds the key; nothing is noted."""
        if self._dev_admin is not None:
            return True
        return await self._store.read(verbs.find_holder, hash_key(key), clock.now()) is not None

    async def authenticate(self, key: str | None) -> Principal:
        """Who holds the key. Raises Unauthenticated."""
        if not key:
            raise Unauthenticated(
                "no API key was sent; send the header `Authorization: Bearer KEY`",
                code="missing_api_key",
            )
        if self._dev_admin is not None:
            return self._dev_admin
        if len(key) > _LONGEST:
            raise _unknown()
        now = time.time()
        await self._keep_up(now)
        # Looked up by its hash: how long that takes says nothing about the key.
        name = hash_key(key)
        holder = self._known.find(name, now) or await self._find(name, now)
        self._uses.note(holder, now)
        return holder.principal

    async def renewed(self, principal: Principal) -> Principal:
        """The principal as they are now, where they came with a key. Raises Unauthenticated."""
        if principal.key_id is None:
            return principal
        found = await self._store.read(verbs.find_by_id, principal.key_id, clock.now())
        if found is None:
            raise _unknown()
        return found

    def forget(self) -> None:
        """The keys, or who is an administrator, were changed by this process just now."""
        self._known.clear()
        self._forgotten += 1

    async def close(self) -> None:
        """Store what is not stored yet of when keys were used."""
        await self._uses.close()
        if self._watch is not None:
            self._watch.close()

    async def _find(self, name: str, now: float) -> verbs.Holder:
        forgotten = self._forgotten
        holder = await self._store.read(verbs.find_holder, name, clock.now())
        if holder is None:
            raise _unknown()
        # What was changed while the store was asked may be something else by now.
        if forgotten == self._forgotten:
            end = holder.expires_at.timestamp() if holder.expires_at is not None else now + _LIFE
            self._known.put(name, holder, min(end, now + _LIFE))
        return holder

    async def _keep_up(self, now: float) -> None:
        """Forget what is remembered if anybody has changed the keys."""
        if self._store.is_private:
            return
        current = None if self._watch is None else self._watch.current()
        if current is None:
            if self._watch is None and 0 <= now - self._asked_at < self._polled:
                return
            current = await self._store.read(generation.current)
            self._asked_at = now
        if current != self._generation:
            self._generation = current
            self.forget()


class LastUses:
    """When keys were used: written for each of them once a minute at most, and by the way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: Remembered[bool] = Remembered(_MOST_KNOWN)
        self._waiting: dict[str, datetime] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, holder: verbs.Holder, now: float) -> None:
        """The key was used."""
        key_id = holder.principal.key_id or ""
        if self._noted.find(key_id, now):
            return
        self._noted.put(key_id, True, now + _MINUTE)
        last = holder.last_used_at
        if last is not None and now - last.timestamp() < _MINUTE:
            return
        self._waiting[key_id] = datetime.fromtimestamp(now, timezone.utc)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Write what waits."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        try:
            while self._waiting:
                used, self._waiting = self._waiting, {}
                await self._store.write(verbs.touch, used)
        except StoreError as exc:
            # It is for people who look after keys; no request is to fail for it.
            _log.warning("when keys were used could not be stored: %s", exc)
        finally:
            self._writing = None


def _unknown() -> Unauthenticated:
    return Unauthenticated("this API key is not valid", code="invalid_api_key")
