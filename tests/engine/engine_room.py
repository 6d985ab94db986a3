"""A chat service over a store in memory, and what tests ask of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine import Catalogue, ChatService, Turn
from chatserver_sdk.engine.tally import Tally
from chatserver_sdk.models import (
    ChatCompletionRequest,
    ChatMessageRecord,
    Message,
    MessageRole,
    Principal,
    Role,
)
from chatserver_sdk.models.events import Event
from chatserver_sdk.storage import Store, open_store

ADMIN = Principal("p-admin", Role.ADMIN, email="root@x")
ADA = Principal("p-ada", Role.USER, user_id="ada")
NOBODY = Principal("p-nobody", Role.USER)


class Room(ChatService):
    """A chat service that is asked in a line."""

    def __init__(self, store: Store, *agents: Agent, **options: Any) -> None:
        self.tally = Tally(store)
        super().__init__(store, Catalogue(agents), self.tally, **options)
        self.store = store
        self.model = agents[0].name

    async def say(
        self, *texts: str, user: str | None = "ada", by: Principal = ADMIN, **metadata: Any
    ) -> Turn:
        """Ask the first agent; what was said are new messages of the user."""
        sent = [Message(MessageRole.USER, text) for text in texts]
        return await self.send(sent, user=user, by=by, **metadata)

    async def send(
        self, sent: list[Message], *, user: str | None = "ada", by: Principal = ADMIN, **meta: Any
    ) -> Turn:
        """Ask the first agent with these messages."""
        request = ChatCompletionRequest(self.model, sent, user=user, metadata=meta or None)
        return await self.ask(request, by)

    async def history(self, turn: Turn) -> list[ChatMessageRecord]:
        """What is stored of the turn's session."""
        detail = await self.get_session(ADMIN, turn.session_id, turn.user_id or "")
        return detail.messages

    async def texts(self, turn: Turn) -> list[str]:
        """The texts that are stored of the turn's session."""
        return [message.text for message in await self.history(turn)]

    async def rows(self, table: Any) -> list[Any]:
        """Everything in a table."""
        return await self.store.read(lambda connection: list(connection.execute(table.select())))


def in_room(
    *agents: Agent, work: Callable[[Room], Awaitable[Any]], db: str = ":memory:", **options: Any
) -> Any:
    """What `work` gives, with a room that is open meanwhile; nothing takes longer than a minute."""

    async def run() -> Any:
        async with room(*agents, db=db, **options) as opened:
            return await asyncio.wait_for(work(opened), 60)

    return asyncio.run(run())


@asynccontextmanager
async def room(*agents: Agent, db: str = ":memory:", **options: Any) -> AsyncIterator[Room]:
    """A started service, closed at the end together with its store."""
    store = open_store(db)
    service = Room(store, *agents, **options)
    await service.start()
    try:
        yield service
    finally:
        await service.close()
        store.close()


@asynccontextmanager
async def held(store: Store) -> AsyncIterator[threading.Event]:
    """While the store's writer is held up; setting the event lets it go on earlier."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(connection: Any) -> None:
        begun.set()
        go_on.wait()

    holding = asyncio.ensure_future(store.write(hold))
    while not begun.is_set():
        await asyncio.sleep(0)
    try:
        yield go_on
    finally:
        go_on.set()
        await holding


async def laps(count: int = 50) -> None:
    """Let everybody else on the loop have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def everything(turn: Turn) -> list[Event]:
    """What the turn says from its first event to its last."""
    await turn.end()
    return list(turn.log)


def kinds(events: list[Event]) -> list[str]:
    """The events' types."""
    return [event.type for event in events]
