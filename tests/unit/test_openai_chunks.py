"""The chat-completions dialect: what a turn says is written as chunks and read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from model_strategies import EVENTS, TEXTS, instances

from chatserver_sdk._wire import openai, sse
from chatserver_sdk._wire.openai import Heading, StreamedAnswer
from chatserver_sdk._wire.sse import ServerSentEvent
from chatserver_sdk.exceptions import (
    BadRequestError,
    DecodeError,
    NotFoundError,
    RateLimitError,
    StreamFailedError,
)
from chatserver_sdk.models import (
    ChatCompletionChunk,
    ChatCompletionResponse,
    MessageRole,
    UsageInfo,
    events,
)

HEADING = Heading("chatcmpl-1", 1700000000, "m", "s1")
USAGE = UsageInfo(1, 2, 3)


def chunk(event: events.Event) -> dict[str, Any]:
    """The JSON that says this event."""
    body = openai.chunk_body(HEADING, event)
    assert body is not None
    return body


def choice(event: events.Event) -> dict[str, Any]:
    """The chunk's only choice."""
    body = chunk(event)
    assert len(body["choices"]) == 1
    return dict(body["choices"][0])


def feed(*chunks: Any) -> tuple[str, StreamedAnswer]:
    """The text that these chunks add, and the answer that they add up to."""
    answer = StreamedAnswer({})
    texts = [answer.add(ServerSentEvent(json.dumps(said))) for said in chunks]
    assert answer.text == "".join(texts)
    return answer.text, answer


WRITTEN: list[tuple[events.Event, dict[str, Any]]] = [
    (events.TurnStarted(), {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}),
    (events.TextDelta("Hi"), {"delta": {"content": "Hi"}, "finish_reason": None}),
    (events.ThoughtDelta("Hm"), {"delta": {"reasoning_content": "Hm"}, "finish_reason": None}),
    (
        events.ToolCall("c1", "search", '{"q":', 2),
        {
            "delta": {
                "tool_calls": [
                    {
                        "index": 2,
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "search", "arguments": '{"q":'},
                    }
                ]
            },
            "finish_reason": None,
        },
    ),
    (
        events.ToolCallDelta(2, "1}"),
        {
            "delta": {"tool_calls": [{"index": 2, "function": {"arguments": "1}"}}]},
            "finish_reason": None,
        },
    ),
    (
        events.WidgetShown("w1", "form", {"a": 1}),
        {
            "delta": {},
            "finish_reason": None,
            "widget": {"widget_id": "w1", "widget_type": "form", "data": {"a": 1}},
        },
    ),
    (
        events.WidgetUpdated("w1", {"a": 2}),
        {"delta": {}, "finish_reason": None, "widget": {"widget_id": "w1", "data": {"a": 2}}},
    ),
    (events.TurnCompleted("length"), {"delta": {}, "finish_reason": "length"}),
    (events.TurnCancelled("asked"), {"delta": {}, "finish_reason": "cancelled"}),
]
UNSPOKEN = {
    events.ToolResult,
    events.MessageStored,
    events.Usage,
    events.ModeChanged,
    events.ExpertJoined,
    events.ExpertLeft,
}


@pytest.mark.parametrize(
    ("event", "expected"), WRITTEN, ids=lambda value: getattr(value, "type", "")
)
def test_an_event_is_written_as_a_choice(event: events.Event, expected: dict[str, Any]) -> None:
    """Each event that this dialect can say has its chunk, and a reader's model reads it."""
    assert choice(event) == {"index": 0, **expected}
    body = chunk(event)
    assert {key: body[key] for key in body if key != "choices"} == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m",
        "system_fingerprint": "s1",
    }
    assert ChatCompletionChunk.from_dict(body).to_dict() == body


