"""What the routes call: the engine's services over one store, and who is asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine import Catalogue, ChatService, Forbidden, KeyRing, PlatformService
from chatserver_sdk.engine.tally import Tally
from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage import Store

from . import visits
from .metrics import Metrics
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
    metrics: Metrics

    @classmethod
    def over(cls, store: Store, settings: Settings, agents: Sequence[Agent]) -> Services:
        """The services of a server with these agents."""
        catalogue = Catalogue(agents, settings.aliases)
        tally = Tally(store)
        metrics = Metrics()
        chat = ChatService(
            store, catalogue, tally, resume_window=settings.resume_window, on_end=metrics.count_turn
        )
        metrics.watch_store(store)
        metrics.watch_turns(
            {model.id for model in catalogue.list_models()},
            lambda: chat.running_turns,
            lambda: chat.readers,
        )
        return cls(
            settings,
            store,
            catalogue,
            KeyRing(store, dev=settings.dev),
            chat,
            PlatformService(store, catalogue, tally),
            metrics,
        )

    async def principal(self, headers: Headers) -> Principal:
        """Who is asking. Raises Unauthenticated."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        principal = await self.keys.authenticate(
            key.strip() if scheme.lower() == "bearer" else None
        )
        visits.note_principal(principal.id)
        return principal

    async def admin(self, headers: Headers) -> Principal:
        """The administrator who is asking. Raises Unauthenticated, Forbidden."""
        principal = await self.principal(headers)
        if principal.role != Role.ADMIN:
            raise Forbidden("this needs an administrator's API key", "admin_required")
        return principal
