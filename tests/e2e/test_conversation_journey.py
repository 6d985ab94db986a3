"""Conversations with a real server: recorded once, resumed by their id, and asked again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from chatserver_sdk import (
    ChatServerClient,
    ConflictError,
    DecodeError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from chatserver_sdk.testing import Failure, Pause, RunningServer, ScriptedAgent, ToolUse

Start = Callable[..., RunningServer]


def stored(client: ChatServerClient, session_id: str, user: str = "ada") -> list[str]:
    """What the server has recorded, each with the first letter of who said it."""
    detail = client.get_session(session_id, user_id=user)
    return [f"{str(message.role)[0]}:{message.text}" for message in detail.messages]


def heard(agent: ScriptedAgent) -> list[str]:
    """What the agent was asked last."""
    return [f"{str(message.role)[0]}:{message.text}" for message in agent.questions[-1].messages]


def test_it_survives_a_restart(chat_server: RunningServer) -> None:
    """From its id and its user, in a client that knows nothing; each message is stored once."""
    user = str(uuid4())
    with chat_server.client() as client:
        talk = client.conversation("echo", user=user, system_prompt="S")
        talk.ask("Q1")
        assert "".join(talk.stream("Q2")) == "Q2"
        session_id, said = talk.session_id, talk.messages
    with chat_server.client() as client:
        talk = client.conversation("echo", user=user, session_id=session_id, system_prompt="S")
        assert talk.messages == said
        talk.ask("Q3")
        assert len(talk.messages) == 7
        whole = ["s:S", "u:Q1", "a:Q1", "u:Q2", "a:Q2", "u:Q3", "a:Q3"]
        assert stored(client, session_id, user) == whole
        assert client.list_sessions(user).total == 1


@pytest.mark.parametrize("named", [True, False])
def test_the_agent_hears_the_whole(start_chat_server: Start, named: bool) -> None:
    """Recorded or not, it is asked with all that was said."""
    agent = ScriptedAgent("helper", "A1", "A2", "A3")
    with start_chat_server(agent).client() as client:
        talk = client.conversation("helper", user="ada" if named else None, system_prompt="S")
        for question in ("Q1", "Q2", "Q3"):
            talk.ask(question)

    assert heard(agent) == ["s:S", "u:Q1", "a:A1", "u:Q2", "a:A2", "u:Q3"]


@pytest.mark.parametrize("status", [500, 429])
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_a_failed_question_is_asked_again(
    start_chat_server: Start, status: int, streams: bool, restarts: bool
) -> None:
    """The server has stored it, and does not store it twice; also where the process has died."""
    agent = ScriptedAgent("helper", "A1", ["half", Failure("no", status=status)], "A2", "A3")
    with start_chat_server(agent).client(max_retries=0) as client:
        talk = client.conversation("helper", user="ada", system_prompt="S")
        talk.ask("Q1")
        with pytest.raises((InternalServerError, RateLimitError)):
            talk.stream("Q2").response() if streams else talk.ask("Q2")
        if restarts:
            talk = client.conversation(
                "helper", user="ada", session_id=talk.session_id, system_prompt="S"
            )
        assert [message.text for message in talk.messages] == ["S", "Q1", "A1"]
        talk.ask("Q2")
        talk.ask("Q3")

        whole = ["s:S", "u:Q1", "a:A1", "u:Q2", "a:A2", "u:Q3", "a:A3"]
        assert stored(client, talk.session_id) == whole
        assert heard(agent) == whole[:-1]
        assert [message.text for message in talk.messages] == [text[2:] for text in whole]


def test_another_question_behind_a_failure(start_chat_server: Start) -> None:
    """The one that was given up stays in the server's transcript, without an answer."""
    agent = ScriptedAgent("helper", "A1", Failure("no"), "A3")
    with start_chat_server(agent).client(max_retries=0) as client:
        talk = client.conversation("helper", user="ada")
        talk.ask("Q1")
        with pytest.raises(InternalServerError):
            talk.ask("Q2")
        talk.ask("Q3")

        assert stored(client, talk.session_id) == ["u:Q1", "a:A1", "u:Q2", "u:Q3", "a:A3"]
        assert [message.text for message in talk.messages] == ["Q1", "A1", "Q3", "A3"]


