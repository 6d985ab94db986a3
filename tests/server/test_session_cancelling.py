"""DELETE /api/v2/sessions/{id}/chat: before the first token, mid-text, at the end, twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from scripted_agents import EndlessAgent, Gate, ScriptedAgent, StubbornAgent
from server_wire import Api, check_refusal, serving
from session_wire import cancel, events_of, join, names, open_session, parse, say, words

from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.models.events import Event


class ToolAgent(Agent):
    """Runs a tool that blocks a thread until its gate is opened."""

    name = "tool"
    description = "Waits in a thread."

    def __init__(self) -> None:
        self.begun, self.gate, self.over = threading.Event(), threading.Event(), threading.Event()

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        yield "looking "
        try:
            await asyncio.to_thread(self._work)
        finally:
            self.over.set()

    def _work(self) -> None:
        self.begun.set()
        self.gate.wait()


class PoliteAgent(Agent):
    """Takes being stopped for an end like any other."""

    name = "polite"
    description = "Ends when it is told to."

    def __init__(self) -> None:
        self.gate = Gate()

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        yield "well "
        try:
            await self.gate.passed()
        except asyncio.CancelledError:
            return


@pytest.fixture(scope="module")
def silent() -> ScriptedAgent:
    """An agent whose upstream never says a word."""
    return ScriptedAgent(Gate(), name="silent")


@pytest.fixture(scope="module")
def api(silent: ScriptedAgent) -> Iterator[Api]:
    """A server with agents that have to be stopped."""
    tool, stubborn = ToolAgent(), StubbornAgent()
    with serving(
        silent,
        ScriptedAgent("half ", Gate(), "whole", name="half"),
        EndlessAgent(),
        tool,
        PoliteAgent(),
        stubborn,
    ) as api:
        yield api
        tool.gate.set()
        stubborn.gate.open()


def running(api: Api, model: str, said: str = "x") -> tuple[str, str, Any]:
    """A session, the turn that runs in it, and its stream."""
    session_id = open_session(api, model)
    stream = say(api, session_id, said, lazy=True)
    return session_id, stream.headers["X-Turn-Id"], stream


def read_to(stream: Any, text: str) -> None:
    """Read a stream until it has said this."""
    pieces = stream.iter_content(None)
    while text.encode() not in next(pieces):
        pass


@pytest.mark.parametrize(
    ("model", "left"),
    [("silent", None), ("half", "half "), ("tool", "looking "), ("polite", "well ")],
)
def test_a_turn_is_stopped(api: Api, model: str, left: str | None) -> None:
    """Before its first word or behind one, in a tool or a wait: it has ended when this answers.

    What was said stays, marked as cancelled; the stream says so, exactly once."""
    session_id, turn_id, stream = running(api, model)
    if left is not None:
        read_to(stream, left)
        stream.close()
    answer = cancel(api, session_id)
    assert (answer.status_code, answer.json()) == (200, {"cancelled": True, "turn_id": turn_id})

    events = events_of(join(api, session_id))
    assert names(events)[-2:] == ["cancelled", "interaction_end"]
    assert sum(name in ("cancelled", "completion", "error") for name in names(events)) == 1
    assert words(events) == (left or "")
    said = [("user", "x")] + ([("assistant", left)] if left else [])
    assert api.history(session_id) == said
    detail = api.get(f"/atoms/chat/sessions/{session_id}", user_id="ada").json()
    if left:
        assert detail["messages"][-1]["metadata"]["finish_reason"] == "cancelled"
    # Twice is once.
    assert cancel(api, session_id).json() == {"cancelled": False}


def test_the_reader_is_told(api: Api) -> None:
    """The stream of whoever asked ends with `cancelled`, though another connection did it."""
    session_id, _, stream = running(api, "half")
    assert cancel(api, session_id).json()["cancelled"] is True
    assert names(list(parse(stream.content)))[-2:] == ["cancelled", "interaction_end"]


def test_a_whole_answer_is_cancelled(api: Api, silent: ScriptedAgent) -> None:
    """Who waits for one JSON gets it, with what there is and the reason."""
    session_id = open_session(api, "half")
    with ThreadPoolExecutor() as pool:
        other = Api(api.base_url, api.key)
        asked = pool.submit(say, other, session_id, "x", stream=False)
        while not cancel(api, session_id).json()["cancelled"]:
            pass
        answer = asked.result().json()
        other.close()
    assert answer["finish_reason"] == "cancelled"


def test_an_endless_agent_is_stopped(api: Api) -> None:
    """Also one that never waits for anything."""
    session_id, turn_id, stream = running(api, "endless")
    assert cancel(api, session_id).json() == {"cancelled": True, "turn_id": turn_id}
    stream.close()


def test_a_stubborn_agent_is_left_behind(api: Api) -> None:
    """Its turn ends without it; the session goes on."""
    session_id, turn_id, stream = running(api, "stubborn")
    assert cancel(api, session_id).json() == {"cancelled": True, "turn_id": turn_id}
    events = list(parse(stream.content))
    assert names(events)[-2:] == ["cancelled", "interaction_end"]
    assert api.history(session_id) == [("user", "x"), ("assistant", "no ")]
    second = say(api, session_id, "y", lazy=True)
    assert second.status_code == 200
    assert cancel(api, session_id).json()["cancelled"] is True
    second.close()


def test_nothing_to_stop(api: Api) -> None:
    """200 and false: nothing was said yet, or the answer is whole."""
    session_id = open_session(api)
    assert cancel(api, session_id).json() == {"cancelled": False}
    say(api, session_id, "x")
    answer = cancel(api, session_id)
    assert (answer.status_code, answer.json()) == (200, {"cancelled": False})


def test_a_named_turn_that_is_over(api: Api) -> None:
    """It never hits the next one; the right name does."""
    session_id, first, stream = running(api, "half")
    assert cancel(api, session_id, turn_id=first).json()["cancelled"] is True
    stream.close()
    second = say(api, session_id, "y", lazy=True)
    for other in (first, str(uuid4())):
        assert cancel(api, session_id, turn_id=other).json() == {"cancelled": False}
    named = second.headers["X-Turn-Id"]
    assert cancel(api, session_id, turn_id=named.upper()).json()["turn_id"] == named
    second.close()
    check_refusal(cancel(api, session_id, turn_id="x"), 400)


def test_from_many_connections_at_once(api: Api) -> None:
    """All are answered; whoever came in time hears that it was stopped."""
    session_id, turn_id, stream = running(api, "half")
    others = [Api(api.base_url, api.key) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = [one.json() for one in pool.map(lambda it: cancel(it, session_id), others)]
    for other in others:
        other.close()
    assert {"cancelled": True, "turn_id": turn_id} in answers
    assert all(
        one in ({"cancelled": False}, answers[0], {"cancelled": True, "turn_id": turn_id})
        for one in answers
    )
    stream.close()


def test_the_partial_text_is_in_the_next_context(api: Api, silent: ScriptedAgent) -> None:
    """The agent of the next turn sees what was said before the stop."""
    session_id, _, stream = running(api, "half")
    read_to(stream, "half ")
    cancel(api, session_id)
    stream.close()
    body = {"model": "silent", "messages": [{"role": "user", "content": "go on"}], "user": "ada"}
    body["metadata"] = {"session_id": session_id}
    asked = api.call("POST", "/v1/chat/completions", json={**body, "stream": True}, stream=True)
    said = [(str(one.role), one.text) for one in silent.questions[-1].messages]
    assert said == [("user", "x"), ("assistant", "half "), ("user", "go on")]
    cancel(api, session_id)
    asked.close()
