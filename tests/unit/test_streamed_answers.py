"""Streamed answers add up to what they would have been whole: tool calls, choices, reasoning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk._wire import openai
from chatserver_sdk._wire.openai import StreamedAnswer
from chatserver_sdk._wire.sse import ServerSentEvent
from chatserver_sdk.exceptions import ChatServerError, DecodeError
from chatserver_sdk.models import ToolCall

KEYS = st.sampled_from(
    ["choices", "delta", "content", "tool_calls", "function", "arguments", "name", "index", "x"]
    + ["usage", "id", "created", "logprobs", "finish_reason", "role", "error", "prompt_tokens"]
)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def fed(*deltas: Any, choices_asked: int = 1) -> StreamedAnswer:
    """An answer that was told these choices, one a chunk."""
    answer = StreamedAnswer({}, choices_asked)
    for choice in deltas:
        answer.add(ServerSentEvent(json.dumps({"id": "c", "choices": [choice]})))
    return answer


def calling(*calls: Any) -> dict[str, Any]:
    """A choice whose delta calls tools."""
    return {"index": 0, "delta": {"tool_calls": list(calls)}}


def test_tool_calls_add_up() -> None:
    """Names and arguments come in pieces, of several calls in turn; the message has them whole."""
    answer = fed(
        calling({"index": 0, "id": "a", "function": {"name": "find", "arguments": '{"q"'}}),
        calling({"index": 1, "id": "b", "type": "function", "function": {"name": "look"}}),
        calling({"index": 0, "function": {"arguments": ': "x"}'}}),
        calling({"index": 1, "function": {"arguments": "{}"}}),
        {"index": 0, "delta": {}, "finish_reason": "tool_calls"},
    )
    message = answer.response().choices[0].message
    assert message.content is None
    assert message.tool_calls is not None
    found = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    assert found == [("a", "find", '{"q": "x"}'), ("b", "look", "{}")]
    assert all(isinstance(call, ToolCall) for call in message.tool_calls)
    assert answer.is_whole


@pytest.mark.parametrize(
    "odd",
    [
        None,
        5,
        {},
        {"index": "x"},
        {"function": None},
        {"function": {"name": None}},
        {"function": {"name": 5, "arguments": 7}},
    ],
)
def test_odd_tool_calls_break_nothing(odd: Any) -> None:
    """Whatever stands where a call should, the text around it arrives."""
    answer = fed(calling(odd), {"index": 0, "delta": {"tool_calls": odd, "content": "Hi"}})
    assert answer.text == "Hi"
    assert answer.response().choices[0].message.text == "Hi"


def test_arguments_that_come_as_the_object() -> None:
    """Some servers do not write it as text; then we do."""
    answer = fed(calling({"id": "a", "function": {"name": "find", "arguments": {"q": 1}}}))
    calls = answer.response().choices[0].message.tool_calls
    assert calls is not None and calls[0].function.arguments == '{"q": 1}'


def test_a_field_that_changes_its_type() -> None:
    """A list gives way to text, and the text's pieces add up."""
    answer = fed({"delta": {"x": [1]}}, {"delta": {"x": "s"}}, {"delta": {"x": "t"}})
    assert answer.response().choices[0].message.extra["x"] == "st"


@given(JSON, JSON)
def test_any_chunk_and_any_delta(chunk: Any, delta: Any) -> None:
    """Whatever JSON a server sends, nothing but our own exceptions comes of it."""
    answer = StreamedAnswer({})
    for said in (chunk, {"choices": [{"delta": delta}]}, {"choices": chunk}):
        try:
            answer.add(ServerSentEvent(json.dumps(said)))
            answer.typed_chunk()
            answer.response()
        except ChatServerError:
            continue


def test_several_choices() -> None:
    """Each choice adds up by itself; iteration gives the first one's text; all of them make it
    whole."""
    said = [
        {"index": 1, "delta": {"content": "zwei"}},
        {"index": 0, "delta": {"content": "eins"}},
        {"index": 1, "delta": {}, "finish_reason": "length"},
    ]
    answer = fed(*said, choices_asked=2)
    assert answer.text == "eins"
    assert not answer.is_whole
    answer.add(ServerSentEvent('{"choices": [{"delta": {}, "finish_reason": "stop"}]}'))
    assert answer.is_whole
    found = [(c.index, c.message.text, c.finish_reason) for c in answer.response().choices]
    assert found == [(0, "eins", "stop"), (1, "zwei", "length")]


def test_reasoning_and_unknown_fields() -> None:
    """Texts of other kinds add up as the content does, other values stand as they came last."""
    answer = fed(
        {"index": 0, "delta": {"role": "assistant", "reasoning_content": "Let me "}},
        {"index": 0, "delta": {"reasoning_content": "see.", "audio": {"id": 1}}},
        {"index": 0, "delta": {"audio": None, "content": "Yes."}},
        {"index": "?", "delta": {"content": "nowhere"}},
    )
    message = answer.response().choices[0].message
    assert message.reasoning_content == "Let me see."
    assert message.extra["audio"] == {"id": 1}
    assert message.content == "Yes."


def test_log_probabilities() -> None:
    """Their lists grow by every chunk's; what is no list is taken over, what is odd left out."""
    answer = fed(
        {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [1], "model": "x"}},
        {"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [2]}},
        {"index": 0, "delta": {"content": "c"}, "logprobs": "odd"},
    )
    choice = answer.response().choices[0]
    assert choice.extra["logprobs"] == {"content": [1, 2], "model": "x"}


def test_typed_chunks() -> None:
    """The chunk that came last as a model; choices that are no objects are left out."""
    answer = StreamedAnswer({})
    assert answer.typed_chunk() is None
    answer.add(ServerSentEvent('{"id": "c", "choices": [null, {"delta": {"content": "Hi"}}]}'))
    chunk = answer.typed_chunk()
    assert chunk is not None
    assert [choice.delta.content for choice in chunk.choices] == ["Hi"]
    answer.add(ServerSentEvent("[DONE]"))
    assert answer.typed_chunk() is None


def test_a_whole_answer_in_the_words_of_a_stream() -> None:
    """A JSON body becomes one chunk and [DONE]; an error body becomes an event that says so."""
    body = {"id": "c", "choices": [{"index": 0, "message": {"content": "Hi"}}, 7]}
    first, last = openai.events_of_whole([json.dumps(body).encode()])
    assert json.loads(first.data)["choices"][0]["delta"] == {"content": "Hi"}
    assert last.data == "[DONE]"
    (only,) = openai.events_of_whole([b'{"error": ', b'"broken"}'])
    assert json.loads(only.data) == {"error": "broken"}
    (odd,) = openai.events_of_whole([b"[]"])
    assert odd.data == "[]"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000], ids=["none", "html", "deep"])
def test_a_body_that_is_no_json(body: bytes) -> None:
    """It is not taken for an answer."""
    with pytest.raises(DecodeError, match="neither events nor JSON"):
        list(openai.events_of_whole([body]))
