"""What tests of the store write into it, and a store without `await`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from chatserver_sdk.models import (
    ChatMessageRecord,
    ChatSessionSummary,
    Message,
    MessageRole,
    UsageInfo,
)
from chatserver_sdk.models.events import TextDelta
from chatserver_sdk.storage import Store, migration, open_store, turns

R = TypeVar("R")

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
USAGE = UsageInfo(3, 4, 7)


def new_id() -> str:
    """A UUID."""
    return str(uuid4())


class Db:
    """A store whose verbs are called from synchronous code."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.close = store.close

    @classmethod
    def open(cls, location: str) -> Db:
        """The store at a location."""
        return cls(open_store(location))

    def write(self, verb: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """What the verb gives, once it is committed."""
        return asyncio.run(self.store.write(verb, *args, **kwargs))

    def read(self, verb: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """What the verb gives, from what is committed."""
        return asyncio.run(self.store.read(verb, *args, **kwargs))

    def ask(self, plan: turns.TurnPlan) -> turns.BegunTurn:
        """Begin a turn in which everything that was sent is new."""
        return self.write(turns.begin, plan, all_new)

    def converse(self, plan: turns.TurnPlan, answer: str | None = "yes", **how: Any) -> None:
        """A whole turn."""
        self.write(turns.finish, ended(plan, self.ask(plan), answer, **how))


def all_new(stored: Any, sent: Any) -> list[Message]:
    """The rule for callers that send new messages only."""
    return list(sent)


def said(*texts: str, role: MessageRole = MessageRole.USER) -> list[Message]:
    """Messages with these texts."""
    return [Message(role, text) for text in texts]


def planned(
    *texts: str,
    session_id: str | None = None,
    user: str = "ada",
    now: datetime = NOW,
    sent: list[Message] | None = None,
    context_size: int = 200,
    **fields: Any,
) -> turns.TurnPlan:
    """A turn in which a user says these texts; `fields` are the session's."""
    session = {"title": None, "model": "echo", "agent_type": "echo", **fields}
    return turns.TurnPlan(
        turn_id=new_id(),
        session=ChatSessionSummary(session_id or new_id(), user, now, now, **session),
        principal_id="p",
        sent=said(*texts) if sent is None else sent,
        context_size=context_size,
        now=now,
    )


def ended(
    plan: turns.TurnPlan,
    begun: turns.BegunTurn,
    answer: str | None = "yes",
    *,
    now: datetime | None = None,
    usage: UsageInfo = USAGE,
    state: str = "completed",
) -> turns.TurnEnd:
    """The end of a turn; None is no answer."""
    now = now or plan.now
    record = ChatMessageRecord(
        id=new_id(),
        message_index=begun.next_index,
        role=MessageRole.ASSISTANT,
        created_at=now,
        content=answer,
        metadata={"finish_reason": "stop"},
        tokens=usage.completion_tokens,
    )
    return turns.TurnEnd(
        turn_id=plan.turn_id,
        session_id=plan.session.id,
        state=state,
        now=now,
        finish_reason="stop",
        usage=usage,
        answer=None if answer is None else record,
        log=[TextDelta(answer or "")],
    )


def make_database(path: Path, revision: str) -> None:
    """A SQLite file as an earlier version has left it, without any record."""
    config = Config()
    config.set_main_option("script_location", str(Path(migration.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
