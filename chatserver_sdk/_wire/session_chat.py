"""The session-chat dialect: what a turn says as named events, written (server) and read (client).

An event is `event: <type>`, `id: <turn>:<seq>` and one line of JSON that begins with its `type`.
The last event of a turn is followed by interaction_end, which has the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatserver_sdk import _json
from chatserver_sdk._lazy import Later
from chatserver_sdk.exceptions import DecodeError

from . import sse

if TYPE_CHECKING:
    from chatserver_sdk.models import events
    from chatserver_sdk.models.events import Event
else:
    events = Later("chatserver_sdk.models.events")

ERROR = "error"
END = "interaction_end"
TERMINAL = ("completion", "cancelled", ERROR)

# What this dialect calls the events that it does not call by their own names.
_NAMES = {
    "turn_started": "interaction_start",
    "widget_shown": "widget",
    "widget_updated": "widget_update",
    "message_stored": "message",
    "turn_completed": "completion",
    "turn_cancelled": "cancelled",
    "turn_failed": ERROR,
}
_TYPES = {name: kind for kind, name in _NAMES.items()}
# Fields that have other names on this wire.
_FIELDS = {
    "text_delta": ("text", "content"),
    "thought_delta": ("text", "content"),
    "turn_failed": ("message", "content"),
}
_HEADING = {
    "turn_started": ("id", "session_id", "model"),
    "turn_completed": ("id", "status"),
    "turn_cancelled": ("id", "status"),
}
# There are many of these, and their times would be half of what is sent.
_WITHOUT_TIME = {"text_delta", "thought_delta", "tool_call_delta"}


@dataclass(frozen=True)
class Heading:
    """Whose events these are."""

    turn_id: str
    session_id: str
    model: str

    @property
    def completion_id(self) -> str:
        """What completions call the same answer."""
        return f"chatcmpl-{self.turn_id.replace('-', '')}"


def encode_event(heading: Heading, event: Event) -> Iterator[bytes]:
    """The bytes that say an event: one server-sent event, two where it ends the turn."""
    for body in event_bodies(heading, event):
        data = _json.compact(body)
        yield sse.encode_event(data, event=body["type"], id=f"{heading.turn_id}:{event.seq}")


def event_bodies(heading: Heading, event: Event) -> list[dict[str, Any]]:
    """The same as JSON objects."""
    kind = event.type
    name = _NAMES.get(kind, kind)
    # The common one: nothing is looked up for it.
    if kind == "text_delta":
        return [{"type": name, "content": event.text}]  # type: ignore[attr-defined]
    fields = {key: value for key, value in event.to_dict().items() if value is not None}
    del fields["seq"]
    if kind in _WITHOUT_TIME:
        fields.pop("at", None)
    if kind in _FIELDS:
        ours, theirs = _FIELDS[kind]
        fields[theirs] = fields.pop(ours)
    body = {"type": name, **fields, **_heading_of(heading, kind)}
    return [body, _end_of(heading, kind)] if name in TERMINAL else [body]


def _heading_of(heading: Heading, kind: str) -> dict[str, Any]:
    if kind == "turn_started":
        model = {"model": heading.model}
        return {"id": heading.turn_id, "session_id": heading.session_id, **model}
    if kind not in _HEADING:
        return {}
    status = "complete" if kind == "turn_completed" else "cancelled"
    return {"id": heading.completion_id, "status": status}


def _end_of(heading: Heading, kind: str) -> dict[str, Any]:
    status = kind.removeprefix("turn_")
    return {
        "type": END,
        "id": heading.turn_id,
        "session_id": heading.session_id,
        "status": status,
    }


def decode_event(event: sse.ServerSentEvent) -> Event | None:
    """The inverse of encode_event; None for interaction_end, and for events that are not known.

    Raises DecodeError for data that is no event.
    """
    return event_of(body_of(event), event.id)


def body_of(event: sse.ServerSentEvent) -> dict[str, Any]:
    """The JSON object in an event. Raises DecodeError where there is none."""
    try:
        body = _json.loads(event.data)
    except (ValueError, RecursionError) as exc:
        raise DecodeError("the server sent an event that is not JSON") from exc
    if not isinstance(body, dict):
        raise DecodeError("the server sent an event that is no object")
    # Who leaves the type out of the object has said it beside it.
    return body if "type" in body else {"type": event.event, **body}


def event_of(body: dict[str, Any], event_id: str = "") -> Event | None:
    """The event that a JSON object says; None as for decode_event. Raises DecodeError."""
    kind = _TYPES.get(str(body["type"]), str(body["type"]))
    if not events.is_known(kind):
        return None
    fields = {key: value for key, value in body.items() if key not in _HEADING.get(kind, ())}
    if kind in _FIELDS:
        ours, theirs = _FIELDS[kind]
        fields = {ours if key == theirs else key: value for key, value in fields.items()}
    return events.decode_event({**fields, "type": kind, "seq": _seq(event_id)})


def _seq(event_id: str) -> int:
    seq = event_id.rpartition(":")[2]
    return int(seq) if seq.isascii() and seq.isdecimal() and len(seq) < 16 else 0


_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "integer"}
_OBJECT: dict[str, Any] = {"type": "object"}
_USAGE: dict[str, Any] = {
    "type": "object",
    "properties": {f"{what}_tokens": _NUMBER for what in ("prompt", "completion", "total")},
}
# What each event has beside `type` and `at`; a name with "?" may be missing.
_SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "interaction_start": {"id": _TEXT, "session_id": _TEXT, "model": _TEXT, "metadata": _OBJECT},
    "text_delta": {"content": _TEXT},
    "thought_delta": {"content": _TEXT},
    "tool_call": {"id": _TEXT, "name": _TEXT, "arguments": _TEXT, "index": _NUMBER},
    "tool_call_delta": {"index": _NUMBER, "arguments": _TEXT},
    "tool_result": {"call_id": _TEXT, "content": _TEXT, "name?": _TEXT},
    "widget": {"widget_id": _TEXT, "widget_type": _TEXT, "data": _OBJECT},
    "widget_update": {"widget_id": _TEXT, "data": _OBJECT},
    "message": {"message": _OBJECT},
    "usage": {"usage": _USAGE},
    "mode_changed": {"mode": _TEXT},
    "expert_joined": {"expert_id": _TEXT},
    "expert_left": {"expert_id": _TEXT},
    "completion": {
        "id": _TEXT,
        "status": {"const": "complete"},
        "finish_reason": _TEXT,
        "usage?": _USAGE,
    },
    "cancelled": {"id": _TEXT, "status": {"const": "cancelled"}, "reason?": _TEXT},
    ERROR: {"content": _TEXT, "code": _TEXT, "status": _NUMBER},
    END: {
        "id": _TEXT,
        "session_id": _TEXT,
        "status": {"enum": ["completed", "cancelled", "failed"]},
    },
}


def event_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each event's object, by its type, for an OpenAPI document."""
    return {name: _schema(name, shape) for name, shape in _SHAPES.items()}


def _schema(name: str, shape: dict[str, dict[str, Any]]) -> dict[str, Any]:
    fields = {key.rstrip("?"): kind for key, kind in shape.items()}
    timed = {} if name in _WITHOUT_TIME or name == END else {"at": {**_TEXT, "format": "date-time"}}
    return {
        "type": "object",
        "title": f"{name} event",
        "required": ["type", *(key for key in shape if not key.endswith("?"))],
        "properties": {"type": {"const": name}, **fields, **timed},
    }
