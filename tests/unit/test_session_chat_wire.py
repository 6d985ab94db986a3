"""The session-chat dialect: every event there and back, its bytes, its schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import EVENTS, instances

from chatserver_sdk._wire import session_chat, sse
from chatserver_sdk.exceptions import DecodeError
from chatserver_sdk.models.events import (
    TERMINAL,
    Event,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
)

HEADING = session_chat.Heading("t-1", "s-1", "echo")
UNTIMED = ("text_delta", "thought_delta", "tool_call_delta")

each_event = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)


def sent(event: Event) -> list[sse.ServerSentEvent]:
    """What a reader gets of an event."""
    return list(sse.iter_events(session_chat.encode_event(HEADING, event)))


@each_event
@given(data=st.data())
def test_every_event_is_read_as_it_was_written(kind: type[Event], data: st.DataObject) -> None:
    """With its number; of the small ones the time is left out, and a last one has an end behind."""
    event = data.draw(instances(kind))
    event.seq = data.draw(st.integers(0, 10**15 - 1))
    said = sent(event)

    read = session_chat.decode_event(said[0])

    if kind.type in UNTIMED:
        event.at = None
    assert read == event
    assert [one.event for one in said[1:]] == ["interaction_end"] * isinstance(event, TERMINAL)
    assert {one.id for one in said} == {f"t-1:{event.seq}"}
    assert all(session_chat.decode_event(one) is None for one in said[1:])


@each_event
@given(data=st.data())
def test_every_event_is_as_its_schema_says(kind: type[Event], data: st.DataObject) -> None:
    """It has what is required and nothing that the schema does not name."""
    event = data.draw(instances(kind))
    schemas = session_chat.event_schemas()
    for body in session_chat.event_bodies(HEADING, event):
        schema = schemas[body["type"]]
        assert {*schema["required"]} <= {*body} <= {*schema["properties"]}
        assert schema["properties"]["type"] == {"const": body["type"]}


def test_the_schemas_know_every_event() -> None:
    """One schema for each kind of event, and one for the end of an interaction."""
    schemas = session_chat.event_schemas()
    assert len(schemas) == len(EVENTS) + 1
    assert {*session_chat.TERMINAL, session_chat.END, "widget", "message"} <= {*schemas}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (TextDelta("hi\r\nyou", seq=2), [("text_delta", {"content": "hi\r\nyou"})]),
        (
            TurnCompleted("length", seq=7),
            [
                (
                    "completion",
                    {"finish_reason": "length", "id": "chatcmpl-t1", "status": "complete"},
                ),
                ("interaction_end", {"id": "t-1", "session_id": "s-1", "status": "completed"}),
            ],
        ),
        (
            TurnCancelled("stop", seq=7),
            [
                ("cancelled", {"reason": "stop", "id": "chatcmpl-t1", "status": "cancelled"}),
                ("interaction_end", {"id": "t-1", "session_id": "s-1", "status": "cancelled"}),
            ],
        ),
        (
            TurnFailed("no", "quota", 429, seq=7),
            [
                ("error", {"code": "quota", "status": 429, "content": "no"}),
                ("interaction_end", {"id": "t-1", "session_id": "s-1", "status": "failed"}),
            ],
        ),
    ],
)
def test_what_is_sent(event: Event, expected: list[tuple[str, dict[str, Any]]]) -> None:
    """The names and fields of the documents, one line of data each."""
    said = sent(event)
    assert [(one.event, json.loads(one.data)) for one in said] == [
        (name, {"type": name, **body}) for name, body in expected
    ]


@pytest.mark.parametrize("data", ["", "{", "[]", "1", '"text"', "[" * 100_000])
def test_what_is_no_event_is_refused(data: str) -> None:
    """Data that is no JSON object."""
    with pytest.raises(DecodeError):
        session_chat.decode_event(sse.ServerSentEvent(data))


@pytest.mark.parametrize(
    ("event", "read"),
    [
        (sse.ServerSentEvent('{"content": "a"}', "text_delta", "t:3"), TextDelta("a", seq=3)),
        (sse.ServerSentEvent('{"content": "a"}', "text_delta", "odd"), TextDelta("a")),
        (sse.ServerSentEvent('{"content": "a"}', "text_delta", "t:²"), TextDelta("a")),
        (sse.ServerSentEvent('{"type": "to_come", "a": 1}', "to_come", "t:3"), None),
        (sse.ServerSentEvent('{"type": ["odd"]}'), None),
    ],
)
def test_odd_events(event: sse.ServerSentEvent, read: Event | None) -> None:
    """The event's name stands in for a missing type; what a newer server says is passed over."""
    assert session_chat.decode_event(event) == read


def test_a_field_of_the_wrong_kind_is_refused() -> None:
    """With the class and the field."""
    with pytest.raises(DecodeError, match="text"):
        session_chat.decode_event(sse.ServerSentEvent('{"type": "text_delta", "content": 1}'))
