"""Arguments that cannot be right are refused before anything is sent, with the field's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from chatserver_sdk import (
    BadRequestError,
    ChatServerClient,
    ConfigurationError,
    Message,
    MessageRole,
    UsageInfo,
)
from chatserver_sdk.testing import WireServer, json_answer

HALF_A_PAIR = "\ud800"
CIRCLE: dict[str, Any] = {}
CIRCLE["again"] = CIRCLE
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

COMPLETIONS: list[tuple[dict[str, Any], str | None, str]] = [
    ({"model": ""}, "model", "must not be empty"),
    ({"model": "  "}, "model", "must not be empty"),
    ({"model": None}, "model", "must be a string, not nothing"),
    ({"model": 5}, "model", "must be a string, not int"),
    ({"model": HALF_A_PAIR}, "model", "UTF-8"),
    ({"messages": []}, "messages", "must not be empty"),
    ({"messages": ()}, "messages", "must not be empty"),
    ({"messages": iter([])}, "messages", "must not be empty"),
    ({"messages": None}, "messages", "must be a list of messages, not nothing"),
    ({"messages": 5}, "messages", "must be a list of messages, not int"),
    ({"messages": b"Hello"}, "messages", "must be a list of messages, not bytes"),
    ({"messages": bytearray(b"Hello")}, "messages", "must be a list of messages"),
    ({"messages": ["x", 5]}, "messages[1]", "must be a Message, a dict or a string, not int"),
    ({"messages": [None]}, "messages[0]", "not nothing"),
    ({"messages": [["x"]]}, "messages[0]", "not list"),
    ({"messages": [{}]}, "messages[0].role", "must be a string, not nothing"),
    ({"messages": UsageInfo()}, "messages[0].role", "must be a string, not nothing"),
    ({"messages": [{"role": "", "content": "x"}]}, "messages[0].role", "must not be empty"),
    ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role", "not int"),
    ({"messages": [Message("", "x")]}, "messages[0].role", "must not be empty"),  # type: ignore[arg-type]
    ({"messages": [{"role": "user"}]}, "messages[0].content", "not nothing"),
    ({"messages": ["x", {"role": "user", "content": None}]}, "messages[1].content", "not nothing"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "not int"),
    ({"messages": [{"role": "user", "content": ("x",)}]}, "messages[0].content", "not tuple"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", '"type"'),
    ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]", '"type"'),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "not empty"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        "messages[0].content[0].text",
        "a string",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].image_url.url",
        "a URL",
    ),
    ({"messages": [{"role": "user", "content": "x", "name": 5}]}, "messages[0]", "Message.name"),
    ({"messages": [Message(MessageRole.USER, None)]}, "messages[0].content", "not nothing"),
    ({"messages": [Message(MessageRole.USER, 5)]}, "messages[0].content", "not int"),  # type: ignore[arg-type]
    ({"messages": HALF_A_PAIR}, None, "cannot be written as JSON"),
    ({"temperature": "0.7"}, "temperature", "must be a number, not str"),
    ({"temperature": True}, "temperature", "must be a number, not bool"),
    ({"temperature": Decimal(1)}, "temperature", "must be a number, not Decimal"),
    ({"temperature": math.nan}, "temperature", "must be a finite number"),
    ({"top_p": math.inf}, "top_p", "must be a finite number"),
    ({"top_p": "1"}, "top_p", "must be a number, not str"),
    ({"max_tokens": "many"}, "max_tokens", "must be a number, not str"),
    ({"user": ""}, "user", "must not be empty"),
    ({"user": 5}, "user", "must be a string, not int"),
    ({"system_prompt": 5}, "system_prompt", "must be a string, not int"),
    ({"session_id": ""}, "session_id", "must not be empty"),
    ({"session_id": 5}, "session_id", "must be a string, not int"),
    ({"organization_id": ""}, "organization_id", "must not be empty"),
    ({"workflow": 5}, "workflow", "must be a string, not int"),
    ({"metadata": "x"}, "metadata", "must be an object"),
    ({"metadata": []}, "metadata", "must be an object"),
    ({"metadata": {"x": object()}}, None, "cannot be written as JSON"),
    ({"metadata": {"x": math.nan}}, None, "cannot be written as JSON"),
    ({"metadata": {("x",): 1}}, None, "cannot be written as JSON"),
    ({"metadata": CIRCLE}, None, "cannot be written as JSON"),
    ({"metadata": {"deep": DEEP}}, None, "cannot be written as JSON"),
    ({"variables": {"x": b"y"}}, None, "cannot be written as JSON"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("wrong", "param", "said"), COMPLETIONS)
def test_what_no_completion_can_be_asked_with(
    wire_server: WireServer,
    client: ChatServerClient,
    wrong: dict[str, Any],
    param: str | None,
    said: str,
    stream: bool,
) -> None:
    """The exception is the one for status 400, names the argument, and nothing was sent."""
    arguments: dict[str, Any] = {"model": "m", "messages": "Hello", **wrong}

    with pytest.raises(BadRequestError) as caught:
        client.create_completion(**arguments, stream=stream)

    assert said in caught.value.message
    assert (caught.value.param, caught.value.status_code) == (param, 400)
    assert caught.value.response is None
    assert wire_server.requests == []


REFUSED = {"role": "assistant", "content": None, "refusal": "No."}
OLDER_CALL = {"role": "assistant", "content": None, "function_call": {"name": "f"}}
SIGNED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "x": 1}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [{**SIGNED, "extra_content": {}}]}


@pytest.mark.parametrize("said", [REFUSED, OLDER_CALL, CALLING, {**REFUSED, "reasoning": "Hm"}])
def test_an_answer_without_words_goes_back_as_it_came(
    wire_server: WireServer, client: ChatServerClient, said: dict[str, Any]
) -> None:
    """As a dict or as a Message, with everything that nobody knows."""
    wire_server.answers(*[json_answer(200, {"choices": []})] * 2)

    client.create_completion("m", [said])
    client.create_completion("m", [Message.from_dict(said)])

    assert [sent.json()["messages"] for sent in wire_server.requests] == [[said], [said]]


def test_the_documented_mistake(wire_server: WireServer, client: ChatServerClient) -> None:
    """`model="", messages=[]` is a BadRequestError with .message and .status_code."""
    with pytest.raises(BadRequestError, match="^model must not be empty$") as caught:
        client.create_completion(model="", messages=[])
    assert (caught.value.message, caught.value.status_code) == ("model must not be empty", 400)


Call = Callable[[ChatServerClient, Any], object]
IDS: list[tuple[str, Call]] = [
    ("user_id", lambda client, value: client.list_sessions(value)),
    ("user_id", lambda client, value: client.get_session("s1", user_id=value)),
    ("session_id", lambda client, value: client.get_session(value, user_id="u1")),
    ("email", lambda client, value: client.remove_admin(value)),
    ("email", lambda client, value: client.add_admin("w1", value)),
    ("workos_id", lambda client, value: client.add_admin(value, "a@x.org")),
    ("key_id", lambda client, value: client.revoke_key(value)),
    ("name", lambda client, value: client.create_key(value)),
    ("role", lambda client, value: client.create_key("k", value)),
]


@pytest.mark.parametrize("value", ["", "  ", None, 5, b"x", HALF_A_PAIR])
@pytest.mark.parametrize(("param", "call"), IDS)
def test_what_no_id_can_be(
    wire_server: WireServer, client: ChatServerClient, param: str, call: Call, value: object
) -> None:
    """Ids are texts with something in them."""
    with pytest.raises(BadRequestError, match=f"^{param} ") as caught:
        call(client, value)
    assert caught.value.param == param
    assert wire_server.requests == []


@pytest.mark.parametrize("value", [".", ".."])
@pytest.mark.parametrize(("param", "call"), IDS[2:4])
def test_what_no_path_can_hold(
    wire_server: WireServer, client: ChatServerClient, param: str, call: Call, value: str
) -> None:
    """Every proxy on the way would take them for steps in the path."""
    with pytest.raises(BadRequestError, match=f"^{param} must not be empty, '.' or '..'$"):
        call(client, value)
    assert wire_server.requests == []


def test_the_name_of_an_admin(wire_server: WireServer, client: ChatServerClient) -> None:
    """A name is a text."""
    with pytest.raises(BadRequestError, match="^name must be a string, not int$"):
        client.add_admin("w1", "a@x.org", 5)  # type: ignore[arg-type]
    assert wire_server.requests == []


def test_a_prompt_is_in_no_message(client: ChatServerClient) -> None:
    """What is wrong with a message is said without saying what stands in it."""
    for messages in ([{"role": "user", "content": ("secret",)}], [["secret"]], [b"secret"]):
        with pytest.raises(BadRequestError) as caught:
            client.create_completion("m", messages)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("value", [None, "1", 1.5, True, "a\ud800"])
@pytest.mark.parametrize("param", ["page", "page_size", "limit", "offset"])
def test_pages_are_whole_numbers(
    wire_server: WireServer, client: ChatServerClient, param: str, value: Any
) -> None:
    """What is no whole number is refused by name, and nothing is sent."""
    audit = param in ("limit", "offset")
    with pytest.raises(BadRequestError, match="whole number") as caught:
        if audit:
            client.get_audit_log(**{param: value})
        else:
            client.list_sessions("u", **{param: value})
    assert caught.value.param == param
    assert wire_server.requests == []


def test_a_session_that_is_none() -> None:
    """What cannot send is refused by the constructor."""
    with pytest.raises(ConfigurationError, match="requests session"):
        ChatServerClient(session="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/a/%2e%2e/b", "/a/%2E/b", "/a/.%2e", "/../b"])
def test_dots_in_a_path(wire_server: WireServer, client: ChatServerClient, path: str) -> None:
    """Quoted or not: they would be sent as dots."""
    with pytest.raises(BadRequestError, match="no '.' or '..' as a step"):
        client.request("GET", path)
    assert wire_server.requests == []
