"""What the routes call: the engine's services over one store, and who is asking."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine import (
    Catalogue,
    ChatService,
    FailedAuthentications,
    KeyIssuer,
    KeyRing,
    PlatformService,
    SessionService,
    TicketOffice,
)
from chatserver_sdk.engine.auditing import Retention
from chatserver_sdk.engine.tally import Tally
from chatserver_sdk.storage import Store

from .doorkeeper import Doorkeeper
from .metrics import Metrics
from .settings import Settings

if TYPE_CHECKING:
    from chatserver_sdk.engine.limits import RateLimits
    from chatserver_sdk.engine.tokens import TokenReader


@dataclass
class Services:
    """One server's engine."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    keys: KeyRing
    chat: ChatService
    platform: PlatformService
    retention: Retention
    issuer: KeyIssuer
    door: Doorkeeper
    metrics: Metrics
    sessions: SessionService
    # The question to the store that /health/ready waits for, whoever asked first.
    probe: asyncio.Future[None] | None = None

    @classmethod
    def over(cls, store: Store, settings: Settings, agents: Sequence[Agent]) -> Services:
        """The services of a server with these agents."""
        catalogue = Catalogue(agents, settings.aliases)
        tally = Tally(store)
        ring = KeyRing(store, dev=settings.dev)
        limits = _limits(settings)
        metrics = Metrics()
        chat = _chat(store, catalogue, tally, limits, metrics, settings)
        return cls(
            settings,
            store,
            catalogue,
            ring,
            chat,
            PlatformService(store, catalogue, tally, ring.forget),
            Retention(store, settings.audit_retention_days),
            KeyIssuer(store, ring),
            Doorkeeper(
                ring, TicketOffice(), FailedAuthentications(store), _tokens(settings), limits
            ),
            metrics,
            SessionService(store, catalogue, chat, most_files=settings.max_session_files),
        )

    async def close(self) -> None:
        """Store what waits to be stored; then nothing is asked any more."""
        await self.door.close()


def _chat(
    store: Store,
    catalogue: Catalogue,
    tally: Tally,
    limits: RateLimits | None,
    metrics: Metrics,
    settings: Settings,
) -> ChatService:
    """The service whose figures the metrics show."""
    chat = ChatService(
        store,
        catalogue,
        tally,
        resume_window=settings.resume_window,
        limits=limits,
        max_running=settings.max_running_turns,
        max_running_each=settings.max_running_turns_per_user,
        longest_turn=settings.max_turn_seconds,
        longest_message=settings.max_message_chars,
        on_end=metrics.count_turn,
        on_disconnect=settings.on_disconnect,
        disconnect_grace=settings.disconnect_grace,
        most_waiting=settings.most_waiting,
    )
    metrics.watch_store(store)
    models = {model.id for model in catalogue.list_models()}
    metrics.watch_turns(models, lambda: chat.running_turns, lambda: chat.readers)
    return chat


# What only some servers need is imported for them only: both take 40 ms and more.
def _limits(settings: Settings) -> RateLimits | None:
    if settings.rate_limits == (None, None, None):
        return None
    from chatserver_sdk.engine.limits import RateLimits

    return RateLimits(*settings.rate_limits)


def _tokens(settings: Settings) -> TokenReader | None:
    if settings.token_rules is None:
        return None
    from chatserver_sdk.engine.tokens import TokenReader

    return TokenReader(settings.token_rules)
