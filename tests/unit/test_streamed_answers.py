"""Streamed answers add up to what they would have been whole: tool calls, choices, reasoning."""

from __future__ import annotations

from copy import deepcopy
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


def event(choice: Any) -> ServerSentEvent:
    """A chunk that says this of a choice."""
    return ServerSentEvent(json.dumps({"id": "c", "choices": [choice]}))


def fed(*deltas: Any, choices_asked: int = 1) -> StreamedAnswer:
    """An answer that was told these choices, one a chunk."""
    answer = StreamedAnswer({}, choices_asked)
    for choice in deltas:
        answer.add(event(choice))
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
    """A list gives way to text, and the text's pieces add up, until there is a list again."""
    said = [{"delta": {"x": value}} for value in ([1], [2], "s", "t", [3], [4])]
    for count, expected in ((2, [1, 2]), (4, "st"), (6, [3, 4])):
        message = fed(*said[:count]).response().choices[0].message
        assert message.extra["x"] == expected


def test_what_was_given_out_stays_what_it_was() -> None:
    """An answer that is asked for early does not grow with the stream, and no chunk does."""
    answer = fed({"delta": {"x": [1]}})
    early, chunk = answer.response(), answer.chunk
    answer.add(event({"delta": {"x": [2]}}))
    assert early.choices[0].message.extra["x"] == [1]
    assert chunk is not None and chunk["choices"][0]["delta"]["x"] == [1]


ODD: list[dict[str, Any]] = [
    {"delta": {"content": "Hi", "reasoning_content": {"text": "Hm"}}},
    {"delta": {"content": "Hi", "reasoning": {"text": "Hm"}}},
    {"delta": {"content": "Hi", "refusal": False}},
    {"delta": {"content": "Hi", "tool_calls": [None]}},
    {"delta": {"content": "Hi", "tool_calls": [{"index": "0"}]}},
    {"delta": {"content": "Hi"}, "logprobs": "none"},
    {"delta": {"content": "Hi"}, "logprobs": {"content": [5]}},
]


@pytest.mark.parametrize("choice", ODD)
def test_what_is_odd_beside_the_text_costs_nothing(choice: dict[str, Any]) -> None:
    """The text arrives, as chunks, streamed and whole; what cannot be read is kept as it is."""
    answer = fed(choice)
    chunk = answer.typed_chunk()
    assert chunk is not None and chunk.choices[0].delta.content == "Hi"
    assert chunk.choices[0].to_dict() == {"index": 0, "finish_reason": None, **choice}
    assert answer.response().choices[0].message.text == "Hi"
    message = {"role": "assistant", **choice["delta"]}
    if "tool_calls" not in message:
        body = deepcopy({"choices": [{**choice, "message": message}]})
        whole = openai.read_completion(body)
        assert whole.choices[0].message.to_dict() == message


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


def test_three_choices_are_whole_together() -> None:
    """Before the last of them has its reason only [DONE] says so; a reason twice counts once."""
    ends = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in (2, 0, 2, 0)]
    answer = fed(*ends, {"index": 1, "delta": {}, "finish_reason": ""}, choices_asked=3)
    assert not answer.is_whole
    answer.add(event({"index": 1, "delta": {}, "finish_reason": "stop"}))
    assert answer.is_whole and not answer.is_done

    early = fed(*ends, choices_asked=3)
    early.add(ServerSentEvent("[DONE]"))
    assert early.is_whole
    assert [choice.index for choice in early.response().choices] == [0, 2]


def test_an_empty_reason_is_none() -> None:
    """Also in the chunk as a model."""
    answer = fed({"index": 0, "delta": {"content": "Hi"}, "finish_reason": ""})
    chunk = answer.typed_chunk()
    assert chunk is not None and chunk.choices[0].finish_reason is None
    assert "finish_reason" not in answer.metadata


def test_an_empty_reason_of_no_choice_is_none_too() -> None:
    """Whichever choice it is said of, and beside what is no choice."""
    answer = StreamedAnswer({})
    answer.add(ServerSentEvent('{"choices": [7, {"index": -1, "finish_reason": ""}, null]}'))
    chunk = answer.typed_chunk()
    assert chunk is not None
    assert [(choice.index, choice.finish_reason) for choice in chunk.choices] == [(-1, None)]


