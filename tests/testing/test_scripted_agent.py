"""ScriptedAgent in a real server: what clients of it see, and what it remembers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chatserver_sdk import (
    APIStatusError,
    ChatCompletionResponse,
    ChatServerClient,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    StreamFailedError,
)
from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import TurnCompleted, Usage
from chatserver_sdk.testing import (
    AgentStep,
    Failure,
    Pause,
    RunningServer,
    ScriptedAgent,
    Thought,
    ToolUse,
    running_server,
)

Start = Callable[..., RunningServer]
both_ways = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture
def ask(start_chat_server: Start, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Asks agents "x": each gets a server, and a client that is closed in the end."""

    def asked(agent: ScriptedAgent, **options: Any) -> Any:
        client = start_chat_server(agent).client()
        request.addfinalizer(client.close)
        return whole(client, agent.name, **options)

    return asked


def whole(
    client: ChatServerClient, model: str, text: str = "x", stream: bool = False
) -> ChatCompletionResponse:
    """The answer, whichever way it comes."""
    if stream:
        return client.create_completion(model, text, stream=True).response()
    return client.create_completion(model, text)


def test_answers_come_one_after_the_other(start_chat_server: Start) -> None:
    """The last one answers all that follow; the model is listed like any other."""
    agent = ScriptedAgent("helper", "first", ["sec", "ond"], "third")
    with start_chat_server(agent).client() as client:
        texts = [whole(client, "helper", str(n)).choices[0].message.text for n in range(5)]
        listed = [model for model in client.list_models().data if model.id == "helper"]

    assert texts == ["first", "second", "third", "third", "third"]
    assert [question.text for question in agent.questions] == list("01234")
    assert listed[0].description == "Answers what a test has written down."
    assert repr(agent) == "<ScriptedAgent 'helper'>"


def test_it_remembers_the_whole_question(start_chat_server: Start) -> None:
    """Not only the text: who asked, under which model and with which settings."""
    agent = ScriptedAgent("helper", "yes")
    server = start_chat_server(agent, aliases={"gpt-4": "helper"})
    with server.client() as client:
        messages: list[Any] = [{"role": "system", "content": "Be brief."}, "Is it you?"]
        client.create_completion("gpt-4", messages, 0.5, user="ada", variables={"a": 1})

    (question,) = agent.questions
    assert (question.model, question.user_id, question.temperature) == ("gpt-4", "ada", 0.5)
    assert [message.text for message in question.messages] == ["Be brief.", "Is it you?"]
    assert question.variables == {"a": 1}


def test_pieces_come_as_they_are_written(start_chat_server: Start) -> None:
    """One piece of the script is one piece of the stream."""
    agent = ScriptedAgent("helper", ["One ", "two ", "", "three"], "one piece of four words")
    with start_chat_server(agent).client() as client:
        pieces = [list(client.create_completion("helper", "x", stream=True)) for _ in range(2)]

    assert pieces == [["One ", "two ", "three"], ["one piece of four words"]]


@both_ways
def test_thoughts(ask: Callable[..., Any], stream: bool) -> None:
    """They stand beside the text."""
    agent = ScriptedAgent("helper", [Thought("Let me "), Thought("see."), "Four."])
    message = ask(agent, stream=stream).choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me see.", "Four.")


@both_ways
def test_tools(start_chat_server: Start, stream: bool) -> None:
    """Each has an id of its own, and such an answer says why it ends; the tool's answer is told."""
    agent = ScriptedAgent(
        "helper",
        [ToolUse("look", {"city": "Köln"}), ToolUse("listen", id="mine"), ToolUse("look", "{")],
        "It rains.",
    )
    with start_chat_server(agent).client() as client:
        first = whole(client, "helper", stream=stream).choices[0]
        calls = first.message.tool_calls or []
        results = [{"role": "tool", "content": "rain", "tool_call_id": c.id} for c in calls]
        messages: list[Any] = ["Does it rain?", first.message, *results]
        last = client.create_completion("helper", messages).choices[0]

    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_1", "look", '{"city": "Köln"}'),
        ("mine", "listen", "{}"),
        ("call_2", "look", "{"),
    ]
    assert (first.message.content or "", first.finish_reason) == ("", "tool_calls")
    assert (last.message.content, last.finish_reason) == ("It rains.", "stop")
    told = agent.questions[1].messages
    assert told[1].tool_calls == calls
    assert [message.tool_call_id for message in told[2:]] == ["call_1", "mine", "call_2"]


