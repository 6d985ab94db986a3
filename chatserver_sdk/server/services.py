"""What the routes call: the engine's services over one store, and who is asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine import (
    Catalogue,
    ChatService,
    Forbidden,
    KeyIssuer,
    KeyRing,
    PlatformService,
)
from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage import Store

from .settings import Settings


@dataclass
class Services:
    """One server's engine."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    keys: KeyRing
    chat: ChatService
    platform: PlatformService
    issuer: KeyIssuer

    @classmethod
    def over(cls, store: Store, settings: Settings, agents: Sequence[Agent]) -> Services:
        """The services of a server with these agents."""
        catalogue = Catalogue(agents, settings.aliases)
        ring = KeyRing(store, dev=settings.dev)
        return cls(
            settings,
            store,
            catalogue,
            ring,
            ChatService(store, catalogue, resume_window=settings.resume_window),
            PlatformService(store, catalogue, ring.forget),
            KeyIssuer(store, ring),
        )

    async def close(self) -> None:
        """Store what waits to be stored; then nothing is asked any more."""
        await self.keys.close()

    async def principal(self, headers: Headers) -> Principal:
        """Who is asking. Raises Unauthenticated."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return await self.keys.authenticate(key.strip() if scheme.lower() == "bearer" else None)

    async def admin(self, headers: Headers) -> Principal:
        """The administrator who is asking. Raises Unauthenticated, Forbidden."""
        principal = await self.principal(headers)
        if principal.role != Role.ADMIN:
            raise Forbidden("this needs an administrator's API key", "admin_required")
        return principal
