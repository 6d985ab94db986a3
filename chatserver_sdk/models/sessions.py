"""Stored conversations: sessions, their messages, and lists of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dataclasses_json import config

from ._base import Model, aliased, omitted
from .completions import MessageRole
from .content import text_of


@dataclass
class ChatSessionSummary(Model):
    """One line of a user's history.

    id: the fingerprint that resumes it. user_id: whose it is. organization_id: a label that the
    caller put on it. title: the start of the first question. model, agent_type: who answers.
    created_at, updated_at, last_message_at: aware times. message_count: stored messages.
    tokens_in, tokens_out, tokens_total: added up over its turns. metadata: free.
    archived: put away.
    """

    id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    organization_id: str | None = aliased("org_id")
    title: str | None = None
    model: str | None = None
    agent_type: str | None = None
    last_message_at: datetime | None = None
    message_count: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_total: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    archived: bool = False


@dataclass
class ChatSessionListResponse(Model):
    """A page of a user's sessions, the latest first.

    sessions: the page. total: how many there are on all pages. page: from 1. page_size: as asked.
    has_more: whether a next page exists. next_cursor: what gives it, where a cursor was sent.
    """

    sessions: list[ChatSessionSummary]
    total: int = 0
    page: int = 1
    page_size: int = 20
    has_more: bool = False
    next_cursor: str | None = omitted()


@dataclass
class ChatMessageRecord(Model):
    """A stored message.

    id: its id. message_index: its place in the session, from 0. role, content: as in Message.
    metadata: free; `author`, `finish_reason` and the like. tokens: its size where known.
    created_at, updated_at: aware times. session_id: the session it belongs to (the wire leaves
    it out; ChatSessionDetailResponse fills it in).
    """

    id: str
    message_index: int
    role: MessageRole
    created_at: datetime
    content: str | list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    updated_at: datetime | None = None
    session_id: str = field(default="", metadata=config(exclude=lambda value: True))

    @property
    def text(self) -> str:
        """The content's words, whichever form it has."""
        return text_of(self.content)


@dataclass
class ChatSessionDetailResponse(Model):
    """A session with its transcript.

    session: what the list of sessions says of it. messages: the transcript, oldest first.
    """

    session: ChatSessionSummary
    messages: list[ChatMessageRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        for message in self.messages:
            message.session_id = self.session.id