def test_an_answer_that_is_repeated_calls_anew(start_chat_server: Start) -> None:
    """Ids are never given twice by one agent."""
    agent = ScriptedAgent("helper", ToolUse("look"))
    with start_chat_server(agent).client() as client:
        answers = [whole(client, "helper").choices[0].message.tool_calls or [] for _ in range(3)]
    assert [call.id for calls in answers for call in calls] == ["call_1", "call_2", "call_3"]


STATUSES: list[tuple[int, type[APIStatusError]]] = [
    (404, NotFoundError),
    (418, APIStatusError),
    (429, RateLimitError),
    (500, InternalServerError),
    (503, ServiceUnavailableError),
    (599, InternalServerError),
]


@both_ways
@pytest.mark.parametrize("before", [[], ["half "]], ids=["at once", "after text"])
@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_a_failure(
    ask: Callable[..., Any],
    status: int,
    kind: type[APIStatusError],
    before: list[str],
    stream: bool,
) -> None:
    """The client raises what belongs to the status, with the sentence and the code."""
    agent = ScriptedAgent("helper", [*before, Failure("Try tomorrow.", status, "quota"), "never"])
    with pytest.raises(kind) as caught:
        ask(agent, stream=stream)

    assert (caught.value.status_code, caught.value.code) == (status, "quota")
    assert caught.value.message == "Try tomorrow."
    assert isinstance(caught.value, StreamFailedError) == stream
    if isinstance(caught.value, StreamFailedError):
        assert caught.value.partial == "".join(before)


def test_a_failure_between_answers(start_chat_server: Start) -> None:
    """A lone step is an answer; the next question gets the next one."""
    agent = ScriptedAgent("helper", Failure("Not now.", status=503), "Now.")
    with start_chat_server(agent).client(max_retries=0) as client:
        with pytest.raises(ServiceUnavailableError, match="Not now"):
            whole(client, "helper")
        assert whole(client, "helper").choices[0].message.content == "Now."


