"""From a request to a plan: each key of the metadata, who may ask, what is refused and why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from engine_room import ADA, ADMIN, NOBODY

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import Forbidden, InvalidRequest, Turn
from chatserver_sdk.engine.asking import Asked, plan, resolve
from chatserver_sdk.models import (
    ChatCompletionRequest,
    FunctionDefinition,
    Message,
    MessageRole,
    Principal,
    Role,
    Tool,
)
from chatserver_sdk.testing import ScriptedAgent

AGENT = ScriptedAgent("scripted", "")
SESSION = "0a1b2c3d-0000-4000-8000-00000000abcd"


def asked(metadata: dict[str, Any] | None = None, by: Principal = ADMIN, **fields: Any) -> Asked:
    """What a request with this metadata comes to."""
    given = {"messages": [Message(MessageRole.USER, "hi")], "metadata": metadata, **fields}
    return resolve(ChatCompletionRequest("m", **given), by, AGENT)


def planned(metadata: dict[str, Any] | None = None, **fields: Any) -> Any:
    """The session that would be stored."""
    turn = Turn("t", session_id="s", model="m", user_id="ada")
    return plan(asked(metadata, user="ada", **fields), turn, 10).session


def test_a_bare_request() -> None:
    """Nobody's, in a session of its own, with nothing decided."""
    found = asked()

    assert (found.user_id, found.names_session) == (None, False)
    assert str(UUID(found.session_id)) == found.session_id == found.question.session_id
    assert dict(found.question.variables) == {}
    assert asked().session_id != found.session_id


def test_what_the_agent_is_told() -> None:
    """Everything that the request says about how to answer."""
    metadata = {"variables": {"a": 1}, "workflow": "w", "session_id": SESSION}
    question = asked(
        metadata,
        user="ada",
        temperature=0.0,
        max_tokens=7,
        top_p=0.5,
        system_prompt="Be brief.",
    ).question

    assert (question.model, question.session_id, question.user_id) == ("m", SESSION, "ada")
    assert (question.temperature, question.max_tokens, question.top_p) == (0.0, 7, 0.5)
    assert (question.system_prompt, question.text) == ("Be brief.", "hi")
    assert question.variables == {"a": 1} and question.metadata == metadata


def test_what_agents_pass_on_to_a_model() -> None:
    """The options of the request, for agents that have a use for them."""
    options = {
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "seed": 7,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "reasoning_effort": "low",
    }
    tools = [Tool(FunctionDefinition("find"))]
    question = asked(tools=tools, stop=["a", "b"], **options).question

    assert {name: getattr(question, name) for name in options} == options
    assert (question.tools, question.stop) == (tools, ["a", "b"])
    assert asked(stop="a").question.stop == ["a"]
    bare = asked().question
    assert (bare.tools, bare.stop) == ((), ())
    assert {getattr(bare, name) for name in options} == {None}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (SESSION, SESSION),
        (SESSION.upper(), SESSION),
        (SESSION.replace("-", ""), SESSION),
        (f"{{{SESSION}}}", SESSION),
        (f"urn:uuid:{SESSION}", SESSION),
    ],
)
def test_every_spelling_of_a_uuid_is_one_session(given: str, found: str) -> None:
    """However a UUID is written, it names the same session."""
    resolved = asked({"session_id": given})

    assert (resolved.session_id, resolved.names_session) == (found, True)


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        *(({"session_id": bad}, "session_id") for bad in ("x", "", SESSION[:-1], SESSION + "0")),
        *(({"session_id": bad}, "session_id") for bad in (7, True, [], {}, "\0", "x" * 300)),
        *(({"user_id": bad}, "user_id") for bad in (7, 1.5, False, ["a"], {}, "", "x" * 257)),
        *(({"organization_id": bad}, "organization_id") for bad in (7, [], {}, "", "x" * 257)),
        *(({"variables": bad}, "variables") for bad in (7, 0, "", "x", False, [], [1])),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_metadata(metadata: dict[str, Any], param: str) -> None:
    """A key of the wrong type is refused with its name, and what was sent is not repeated."""
    with pytest.raises(InvalidRequest) as caught:
        asked(metadata)

    assert caught.value.param == f"metadata.{param}"
    assert caught.value.code in ("invalid_value", "invalid_session_id")
    assert len(caught.value.message) < 200 and "xxx" not in caught.value.message