def test_every_event_is_written_or_passed_over_on_purpose() -> None:
    """An event that is added later has to be put into one of the two lists."""
    written = {type(event) for event, _ in WRITTEN} | {events.TurnFailed}
    assert written | UNSPOKEN == set(EVENTS)
    assert not written & UNSPOKEN


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_event_is_read_back(kind: type[events.Event], data: st.DataObject) -> None:
    """Through JSON and server-sent events, the reader gets what the turn said."""
    event: Any = data.draw(instances(kind))
    body = openai.chunk_body(HEADING, event)
    assert (body is None) is (kind in UNSPOKEN)
    if body is None or kind is events.TurnFailed:
        return

    (sent,) = sse.iter_events([sse.encode_event(json.dumps(body), id="t1:5")])
    answer = StreamedAnswer({})

    assert answer.add(sent) == (event.text if kind is events.TextDelta else "")
    assert answer.metadata["system_fingerprint"] == "s1" and answer.metadata["id"] == "chatcmpl-1"
    reasons = {events.TurnCompleted: "finish_reason", events.TurnCancelled: None}
    if kind in reasons:
        reason = event.finish_reason if kind is events.TurnCompleted else "cancelled"
        assert answer.metadata.get("finish_reason") == (reason or None)
        assert answer.metadata.get("usage") == getattr(event, "usage", None)


@given(message=TEXTS, code=TEXTS.filter(bool), status=st.integers(400, 599))
def test_a_failed_turn_is_read_as_the_exception_of_its_status(
    message: str, code: str, status: int
) -> None:
    """What fails with a status on the server fails with it at the caller, text so far included."""
    answer = StreamedAnswer({})
    answer.add(ServerSentEvent(json.dumps(chunk(events.TextDelta("Hel")))))
    failed = chunk(events.TurnFailed(message, code, status))

    with pytest.raises(StreamFailedError) as caught:
        answer.add(ServerSentEvent(json.dumps(failed)))

    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.message == " ".join(message.split()) or not message.strip()
    assert (caught.value.partial, caught.value.metadata["system_fingerprint"]) == ("Hel", "s1")
    assert caught.value.type == ("invalid_request_error" if status < 500 else "server_error")


def test_usage_comes_with_the_last_chunk() -> None:
    """Where the turn knows what it cost."""
    assert chunk(events.TurnCompleted(usage=USAGE))["usage"] == USAGE.to_dict()
    assert "usage" not in chunk(events.TurnCompleted())
    assert "usage" not in chunk(events.TurnCancelled())


def test_a_whole_answer_is_read_back() -> None:
    """completion_body and read_completion are inverse."""
    body = openai.completion_body(HEADING, "Hello", "stop", USAGE)
    response = openai.read_completion(json.loads(json.dumps(body)))

    assert response.choices[0].message.content == "Hello"
    assert response.choices[0].finish_reason == "stop"
    assert (response.usage, response.system_fingerprint) == (USAGE, "s1")
    assert response.to_dict() == body


def test_a_stream_adds_up_to_the_same_answer() -> None:
    """The chunks of an answer and the whole answer are one thing to the caller."""
    turn = [events.TurnStarted(), events.TextDelta("Hel"), events.TextDelta("lo")]
    text, answer = feed(*map(chunk, turn), chunk(events.TurnCompleted(usage=USAGE)))
    answer.add(ServerSentEvent(openai.DONE))

    body = openai.completion_body(HEADING, "Hello", "stop", USAGE)
    assert text == "Hello" and answer.is_done
    assert answer.response() == openai.read_completion(body)


BESIDE_TEXT = {
    "a call": [events.ToolCall("c1", "look", '{"a": 1}')],
    "a call in pieces": [events.ToolCall("c1", "look", '{"a"'), events.ToolCallDelta(0, ": 1}")],
    "two calls, the later one first": [
        events.ToolCall("c2", "look", "{}", index=1),
        events.ToolCall("c1", "listen", "{}"),
    ],
    "pieces of a call that never began": [
        events.ToolCallDelta(3, "{"),
        events.ToolCallDelta(3, "}"),
    ],
    "thoughts": [events.ThoughtDelta("h"), events.ThoughtDelta("m")],
    "an empty thought": [events.ThoughtDelta("")],
    "what has no place in a message": [events.ToolResult("c1", "found"), events.ModeChanged("ai")],
}