def test_the_very_first_question_fails(start_chat_server: Start) -> None:
    """Asked again it stands there twice, as without an answer nothing is a transcript."""
    agent = ScriptedAgent("helper", Failure("no"), "A1", "A2")
    with start_chat_server(agent).client(max_retries=0) as client:
        talk = client.conversation("helper", user="ada")
        with pytest.raises(InternalServerError):
            talk.ask("Q1")
        talk.ask("Q1")
        talk.ask("Q2")

        assert stored(client, talk.session_id) == ["u:Q1", "u:Q1", "a:A1", "u:Q2", "a:A2"]


def test_a_stream_that_is_left(start_chat_server: Start) -> None:
    """Its answer goes on: until it ends, the session is busy; then it is part of the dialogue."""
    go_on = threading.Event()
    agent = ScriptedAgent("helper", "A1", ["A", Pause(go_on), "2"], "A3")
    with start_chat_server(agent).client(max_retries=0) as client:
        talk = client.conversation("helper", user="ada")
        talk.ask("Q1")
        with talk.stream("Q2") as stream:
            assert next(stream) == "A"
            cursor = stream.cursor or ""
        with pytest.raises(ConflictError):
            talk.ask("Q3")
        assert [message.text for message in talk.messages] == ["Q1", "A1"]
        go_on.set()
        client.resume_stream(cursor).response()
        talk.ask("Q3")

        whole = ["u:Q1", "a:A1", "u:Q2", "a:A2", "u:Q3", "a:A3"]
        assert stored(client, talk.session_id) == whole
        assert [message.text for message in talk.messages] == [text[2:] for text in whole]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_tools(start_chat_server: Start, named: bool, restarts: bool) -> None:
    """The agent sees its call before the result, whoever keeps the transcript."""
    agent = ScriptedAgent("helper", "A1", ToolUse("look", {"city": "Ulm"}), "Rain.")
    with start_chat_server(agent).client() as client:
        user = "ada" if named else None
        talk = client.conversation("helper", user=user)
        talk.ask("Q1")
        call = (talk.ask("Weather?").choices[0].message.tool_calls or [])[0]
        if restarts and named:
            talk = client.conversation("helper", user=user, session_id=talk.session_id)
        talk.ask({"role": "tool", "content": "rain", "tool_call_id": call.id})

    *_, calling, result = agent.questions[-1].messages
    assert (calling.content, calling.tool_calls) == (None, [call])
    assert (result.text, result.tool_call_id) == ("rain", call.id)
    assert talk.messages[-3].tool_calls == [call] and len(talk.messages) == 6


def test_a_transcript_with_calls_is_known(start_chat_server: Start) -> None:
    """Also who sends the whole transcript, as OpenAI's clients do, has it stored once."""
    agent = ScriptedAgent("helper", ToolUse("look"), "Rain.")
    with start_chat_server(agent).client() as client:
        first = client.create_completion("helper", "Q1", user="ada")
        said: list[Any] = ["Q1", first.choices[0].message]
        said.append({"role": "tool", "content": "rain", "tool_call_id": "call_1"})
        fingerprint = first.system_fingerprint or ""
        client.create_completion("helper", said, user="ada", session_id=fingerprint)

        assert stored(client, fingerprint) == ["u:Q1", "a:", "t:rain", "a:Rain."]


def test_somebody_elses_conversation(chat_client: ChatServerClient) -> None:
    """An id without its user opens nothing."""
    talk = chat_client.conversation("echo", user=str(uuid4()))
    talk.ask("Q1")
    other = chat_client.conversation("echo", user=str(uuid4()), session_id=talk.session_id)
    assert other.messages == []
    with pytest.raises(NotFoundError):
        other.ask("Q1")


@dataclass
class City:
    """What is asked for."""

    name: str
    people: int


def test_answers_as_objects(chat_client: ChatServerClient) -> None:
    """A model that says the JSON is read; what it says otherwise is in the error."""
    found = chat_client.parse_completion("echo", '{"name": "Ulm", "people": 1}', into=City)
    assert found == City("Ulm", 1)
    with pytest.raises(DecodeError) as err:
        chat_client.parse_completion("echo", "Ulm, I think.", into=City)
    assert err.value.response is not None
    assert err.value.response.json()["choices"][0]["message"]["content"] == "Ulm, I think."
