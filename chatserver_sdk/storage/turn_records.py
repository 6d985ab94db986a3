"""What the verbs on turns are given, and what they give back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chatserver_sdk.models import ChatMessageRecord, ChatSessionSummary, Message, UsageInfo
from chatserver_sdk.models.events import Event

from .idempotency import Claim

ChooseNew = Callable[[Sequence[Message], Sequence[Message]], list[Message]]


@dataclass
class TurnPlan:
    """A turn that is about to begin. `context_size`: how many messages the agent may see.
    `claim`: the idempotency key that is to stand for it. `opens`: whether a session that is not
    known is made."""

    turn_id: str
    session: ChatSessionSummary
    principal_id: str
    sent: Sequence[Message]
    context_size: int
    now: datetime
    claim: Claim | None = None
    opens: bool = True


@dataclass
class BegunTurn:
    """What the agent is to see, and where the answer's place in the session is."""

    context: list[Message]
    next_index: int


@dataclass
class TurnEnd:
    """How a turn ended.

    log: what it said; it is encoded by the thread that writes it.
    """

    turn_id: str
    session_id: str
    state: str
    now: datetime
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: UsageInfo = field(default_factory=UsageInfo)
    answer: ChatMessageRecord | None = None
    log: Sequence[Event] = ()


@dataclass(frozen=True)
class StoredTurn:
    """What is known of a turn, its log aside."""

    id: str
    session_id: str
    user_id: str
    principal_id: str
    model: str
    state: str
    started_at: datetime