@pytest.mark.parametrize("text", ["", "Hello"])
@pytest.mark.parametrize("said", BESIDE_TEXT.values(), ids=BESIDE_TEXT)
def test_what_stands_beside_the_text_adds_up_too(text: str, said: list[events.Event]) -> None:
    """Tool calls and thoughts are in a whole answer as the chunks give them."""
    turn: list[events.Event] = [events.TurnStarted(), *said, events.TextDelta(text)]
    chunks = [openai.chunk_body(HEADING, event) for event in turn]
    _, answer = feed(*filter(None, chunks), chunk(events.TurnCompleted(usage=USAGE)))

    body = openai.completion_body(HEADING, text, "stop", USAGE, turn)
    whole, streamed = openai.read_completion(body), answer.response()
    # Who thought nothing may say so or not.
    for response in (whole, streamed):
        message = response.choices[0].message
        message.reasoning_content = message.reasoning_content or None
    assert whole == streamed


def test_a_stream_of_nothing_adds_up_to_an_empty_answer() -> None:
    """Metadata that never came is what a model has without it."""
    assert StreamedAnswer({}).response() == ChatCompletionResponse.from_dict(
        {"choices": [{"message": {"role": MessageRole.ASSISTANT, "content": ""}}]}
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        5,
        "x",
        [],
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": "x"},
        {"object": "list"},
    ],
)
def test_what_is_no_completion(body: Any) -> None:
    """A success without a list of choices is not what was promised."""
    with pytest.raises(DecodeError, match="not a completion"):
        openai.read_completion(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "No", "type": "invalid_request_error"}}, BadRequestError),
        ({"error": {"message": "No", "code": 429}, "choices": []}, RateLimitError),
        ({"error": {"message": "No", "code": 429}, "choices": None}, RateLimitError),
        ({"error": "No", "status": 404}, NotFoundError),
        ({"detail": "No", "status": 404}, NotFoundError),
    ],
)
def test_an_error_with_the_status_200(body: Any, kind: type[Exception]) -> None:
    """Some gateways say 200 and mean an error; the caller gets the error."""
    with pytest.raises(kind, match="^No$"):
        openai.read_completion(body)


@pytest.mark.parametrize("quiet", [None, "", {}, False])
def test_an_error_that_is_none(quiet: Any) -> None:
    """`"error": null` beside an answer is no error."""
    assert openai.read_completion({"choices": [], "error": quiet}).choices == []
    assert feed({"choices": [], "error": quiet})[0] == ""


ODD: list[tuple[Any, str]] = [
    (None, ""),
    (5, ""),
    ("text", ""),
    ([], ""),
    ({}, ""),
    ({"detail": None}, ""),
    ({"choices": None}, ""),
    ({"choices": 5}, ""),
    ({"choices": []}, ""),
    ({"choices": [None]}, ""),
    ({"choices": [5, {"delta": {"content": "x"}}]}, "x"),
    ({"choices": [{}]}, ""),
    ({"choices": [{"delta": None}]}, ""),
    ({"choices": [{"delta": "x"}]}, ""),
    ({"choices": [{"delta": {}}]}, ""),
    ({"choices": [{"delta": {"content": None}}]}, ""),
    ({"choices": [{"delta": {"content": 5}}]}, ""),
    ({"choices": [{"delta": {"content": [{"type": "text", "text": "x"}]}}]}, "x"),
    ({"choices": [{"delta": {"content": [{"type": "thinking"}]}}]}, ""),
    ({"choices": [{"delta": {"content": "x"}, "index": 0}]}, "x"),
    ({"choices": [{"delta": {"content": "x"}, "index": None}]}, "x"),
    ({"choices": [{"delta": {"content": "x"}, "index": 1}]}, ""),
    (
        {
            "choices": [
                {"delta": {"content": "b"}, "index": 1},
                {"delta": {"content": "a"}, "index": 0},
            ]
        },
        "a",
    ),
    ({"choices": [{"delta": {"content": "x"}, "finish_reason": ""}]}, "x"),
    ({"choices": [], "usage": None}, ""),
    ({"choices": [], "usage": []}, ""),
    ({"choices": [{"delta": {"content": "x"}}], "id": None, "model": ""}, "x"),
    ({"choices": [{"delta": {"content": "x", "role": "robot", "new": 1}}], "new": {}}, "x"),
    ({"type": "ping"}, ""),
]


