"""What a turn says: one set of events, which every protocol translates to its own wire.

An event gets its number (`seq`, from 1, without gaps) and its time (`at`) from the turn that says
it. Nothing here knows how a protocol writes an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar

from chatserver_sdk.exceptions import DecodeError

from ._base import Model
from .completions import UsageInfo
from .sessions import ChatMessageRecord


@dataclass
class Event(Model):
    """The base of all events."""

    type: ClassVar[str] = ""
    is_terminal: ClassVar[bool] = False

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
    is_terminal: ClassVar[bool] = True
    finish_reason: str = "stop"
    usage: UsageInfo | None = None


@dataclass
class TurnCancelled(Event):
    """The turn was stopped; what it had said stands."""

    type: ClassVar[str] = "turn_cancelled"
    is_terminal: ClassVar[bool] = True
    reason: str | None = None


@dataclass
class TurnFailed(Event):
    """The turn broke off; the sentence is fit for users, the code for programs."""

    type: ClassVar[str] = "turn_failed"
    is_terminal: ClassVar[bool] = True
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


def is_known(kind: str) -> bool:
    """Whether there is an event of this type."""
    return kind in _EVENTS


def encode_event(event: Event) -> dict[str, Any]:
    """The event as a stored or sent JSON object, its `type` first."""
    return {"type": event.type, **event.to_dict()}


def decode_event(raw: dict[str, Any]) -> Event:
    """The inverse of encode_event. Raises DecodeError for a type that is not known."""
    kind = _EVENTS.get(str(raw.get("type")))
    if kind is None:
        raise DecodeError(f"there is no event of type {raw.get('type')!r}")
    return kind.from_dict({key: value for key, value in raw.items() if key != "type"})


_TEXT_RUN = "text_deltas"


@dataclass
class _TextRun(Model):
    """Pieces of text that were said one after the other, as a log keeps them."""

    seq: int
    at: datetime | None
    texts: list[str]


def encode_log(events: Iterable[Event]) -> list[dict[str, Any]]:
    """What a turn said as stored JSON objects.

    A word is much smaller than what stands around it: a run of texts is one object, and only the
    first of them keeps its time.
    """
    encoded: list[dict[str, Any]] = []
    for place, numbered in groupby(enumerate(events), _place_in_run):
        run = [event for _, event in numbered]
        if place is None or len(run) == 1:
            encoded.extend(encode_event(event) for event in run)
        else:
            encoded.append(_encode_run(run))
    return encoded


def decode_log(raw: Iterable[dict[str, Any]]) -> list[Event]:
    """The inverse of encode_log, but for the times within a run. Raises DecodeError."""
    events: list[Event] = []
    for item in raw:
        if item.get("type") != _TEXT_RUN:
            events.append(decode_event(item))
            continue
        run = _TextRun.from_dict(item)
        events.extend(
            TextDelta(text, seq=n, at=run.at) for n, text in enumerate(run.texts, run.seq)
        )
    return events


def _place_in_run(numbered: tuple[int, Event]) -> int | None:
    """The same for texts whose numbers follow each other; None for what stands alone."""
    index, event = numbered
    # What a newer server has added to an event has no place in a run.
    is_plain = type(event) is TextDelta and not event.__dict__.get("_extra")
    return event.seq - index if is_plain else None


def _encode_run(run: list[Event]) -> dict[str, Any]:
    encoded = {**encode_event(run[0]), "type": _TEXT_RUN}
    del encoded["text"]
    encoded["texts"] = [event.text for event in run if isinstance(event, TextDelta)]
    return encoded
