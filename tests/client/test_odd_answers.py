"""Odd fields beside the text of an answer cost nobody what was paid for."""

from __future__ import annotations

from typing import Any

import pytest

from chatserver_sdk import BadRequestError, ChatServerClient, DecodeError
from chatserver_sdk.testing import (
    DONE,
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    json_answer,
)

OURS = {"X-Chatserver": "0.2.0"}

ODDITIES: list[dict[str, Any]] = [
    {"created": 1700000000.5},
    {"created": "soon"},
    {"usage": []},
    {"usage": "x"},
    {"usage": {"prompt_tokens": {}}},
    {"model": 5},
    {"id": 5},
    {"object": {}},
    {"system_fingerprint": 7},
]
MESSAGES: list[dict[str, Any]] = [
    {},
    {"role": None},
    {"role": 5},
    {"name": 4},
    {"role": "assistant", "tool_calls": {}},
    {"role": "assistant", "tool_calls": [{"id": 5}]},
    {"role": "assistant", "tool_call_id": 5},
]


@pytest.mark.parametrize("odd", ODDITIES)
def test_odd_fields_of_a_whole_answer(
    wire_server: WireServer, client: ChatServerClient, odd: dict[str, Any]
) -> None:
    """They cost nobody what was paid for; what came is kept."""
    wire_server.answers(json_answer(200, completion("x", **odd)))
    answer = client.create_completion("m", "x")
    assert answer.choices[0].message.text == "x" and answer.usage.prompt_tokens in (0, 1)
    (name,) = odd
    assert answer.extra == odd and getattr(answer, name) is not odd[name]


@pytest.mark.parametrize("odd", MESSAGES)
def test_odd_fields_of_a_message(
    wire_server: WireServer, client: ChatServerClient, odd: dict[str, Any]
) -> None:
    """The same beside the text itself; in a request they are refused."""
    choices = [{"index": 0, "message": {"content": "x", **odd}}]
    wire_server.answers(json_answer(200, completion("x", choices=choices)))
    message = client.create_completion("m", "x").choices[0].message
    assert message.text == "x" and message.role == "assistant"
    known = {key: value for key, value in odd.items() if value not in (None, "assistant")}
    assert message.extra == known
    with pytest.raises(BadRequestError):
        client.create_completion("m", [{"content": "x", **odd}])
    assert len(wire_server.requests) == 1


def test_numbers_of_a_whole_answer_as_text(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """They are what they say."""
    choices = [{"index": str(n), "message": {"role": "assistant", "content": "x"}} for n in (1, 0)]
    body = completion(
        "", choices=choices, created="17", usage={"prompt_tokens": "5", "total_tokens": 7.0}
    )
    wire_server.answers(json_answer(200, body))
    answer = client.create_completion("m", "x", n=2)
    assert [choice.index for choice in answer.choices] == [1, 0]
    assert (answer.created, answer.usage.prompt_tokens, answer.usage.total_tokens) == (17, 5, 7)


@pytest.mark.parametrize("odd", ODDITIES)
def test_odd_fields_of_a_chunk(
    wire_server: WireServer, client: ChatServerClient, odd: dict[str, Any]
) -> None:
    """Nor do they end a stream of models; the place is behind the last that was given."""
    headers = {**OURS, "X-Turn-Id": "t"}
    last = event("[DONE]", id="t:3")
    choice = {"index": 0, "delta": {"content": "B"}, "finish_reason": None}
    first, second = delta("A", id="t:1"), event({"choices": [choice], **odd}, id="t:2")
    wire_server.answers(event_stream(first, second, last, headers=headers))
    stream = client.create_completion("m", "x", stream=True)
    chunks = stream.chunks()
    assert next(chunks).choices[0].delta.content == "A" and stream.cursor == "t:1"
    chunk = next(chunks)
    assert chunk.choices[0].delta.content == "B" and chunk.extra == odd
    assert stream.cursor == "t:2" and list(chunks) == []


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        ({"index": "0"}, "x"),
        ({"finish_reason": 3}, "x"),
        ({"delta": {"content": "x", "name": 4}}, "x"),
        ({"delta": {"content": "x", "role": 4, "tool_calls": {}, "tool_call_id": 5}}, "x"),
        ({"delta": "x"}, ""),
    ],
)
def test_odd_choices_of_a_chunk(
    wire_server: WireServer, client: ChatServerClient, odd: dict[str, Any], text: str
) -> None:
    """The same inside a choice, and of what the chunks add up to."""
    said = {"index": 0, "delta": {"content": "x"}, "finish_reason": None, **odd}
    wire_server.answers(event_stream(event({"choices": [said]}), DONE))
    stream = client.create_completion("m", "x", stream=True)
    (chunk,) = stream.chunks()
    assert (chunk.choices[0].delta.content or "") == text and chunk.choices[0].index == 0
    assert stream.response().choices[0].message.text == text


def test_a_stream_that_nobody_expected(wire_server: WireServer, client: ChatServerClient) -> None:
    """Whoever asked for one in another way is told the right one."""
    wire_server.answers(event_stream(delta("x"), DONE))
    with pytest.raises(DecodeError, match="not JSON, but a stream of events.*says stream=True"):
        client.create_completion("m", "x", extra_body={"stream": True})