@pytest.mark.parametrize(("said", "text"), ODD)
def test_odd_chunks(said: Any, text: str) -> None:
    """What other servers put into a chunk neither ends a stream nor finishes an answer."""
    found, answer = feed(said)
    assert found == text
    assert not answer.is_whole
    assert answer.metadata == {}


def test_usage_without_choices() -> None:
    """Other servers send the usage in a chunk of its own, after the finish_reason."""
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    _, answer = feed(last, {"choices": [], "usage": USAGE.to_dict()})
    assert answer.metadata == {"finish_reason": "stop", "usage": USAGE}
    assert answer.is_whole and not answer.is_done


def test_usage_that_cannot_be_read() -> None:
    """Figures that are none take nothing from the answer."""
    _, answer = feed({"choices": [], "usage": {"total_tokens": "many"}})
    assert "usage" not in answer.metadata


@pytest.mark.parametrize("data", ["{", "[DONE", "nan?", "[" * 100_000])
def test_data_that_is_not_json(data: str) -> None:
    """Neither JSON nor [DONE]: the answer cannot be trusted any further."""
    with pytest.raises(DecodeError, match="an event that is not JSON"):
        StreamedAnswer({}).add(ServerSentEvent(data))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (ServerSentEvent("it broke", "error"), "it broke"),
        (ServerSentEvent('{"message": "it broke"}', "error"), "it broke"),
        (ServerSentEvent('{"error": "it broke"}'), "it broke"),
        (ServerSentEvent('{"error": {"message": "it broke"}}'), "it broke"),
        (ServerSentEvent('{"error": {"message": "it broke"}, "choices": []}'), "it broke"),
        (ServerSentEvent('{"detail": "it broke"}'), "it broke"),
        (ServerSentEvent('{"detail": [{"loc": ["body"], "msg": "it broke"}]}'), "it broke"),
        (ServerSentEvent('{"error": true}'), "the server broke the answer off with an error"),
    ],
)
def test_errors_inside_a_stream(event: ServerSentEvent, said: str) -> None:
    """An error in whatever shape ends the answer."""
    with pytest.raises(StreamFailedError, match=said):
        StreamedAnswer({}).add(event)


def test_what_headers_say_before_the_first_event() -> None:
    """The fingerprint, the turn and the request are known before any text."""
    headers = {"X-Session-Id": "s1", "X-TURN-ID": "t1", "x-request-id": "r1", "Date": "now"}
    assert openai.metadata_from_headers(headers) == {
        "system_fingerprint": "s1",
        "turn_id": "t1",
        "request_id": "r1",
    }
    assert openai.metadata_from_headers({}) == {}


@given(text=st.text(), model=st.text(min_size=1))
@example(text="", model='"content":""')
@example(text='"content":', model='x","content":"')
def test_a_text_chunk_is_written_as_any_other(text: str, model: str) -> None:
    """The short way for texts gives the bytes of the long one, whatever stands in them."""
    heading = Heading("chatcmpl-1", 7, model, "s1")
    long_way = openai.chunk_body(heading, events.TextDelta(text))
    assert openai.text_chunk(heading)(text) == json.dumps(
        long_way, ensure_ascii=False, separators=(",", ":")
    )
