"""The rules beside the fields hold at the server's door, where pydantic reads them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from chatserver_sdk.models import AdminRequest, ChatCompletionRequest, Message, MessageRole

REQUESTS = TypeAdapter(ChatCompletionRequest)
GOOD = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def places(raw: dict[str, Any]) -> set[str]:
    """The fields that are refused, each as far as it can be named without a union's branches."""
    with pytest.raises(ValidationError) as caught:
        REQUESTS.validate_python(raw)
    return {".".join(map(str, problem["loc"][:3])) for problem in caught.value.errors()}


@pytest.mark.parametrize("role", list(MessageRole))
def test_every_known_role_is_taken(role: MessageRole) -> None:
    """As its text or as the member itself; what comes out is the member."""
    for given in (role, role.value):
        request = REQUESTS.validate_python({**GOOD, "messages": [{"role": given, "content": "x"}]})
        assert request.messages[0].role is role


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("max_tokens", 1, 10_000_000),
        ("max_completion_tokens", 1, 10_000_000),
        ("n", 1, 128),
        ("presence_penalty", -2, 2),
        ("frequency_penalty", -2, 2),
        ("top_logprobs", 0, 1000),
    ],
)
def test_both_ends_of_a_range_are_inside(field: str, low: int, high: int) -> None:
    """A range holds its ends, what lies beside them is refused, and null is no value."""
    for value in (low, high, None):
        assert getattr(REQUESTS.validate_python({**GOOD, field: value}), field) == value
    for value in (low - 1, high + 1):
        assert places({**GOOD, field: value}) == {field}


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        ({**GOOD, "model": ""}, "model"),
        ({**GOOD, "model": "m" * 257}, "model"),
        ({**GOOD, "messages": []}, "messages"),
        ({**GOOD, "messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({**GOOD, "messages": [{"role": "user", "name": "", "content": ""}]}, "messages.0.name"),
        ({**GOOD, "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({**GOOD, "user": ""}, "user"),
        ({**GOOD, "stop": ["x"] * 65}, "stop"),
        ({**GOOD, "stop": [5]}, "stop"),
        ({**GOOD, "tools": [{"function": {"name": ""}}]}, "tools.0.function"),
        ({**GOOD, "tool_choice": 5}, "tool_choice"),
        ({**GOOD, "logit_bias": {"1": "x"}}, "logit_bias.1"),
    ],
)
def test_what_is_refused_is_named(raw: dict[str, Any], refused: str) -> None:
    """The refusal names the field, which the client gives to its caller as `param`."""
    # Behind the field stands which branch of a union was tried.
    assert {re.sub(r"\.(str|list|dict|constrained-str)\b.*", "", at) for at in places(raw)} == {
        refused
    }


CALL = {
    "id": "c",
    "type": "function",
    "function": {"name": "f", "arguments": "{}", "z": [1], "__dict__": []},
}
OPEN: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "S"}}}],
    "reasoning": "Hm",
    "_extra": 1,
    "_plan": 2,
    "to_dict": 3,
    "extra": {"x": 1},
    "raw": False,
    "__dict__": {"role": "system"},
    "__class__": "Message",
    "__weakref__": None,
    "not a name": {"deep": [None]},
    "": 5,
}


def test_unknown_keys_pass_the_door() -> None:
    """Those of messages, calls, functions and tools, whatever they are called; they shadow
    nothing."""
    tool = {"type": "function", "function": {"name": "f", "new": 1, "raw": 2}, "cache": {"a": 1}}
    request = REQUESTS.validate_json(json.dumps({**GOOD, "messages": [OPEN], "tools": [tool]}))

    (message,) = request.messages
    assert type(message) is Message
    assert message.to_dict() == OPEN
    assert message == Message.from_dict(OPEN)
    assert message.extra == Message.from_dict(OPEN).extra
    assert message.reasoning_content == "Hm"
    assert request.tools is not None and request.tools[0].to_dict() == tool


def test_lengths_hold_on_other_models_too() -> None:
    """The rule belongs to the field, wherever the model is used."""
    admins = TypeAdapter(AdminRequest)
    assert admins.validate_python({"workos_id": "w", "email": "a@b"}).name is None
    with pytest.raises(ValidationError):
        admins.validate_python({"workos_id": "w", "email": "ab"})
