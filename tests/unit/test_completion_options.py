"""The options of a completion: what is given is checked and sent, what is not given is not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from chatserver_sdk import BadRequestError, CompletionOptions, models
from chatserver_sdk._arguments import _CHECKS, set_options
from chatserver_sdk._options import DEFAULT_MAX_TOKENS
from chatserver_sdk.models import ChatCompletionRequest, FunctionDefinition, Message, Tool

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
FUNCTION = {"name": "find", "description": "Finds.", "parameters": SCHEMA, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}


def sent(max_tokens: int | None = DEFAULT_MAX_TOKENS, **options: Any) -> dict[str, Any]:
    """The body of a request with these options, without what every request has."""
    messages = [Message(models.MessageRole.USER, "hi")]
    request = ChatCompletionRequest("m", messages, max_tokens=max_tokens)
    bare = ChatCompletionRequest("m", messages).to_dict()
    set_options(request, options)
    written = request.to_dict()
    changed = {key: written[key] for key in written if written[key] != bare.get(key)}
    return changed if "max_tokens" in written else {**changed, "max_tokens": "unsent"}


GIVEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"tools": [TOOL]}, {"tools": [TOOL]}),
    ({"tools": (TOOL,)}, {"tools": [TOOL]}),
    ({"tools": [Tool(FunctionDefinition("f"))]}, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, {"tools": [{"type": "custom", "custom": {"name": "x"}}]}),
    ({"tools": [{**TOOL, "cache_control": {}}]}, {"tools": [{**TOOL, "cache_control": {}}]}),
    ({"tools": []}, {"tools": []}),
    ({"tool_choice": "auto"}, {"tool_choice": "auto"}),
    ({"tool_choice": {"type": "function"}}, {"tool_choice": {"type": "function"}}),
    ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    ({"n": 3}, {"n": 3}),
    ({"stop": "\n"}, {"stop": "\n"}),
    ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
    ({"seed": -7}, {"seed": -7}),
    ({"logprobs": True, "top_logprobs": 0}, {"logprobs": True, "top_logprobs": 0}),
    ({"logit_bias": {50256: -100, "x": 0.5}}, {"logit_bias": {"50256": -100.0, "x": 0.5}}),
    ({"presence_penalty": -2, "frequency_penalty": 0.0}, {"presence_penalty": -2, "frequency_penalty": 0.0}),
    ({"stream_options": {"include_usage": True}}, {"stream_options": {"include_usage": True}}),
    ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    ({"max_completion_tokens": 9}, {"max_completion_tokens": 9, "max_tokens": "unsent"}),
    ({"max_completion_tokens": 9, "max_tokens": 5}, {"max_completion_tokens": 9, "max_tokens": 5}),
    ({"max_completion_tokens": None}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), GIVEN)
def test_what_is_given_is_sent(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """And nothing else; max_tokens gives way to max_completion_tokens unless it was chosen."""
    assert sent(**options) == expected


def test_none_is_not_given() -> None:
    """Each of them may be None."""
    assert sent(**dict.fromkeys(CompletionOptions.__annotations__)) == {}


def test_every_option_has_its_check_and_its_field() -> None:
    """The three lists of them are one."""
    names = set(CompletionOptions.__annotations__)
    assert names == set(_CHECKS)
    assert names <= set(ChatCompletionRequest.__dataclass_fields__)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": "find"}, "tools", "must be a list, not str"),
    ({"tools": TOOL}, "tools", "must be a list, not dict"),
    ({"tools": 5}, "tools", "must be a list, not int"),
    ({"tools": [len]}, "tools[0]", "must be an object, not builtin"),
    ({"tools": [TOOL, FUNCTION]}, "tools[1]", 'an object with a "type" and a "function"'),
    ({"tools": [{"type": 5}]}, "tools[0]", "Tool.type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function.name", "not nothing"),
    ({"tools": [Tool(FunctionDefinition(" "))]}, "tools[0].function.name", "must not be empty"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0]", "FunctionDefinition.name"),
    ({"tool_choice": ""}, "tool_choice", "must not be empty"),
    ({"tool_choice": 5}, "tool_choice", "must be a string or an object, not int"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls", "must be True or False, not int"),
    ({"logprobs": 5}, "logprobs", "must be True or False, not int"),
    ({"response_format": "json"}, "response_format", "must be an object, not str"),
    ({"response_format": {}}, "response_format", 'an object with a "type"'),
    ({"n": 0}, "n", "must be at least 1"),
    ({"n": True}, "n", "must be a whole number, not bool"),
    ({"stop": 5}, "stop", "must be a string or a list, not int"),
    ({"stop": ["a", 5]}, "stop[1]", "must be a string, not int"),
    ({"seed": 1.5}, "seed", "must be a whole number, not float"),
    ({"top_logprobs": -1}, "top_logprobs", "must be at least 0"),
    ({"logit_bias": [1]}, "logit_bias", "must be an object, not list"),
    ({"logit_bias": {5: "x"}}, "logit_bias[5]", "must be a number, not str"),
    ({"logit_bias": {5: None}}, "logit_bias[5]", "must be a number, not nothing"),
    ({"presence_penalty": math.nan}, "presence_penalty", "must be a finite number"),
    ({"frequency_penalty": "1"}, "frequency_penalty", "must be a number, not str"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "must be at least 1"),
    ({"stream_options": True}, "stream_options", "must be an object, not bool"),
    ({"reasoning_effort": ""}, "reasoning_effort", "must not be empty"),
]


@pytest.mark.parametrize(("options", "param", "said"), WRONG)
def test_what_cannot_be_right_is_refused(options: dict[str, Any], param: str, said: str) -> None:
    """With the option's name, and the place in it."""
    with pytest.raises(BadRequestError) as caught:
        sent(**options)
    assert said in caught.value.message
    assert (caught.value.param, caught.value.response) == (param, None)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tool", ". Did you mean 'tools'?"),
        ("max_token", ". Did you mean 'max_tokens'?"),
        ("sessionid", ". Did you mean 'session_id'?"),
        ("xyzzy", ""),
    ],
)
def test_a_name_that_is_none(name: str, hint: str) -> None:
    """The error is Python's, with the name that was perhaps meant; None is no excuse."""
    for value in (1, None):
        with pytest.raises(TypeError) as caught:
            sent(**{name: value})
        said = f"create_completion() got an unexpected keyword argument '{name}'{hint}"
        assert str(caught.value) == said
