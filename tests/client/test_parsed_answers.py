"""parse_completion: what it asks for, the instance that it gives, and answers that are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel

from chatserver_sdk import (
    BadRequestError,
    ChatServerClient,
    DecodeError,
    RateLimitError,
)
from chatserver_sdk.testing import WireServer, completion, json_answer


@dataclass
class City:
    """A dataclass."""

    name: str
    people: int


class Town(BaseModel):
    """A pydantic model."""

    name: str
    people: int


class Place(TypedDict):
    """A dict of a known form."""

    name: str
    people: int


ULM = '{"name": "Ulm", "people": 128928}'
CALLS = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
INSTANCES = [
    (City, City("Ulm", 128928)),
    (Town, Town(name="Ulm", people=128928)),
    (Place, {"name": "Ulm", "people": 128928}),
]


def answered(content: Any, finish_reason: str | None = "stop", **fields: Any) -> list[Any]:
    """An answer with this message."""
    message = {"role": "assistant", "content": content, **fields}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return json_answer(200, completion("", choices=[choice]))


@pytest.mark.parametrize(("into", "expected"), INSTANCES)
@pytest.mark.parametrize(
    "content",
    [
        ULM,
        f"```json\n{ULM}\n```",
        f"\n```\n{ULM}```\n",
        f" {ULM}\n",
        [{"type": "text", "text": ULM}],
    ],
)
def test_an_instance(
    wire_server: WireServer, client: ChatServerClient, into: Any, expected: Any, content: Any
) -> None:
    """Of each kind of class, from a text with and without a fence, or from parts."""
    wire_server.answers(answered(content))

    assert client.parse_completion("m", "Where?", into=into) == expected


@pytest.mark.parametrize(("into", "expected"), INSTANCES)
def test_what_is_asked_for(
    wire_server: WireServer, client: ChatServerClient, into: Any, expected: Any
) -> None:
    """JSON of the class's form; other arguments go along as in create_completion."""
    wire_server.answers(answered(ULM, None))
    client.parse_completion("m", ["Where?"], into=into, temperature=0, user="ada")

    body = wire_server.requests[0].json()
    form = body["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", into.__name__)
    schema = form["json_schema"]["schema"]
    assert form["json_schema"]["strict"] is True and schema["required"] == ["name", "people"]
    assert (body["temperature"], body["user"], body["stream"]) == (0, "ada", False)
    assert body["messages"] == [{"role": "user", "content": "Where?"}]


@pytest.mark.parametrize("own", [{"type": "json_object"}, None])
def test_a_response_format_of_ones_own(
    wire_server: WireServer, client: ChatServerClient, own: dict[str, str] | None
) -> None:
    """It wins; None asks for none."""
    wire_server.answers(answered(ULM))
    found = client.parse_completion("m", "Where?", into=City, response_format=own)

    assert found == City("Ulm", 128928)
    assert wire_server.requests[0].json().get("response_format") == own


def test_the_first_choice_is_read(wire_server: WireServer, client: ChatServerClient) -> None:
    """Wherever it stands."""
    texts = [(1, "no JSON"), (0, ULM)]
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}} for index, text in texts
    ]
    wire_server.answers(json_answer(200, completion("", choices=choices)))

    assert client.parse_completion("m", "Where?", into=City, n=2).name == "Ulm"


SECRET = "s3cret"
NO_INSTANCES: list[tuple[Any, str]] = [
    (answered(None, refusal=f"No {SECRET}!"), "the model refused to answer"),
    (answered(ULM, refusal=f"No {SECRET}!"), "the model refused to answer"),
    (answered(None, "tool_calls", tool_calls=CALLS), "tool calls in place of an answer"),
    (answered(ULM, "stop", tool_calls=CALLS), "tool calls in place of an answer"),
    (answered(None), "no text"),
    (answered(" \n"), "no text"),
    (answered(None, "function_call", function_call={"name": "f"}), "no text"),
    (json_answer(200, completion("", choices=[])), "no choice"),
    (answered(SECRET), "not JSON"),
    (answered(f"```\n{SECRET}\n```"), "not JSON"),
    (answered('{"name": "s3cret"}'), "does not fit"),
    (answered('{"name": "s3cret", "people": "s3cret"}'), "does not fit"),
    (answered('["s3cret"]'), "does not fit"),
    *(
        (answered(text, reason), f"not whole: it ended with '{reason}'")
        for text in ('{"name": "s3c', ULM)
        for reason in ("length", "max_tokens", "content_filter", "cancelled")
    ),
]


@pytest.mark.parametrize(("answer", "problem"), NO_INSTANCES)
@pytest.mark.parametrize("into", [City, Town, Place])
def test_answers_that_are_no_instance(
    wire_server: WireServer, client: ChatServerClient, into: Any, answer: Any, problem: str
) -> None:
    """An error that says why, without a word of the answer, which it carries."""
    wire_server.answers(answer)

    with pytest.raises(DecodeError, match=problem) as err:
        client.parse_completion("m", "Where?", into=into)

    assert SECRET not in str(err.value)
    assert err.value.response is not None
    assert err.value.response.json()["id"] == "chatcmpl-1"
    assert err.value.request_id == wire_server.requests[0].headers["X-Request-Id"]


def test_a_failure_is_no_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """What create_completion raises is raised."""
    wire_server.answers(json_answer(429, {"detail": "slowly"}))
    with pytest.raises(RateLimitError):
        client.parse_completion("m", "Where?", into=City)


@dataclass
class Wrong:
    """A class that JSON cannot say."""

    thing: bytes | complex


@pytest.mark.parametrize("into", [Wrong, City("Ulm", 1), "City", int])
def test_classes_that_are_none(
    wire_server: WireServer, client: ChatServerClient, into: Any
) -> None:
    """They are refused before anything is sent."""
    with pytest.raises(BadRequestError):
        client.parse_completion("m", "Where?", into=into)
    assert not wire_server.requests


@pytest.mark.parametrize("stream", [True, False])
def test_it_is_no_stream(wire_server: WireServer, client: ChatServerClient, stream: bool) -> None:
    """An answer is checked when it is whole."""
    ask: Any = client.parse_completion
    with pytest.raises(TypeError, match="stream"):
        ask("m", "Where?", into=City, stream=stream)
    assert not wire_server.requests
