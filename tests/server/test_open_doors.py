"""What a caller sends beyond what this server knows is kept, and bounds what agents are told."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from server_wire import COMPLETIONS, SESSIONS, Api, check_refusal

from chatserver_sdk.models import FunctionDefinition, Message, MessageRole, Tool
from chatserver_sdk.server.routes.completions import decode_request

SIGNED = {"google": {"thought_signature": "S"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "z": 1}}
ASSISTANT = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{**CALL, "extra_content": SIGNED}],
    "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
    "_extra": {"a": 1},
}
RESULT = {"role": "tool", "content": "found", "tool_call_id": "c", "is_error": False}
QUESTION = {"role": "user", "content": "and?", "cache_control": {"type": "ephemeral"}}


def asking(**fields: Any) -> bytes:
    """A body with these fields."""
    messages = [{"role": "user", "content": "hi"}]
    return json.dumps({"model": "echo", "messages": messages, **fields}).encode()


def test_unknown_keys_are_stored(api: Api) -> None:
    """They stand in the record's metadata, inside tool calls as well."""
    session_id = str(uuid4())
    answer = api.post(
        asking(
            messages=[ASSISTANT, RESULT, QUESTION],
            user="ada",
            metadata={"session_id": session_id},
        )
    )
    assert answer.status_code == 200, answer.text

    records = api.get(f"{SESSIONS}/{session_id}", user_id="ada").json()["messages"]

    for sent, record in zip((ASSISTANT, RESULT, QUESTION), records, strict=False):
        beside = {key: sent[key] for key in sent if key not in ("role", "content")}
        assert record["content"] == sent["content"]
        assert {key: record["metadata"].get(key) for key in beside} == beside


def test_agents_see_them_as_they_came() -> None:
    """A request is read with what nobody knows in `extra`."""
    request = decode_request(asking(messages=[ASSISTANT, RESULT, QUESTION]))
    assert [message.to_dict() for message in request.messages] == [ASSISTANT, RESULT, QUESTION]
    assert request.messages[2].extra == {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "assistant", "content": None, "audio": {"id": "a"}},
    ],
)
def test_who_says_nothing_in_words(message: dict[str, Any]) -> None:
    """It is part of a conversation all the same."""
    (read,) = decode_request(asking(messages=[message])).messages
    assert read.to_dict() == message


@pytest.mark.parametrize(
    ("fields", "max_tokens"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
    ],
)
def test_the_newer_name_of_max_tokens(fields: dict[str, Any], max_tokens: int | None) -> None:
    """It means the same here, and wins."""
    assert decode_request(asking(**fields)).max_tokens == max_tokens


def test_several_answers_are_refused(api: Api) -> None:
    """With a sentence; other numbers are refused as numbers."""
    error = check_refusal(api.post(asking(n=2)), 400)
    assert error["message"] == "this server gives one answer to a request: n must be 1"
    assert error["param"] == "n"
    assert check_refusal(api.post(asking(n=129)), 400)["param"] == "n"


INFINITE: list[tuple[str, str]] = [
    ('"messages":[{"role":"user","content":"x","new":[1e999]}]', "messages"),
    (
        '"messages":[{"role":"assistant","tool_calls":[{"id":"c","new":{"x":-1e999}}]}]',
        "messages",
    ),
    ('"tools":[{"function":{"name":"f","parameters":{"x":1e999}}}]', "tools"),
    ('"tool_choice":{"x":1e999}', "tool_choice"),
    ('"response_format":{"x":1e999}', "response_format"),
    ('"logit_bias":{"x":1e999}', "logit_bias"),
    ('"stream_options":{"x":1e999}', "stream_options"),
]


@pytest.mark.parametrize(("field", "param"), INFINITE)
def test_a_number_that_is_too_large(api: Api, field: str, param: str) -> None:
    """What could not be written again is refused wherever it stands."""
    body = asking()[:-1] + b"," + field.encode() + b"}"
    error = check_refusal(api.post(body), 400)
    assert (error["param"], error["message"]) == (
        param,
        f"there is a number in {param} that is too large",
    )


def test_the_document_describes_the_new_fields(api: Api) -> None:
    """Each of them, with what may stand in it."""
    document = api.get("/openapi.json").json()
    schema = document["paths"][COMPLETIONS]["post"]["requestBody"]["content"]["application/json"]
    fields = schema["schema"]["properties"]
    assert {"tools", "tool_choice", "stop", "response_format", "logit_bias"} <= set(fields)


def test_messages_that_come_and_go_are_equal() -> None:
    """What the server reads is what a client would make of it."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    request = decode_request(asking(tools=[tool], stop="x"))
    assert request.messages == [Message(MessageRole.USER, "hi")]
    assert request.tools == [Tool(FunctionDefinition("f", None, {"type": "object"}))]
    assert request.stop == "x"