@both_ways
def test_a_bug_of_the_agent(
    start_chat_server: Start, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is a 500 that says nothing of it; it raises the same thing every time."""
    bug = KeyError("secret")
    agent = ScriptedAgent("helper", ["half ", bug])
    depths = []
    with start_chat_server(agent).client() as client:
        for _ in range(3):
            with pytest.raises(InternalServerError, match="the agent failed") as caught:
                whole(client, "helper", stream=stream)
            assert (caught.value.code, "secret" in str(caught.value)) == ("agent_failed", False)
            traceback, depth = bug.__traceback__, 0
            while traceback is not None:
                traceback, depth = traceback.tb_next, depth + 1
            depths.append(depth)

    # What an agent raises may repeat what was said to it: the log has its kind and its place.
    assert len(set(depths)) == 1
    assert "KeyError" in caplog.text and "secret" not in caplog.text


def test_a_pause_until_an_event(start_chat_server: Start) -> None:
    """The test decides when the answer goes on."""
    go_on = threading.Event()
    agent = ScriptedAgent("helper", ["Wait ", Pause(go_on), "for it"])
    with start_chat_server(agent).client() as client:
        stream = client.create_completion("helper", "x", stream=True)
        assert next(stream) == "Wait " and not go_on.is_set()
        go_on.set()
        assert list(stream) == ["for it"]


def test_a_pause_of_seconds(ask: Callable[..., Any]) -> None:
    """A client may find it too long; nothing is left out behind one that is short."""
    agent = ScriptedAgent("helper", ["a", Pause(0.01), "b", Pause(0), "c"])
    assert ask(agent).choices[0].message.content == "abc"


@pytest.mark.parametrize("until", [3600.0, threading.Event()], ids=["seconds", "event"])
def test_a_server_stops_while_it_pauses(until: float | threading.Event) -> None:
    """Nobody sets the event and no hour passes: the end of the server ends the answer."""
    agent = ScriptedAgent("helper", ["half ", Pause(until), "never"])
    with running_server(agents=[agent]) as server:
        client = server.client()
        stream = client.create_completion("helper", "x", stream=True)
        assert next(stream) == "half "
    with client, pytest.raises(ServiceUnavailableError) as caught:
        next(stream)
    assert caught.value.code == "interrupted"


def test_many_questions_at_once(start_chat_server: Start) -> None:
    """Each gets an answer of its own, and no question is forgotten; two servers may share it."""
    many = 24
    all_asked = threading.Event()
    answers: list[list[AgentStep]] = [[str(n), Pause(all_asked)] for n in range(many)]
    agent = ScriptedAgent("helper", *answers, "rest")
    servers = [start_chat_server(agent) for _ in range(2)]
    begun = threading.Barrier(many, action=all_asked.set, timeout=60)

    def read(number: int) -> str:
        with servers[number % 2].client() as client:
            stream = client.create_completion("helper", f"question {number}", stream=True)
            text = next(stream)
            begun.wait()
            return text + "".join(stream)

    with ThreadPoolExecutor(many) as pool:
        texts = list(pool.map(read, range(many)))

    assert sorted(map(int, texts)) == list(range(many))
    asked = {question.text for question in agent.questions}
    assert asked == {f"question {number}" for number in range(many)}


def test_events_of_the_engine(ask: Callable[..., Any]) -> None:
    """What costs and why it ends can be said as well."""
    agent = ScriptedAgent(
        "helper", ["cut o", ToolUse("look"), Usage(UsageInfo(10, 20, 30)), TurnCompleted("length")]
    )
    answer = ask(agent)
    assert (answer.usage, answer.choices[0].finish_reason) == (UsageInfo(10, 20, 30), "length")


def test_an_answer_of_nothing(ask: Callable[..., Any]) -> None:
    """An empty list is one."""
    assert ask(ScriptedAgent("helper", [])).choices[0].message.content == ""


def test_it_takes_the_place_of_another(ask: Callable[..., Any]) -> None:
    """Under the name of an agent that ships it answers instead."""
    assert ask(ScriptedAgent("echo", "not x")).choices[0].message.content == "not x"


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: ScriptedAgent("helper"), "at least one answer"),
    (lambda: ScriptedAgent("", "a"), "needs its name"),
    (lambda: ScriptedAgent("helper", "a", None), "a NoneType is none"),  # type: ignore[arg-type]
    (lambda: ScriptedAgent("helper", ["a", 5]), "a int is none"),  # type: ignore[list-item]
    (lambda: ScriptedAgent("helper", b"a"), "a bytes is none"),  # type: ignore[arg-type]
    (lambda: ScriptedAgent("helper", {"a": 1}), "a dict is none"),
    (lambda: ScriptedAgent("helper", ValueError), "a type is none"),  # type: ignore[arg-type]
    (lambda: Failure("fine", status=200), "400 to 599, not 200"),
    (lambda: Failure("fine", status=600), "400 to 599, not 600"),
    (lambda: ToolUse("look", {"at": object()}), "arguments of the tool 'look'"),
    (lambda: ToolUse("look", {"at": float("nan")}), "arguments of the tool 'look'"),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_what_is_no_script(make: Callable[[], Any], sentence: str) -> None:
    """It is said where it is written, not where it is asked."""
    with pytest.raises(ConfigurationError, match=sentence):
        make()
