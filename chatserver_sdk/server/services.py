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
    KeyRing,
    PlatformService,
    SessionService,
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
    sessions: SessionService

    @classmethod
    def over(cls, store: Store, settings: Settings, agents: Sequence[Agent]) -> Services:
        """The services of a server with these agents."""
        catalogue = Catalogue(agents, settings.aliases)
        chat = ChatService(
            store,
            catalogue,
            resume_window=settings.resume_window,
            on_disconnect=settings.on_disconnect,
            disconnect_grace=settings.disconnect_grace,
            most_waiting=settings.most_waiting,
        )
        return cls(
            settings,
            store,
            catalogue,
            KeyRing(store, dev=settings.dev),
            chat,
            PlatformService(store, catalogue),
            SessionService(store, catalogue, chat, most_files=settings.max_session_files),
        )

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