@pytest.mark.parametrize("key", ["session_id", "user_id", "organization_id", "variables"])
def test_null_is_absent(key: str) -> None:
    """A key that is null decides nothing."""
    assert not asked({key: None}).names_session and planned({key: None}).organization_id is None


def test_what_the_agent_refuses() -> None:
    """A variable that the agent cannot use is the request's mistake, with the path to it."""
    request = ChatCompletionRequest(
        "echo", [Message(MessageRole.USER, "x")], metadata={"variables": {"delay": 61}}
    )

    with pytest.raises(InvalidRequest) as caught:
        resolve(request, ADMIN, EchoAgent())

    assert caught.value.param == "metadata.variables.delay"
    assert caught.value.code == "invalid_variable"


SERVICE = Principal("p-service", Role.SERVICE)
EXPERT = Principal("p-expert", Role.EXPERT, user_id="eve")


@pytest.mark.parametrize(
    ("by", "user", "in_metadata", "expected"),
    [
        (ADMIN, None, None, None),
        (ADMIN, "ada", None, "ada"),
        (ADMIN, None, "bob", "bob"),
        (ADMIN, "ada", "bob", "ada"),
        (SERVICE, "ada", None, "ada"),
        (SERVICE, None, None, None),
        (ADA, None, None, "ada"),
        (ADA, "ada", None, "ada"),
        (ADA, "bob", None, Forbidden),
        (ADA, None, "bob", Forbidden),
        (ADA, "ada", "bob", "ada"),
        (NOBODY, None, None, None),
        (NOBODY, "ada", None, Forbidden),
        (EXPERT, None, None, "eve"),
        (EXPERT, "eve", None, "eve"),
        (EXPERT, "ada", None, Forbidden),
    ],
)
def test_in_whose_name(by: Principal, user: Any, in_metadata: Any, expected: Any) -> None:
    """The field wins over the metadata, a user's key is its user's, and roles decide the rest."""
    if expected is Forbidden:
        with pytest.raises(Forbidden) as caught:
            asked({"user_id": in_metadata}, by, user=user)
        assert (caught.value.code, caught.value.param) == ("wrong_user", "user")
    else:
        assert asked({"user_id": in_metadata}, by, user=user).user_id == expected


def test_what_is_kept_of_the_metadata() -> None:
    """What has a meaning of its own is not kept as a free field; everything else is."""
    meant = {
        "session_id": SESSION,
        "user_id": "bob",
        "organization_id": "acme",
        "variables": {"a": 1},
        "allowed_tools": ["t"],
        "setting_sources": ["s"],
        "mcp_servers": {"m": {}},
    }
    session = planned({**meant, "workflow": "w", "theirs": [1, {"x": None}]})

    assert session.metadata == {"workflow": "w", "theirs": [1, {"x": None}]}
    assert (session.id, session.user_id, session.organization_id) == (SESSION, "ada", "acme")
    assert (session.model, session.agent_type) == ("m", "scripted")
    assert session.created_at == session.updated_at == session.last_message_at


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        ([("user", "Hello")], "Hello"),
        ([("user", "  two \n\t words ")], "two words"),
        ([("system", "Be brief."), ("user", "Hello")], "Hello"),
        ([("user", " "), ("user", "second")], "second"),
        ([("user", "")], None),
        ([("assistant", "Hello")], None),
        ([("user", None)], None),
        ([("user", [{"type": "text", "text": "a part"}])], "a part"),
        ([("user", "x" * 80)], "x" * 80),
        ([("user", "x" * 81)], "x" * 79 + "…"),
    ],
)
def test_titles(messages: list[tuple[str, Any]], title: str | None) -> None:
    """A session is called by the start of the first thing that its user says."""
    said = [Message(MessageRole(role), content) for role, content in messages]

    assert planned(messages=said).title == title
