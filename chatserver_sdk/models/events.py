"""What a turn says: one set of events, which every protocol translates to its own wire.

An event gets its number (`seq`, from 1, without gaps) and its time (`at`) from the turn that says
it. Nothing here knows how a protocol writes an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from chatserver_sdk.exceptions import DecodeError

from ._base import Model
from .completions import UsageInfo
from .sessions import ChatMessageRecord


@dataclass
class Event(Model):
    """The base of all events."""

    type: ClassVar[str] = ""

    seq: int = field(default=0, kw_only=True)
    at: datetime | None = field(default=None, kw_only=True)


@dataclass
class TurnStarted(Event):
    """An agent begins to answer."""

    type: ClassVar[str] = "turn_started"
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class TextDelta(Event):
    """Some more text of the answer."""

    type: ClassVar[str] = "text_delta"
    text: str


@dataclass
class ThoughtDelta(Event):
    """Some more of what the agent thinks before it answers."""

    type: ClassVar[str] = "thought_delta"
    text: str


@dataclass
class ToolCall(Event):
    """The agent calls a tool; arguments are JSON text."""

    type: ClassVar[str] = "tool_call"
    id: str
    name: str
    arguments: str = ""
    index: int = 0


@dataclass
class ToolCallDelta(Event):
    """Some more of a call's arguments."""

    type: ClassVar[str] = "tool_call_delta"
    index: int
    arguments: str


@dataclass
class ToolResult(Event):
    """What a tool answered."""

    type: ClassVar[str] = "tool_result"
    call_id: str
    content: str
    name: str | None = None


@dataclass
class WidgetShown(Event):
    """The agent shows the user something to look at or to fill in."""

    type: ClassVar[str] = "widget_shown"
    widget_id: str
    widget_type: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class WidgetUpdated(Event):
    """What a widget shows has changed."""

    type: ClassVar[str] = "widget_updated"
    widget_id: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class MessageStored(Event):
    """A message is in the history now."""

    type: ClassVar[str] = "message_stored"
    message: ChatMessageRecord


@dataclass
class Usage(Event):
    """What the turn cost."""

    type: ClassVar[str] = "usage"
    usage: UsageInfo


@dataclass
class TurnCompleted(Event):
    """The answer is whole, and stored where it is to be stored."""

    type: ClassVar[str] = "turn_completed"
    finish_reason: str = "stop"
    usage: UsageInfo | None = None


@dataclass
class TurnCancelled(Event):
    """The turn was stopped; what it had said stands."""

    type: ClassVar[str] = "turn_cancelled"
    reason: str | None = None


@dataclass
class TurnFailed(Event):
    """The turn broke off; the sentence is fit for users, the code for programs."""

    type: ClassVar[str] = "turn_failed"
    message: str
    code: str = "agent_failed"
    status: int = 500


@dataclass
class ModeChanged(Event):
    """Who answers in this session has changed: ai, expert or passthrough."""

    type: ClassVar[str] = "mode_changed"
    mode: str


@dataclass
class ExpertJoined(Event):
    """A person has taken the chat over."""

    type: ClassVar[str] = "expert_joined"
    expert_id: str


@dataclass
class ExpertLeft(Event):
    """The person has left the chat."""

    type: ClassVar[str] = "expert_left"
    expert_id: str


TERMINAL = (TurnCompleted, TurnCancelled, TurnFailed)

_EVENTS: dict[str, type[Event]] = {event.type: event for event in Event.__subclasses__()}


def encode_event(event: Event) -> dict[str, Any]:
    """The event as a stored or sent JSON object, its `type` first."""
    return {"type": event.type, **event.to_dict()}


def decode_event(raw: dict[str, Any]) -> Event:
    """The inverse of encode_event. Raises DecodeError for a type that is not known."""
    kind = _EVENTS.get(str(raw.get("type")))
    if kind is None:
        raise DecodeError(f"there is no event of type {raw.get('type')!r}")
    return kind.from_dict({key: value for key, value in raw.items() if key != "type"})
