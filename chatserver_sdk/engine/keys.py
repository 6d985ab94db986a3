"""API keys: made at random, shown once, stored as hashes; and who holds one."""

from __future__ import annotations

import hashlib
import re
import secrets

from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage import Store
from chatserver_sdk.storage import keys as verbs

from . import clock
from .errors import Unauthenticated

FIRST_ADMIN = "admin@localhost"
DEV_ADMIN = "dev@localhost"

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
    """Knows who holds a key. In development mode any key is the administrator's."""

    def __init__(self, store: Store, *, dev: bool = False) -> None:
        self._store = store
        self._dev_admin = (
            Principal(id="dev", role=Role.ADMIN, email=DEV_ADMIN, name="dev") if dev else None
        )

    async def create_first(self, key: str) -> bool:
        """Store the first administrator's key; False where the store has keys already."""
        new = verbs.NewKey(hash_key(key), key_prefix(key), "first administrator", Role.ADMIN)
        return await self._store.write(verbs.create_first, new, email=FIRST_ADMIN, now=clock.now())

    async def exist(self) -> bool:
        """Whether the store holds any key."""
        return await self._store.read(verbs.any_key)

    async def authenticate(self, key: str | None) -> Principal:
        """Who holds the key. Raises Unauthenticated."""
        if not key:
            raise Unauthenticated(
                "no API key was sent; send the header `Authorization: Bearer KEY`",
                code="missing_api_key",
            )
        if self._dev_admin is not None:
            return self._dev_admin
        # Looked up by its hash: how long that takes says nothing about the key.
        principal = await self._store.read(verbs.find_principal, hash_key(key), clock.now())
        if principal is None:
            raise Unauthenticated("this API key is not valid", code="invalid_api_key")
        return principal