@pytest.mark.parametrize("index", [0, None, False, 0.0, "", "0", [], {}], ids=repr)
def test_what_is_said_of_the_first_choice(index: Any) -> None:
    """Servers with one choice number it as they like."""
    assert fed({"index": index, "delta": {"content": "Hi"}}).text == "Hi"


@pytest.mark.parametrize("index", [1, True, "1", -1, "x", "-0", 0.5, [0], {"a": 0}], ids=repr)
def test_what_is_not_said_of_the_first_choice(index: Any) -> None:
    """It is another one's, or nobody's."""
    answer = fed({"index": index, "delta": {"content": "Hi"}, "finish_reason": "stop"})
    assert answer.text == "" and "finish_reason" not in answer.metadata


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ([{"message": {"content": "Hel"}}, {"message": {"content": "lo"}}], "Hello"),
        ([{"text": "Hel"}, {"text": "lo"}], "Hello"),
        ([{"delta": None, "message": None, "text": "Hello"}], "Hello"),
        ([{"delta": {"content": "Hello"}}, {"message": {"content": "Hello"}}], "Hello"),
        ([{"delta": {"content": "Hello"}}, {"delta": None, "text": "Hello"}], "Hello"),
        ([{"delta": {"content": "Hello"}, "message": {"content": "no"}, "text": "no"}], "Hello"),
    ],
)
def test_choices_without_a_delta(choices: list[dict[str, Any]], text: str) -> None:
    """A message or a text may stand for it; behind deltas it says everything once more."""
    answer = fed(*choices)
    assert answer.text == text
    assert answer.response().choices[0].message.content == text


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_under_either_name(name: str) -> None:
    """Whole and streamed it is read as reasoning_content, and goes back as it came."""
    streamed = fed({"delta": {name: "Let me "}}, {"delta": {name: "see."}}, {"delta": {name: ""}})
    body = {"role": "assistant", name: "Let me see.", "content": ""}
    whole = openai.read_completion({"choices": [{"message": dict(body)}]})
    for answer in (streamed.response(), whole):
        message = answer.choices[0].message
        assert message.reasoning_content == "Let me see."
        assert message.to_dict() == body
    streamed.add(event({"delta": {name: "Well"}}))
    chunk = streamed.typed_chunk()
    assert chunk is not None and chunk.choices[0].delta.reasoning_content == "Well"


def test_lists_of_a_delta_add_up() -> None:
    """Details of the reasoning and citations come some at a time; names and ids come whole."""
    answer = fed(
        {"delta": {"reasoning_details": [{"index": 0}], "name": "bot", "refusal": "I "}},
        {"delta": {"reasoning_details": [{"index": 1}], "name": "bot", "refusal": "cannot."}},
    )
    message = answer.response().choices[0].message
    assert message.extra == {"reasoning_details": [{"index": 0}, {"index": 1}]}
    assert (message.name, message.refusal, message.content) == ("bot", "I cannot.", None)


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


def token(text: str, **beside: Any) -> dict[str, Any]:
    """How likely a token was."""
    return {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": [], **beside}


def test_log_probabilities() -> None:
    """Their lists grow by every chunk's; other values stand as they came last, odd ones are left
    out."""
    other = {"token": "x", "logprob": -3, "bytes": [120]}
    first = {"content": [token("a", top_logprobs=[other])], "model": "x", "refusal": None}
    answer = fed(
        {"index": 0, "delta": {"content": "a"}, "logprobs": first},
        {"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [token("b", id=7)]}},
        {"index": 0, "delta": {"content": "c"}, "logprobs": "odd"},
        {"index": 0, "delta": {}, "logprobs": {"content": None, "refusal": [token("no")]}},
    )
    found = answer.response().choices[0].logprobs
    assert found is not None and found.content is not None and found.refusal is not None
    assert [(said.token, said.logprob) for said in found.content] == [("a", -0.5), ("b", -0.5)]
    assert found.content[0].top_logprobs[0].to_dict() == other
    assert found.content[1].extra == {"id": 7}
    assert found.refusal[0].token == "no"
    assert found.extra == {"model": "x"}


def test_log_probabilities_are_not_shared() -> None:
    """The lists that grow are the answer's own: a chunk that was given out stays what it was."""
    answer = StreamedAnswer({})
    answer.add(event({"index": 0, "logprobs": {"content": [token("a")]}}))
    chunk = answer.chunk
    assert chunk is not None
    answer.add(event({"index": 0, "logprobs": {"content": [token("b")]}}))
    assert chunk["choices"][0]["logprobs"]["content"] == [token("a")]


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
