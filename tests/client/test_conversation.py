"""Conversations, byte by byte: what is sent to which server, and what counts as said."""

from __future__ import annotations

import gc
import threading
from typing import Any
from uuid import UUID

import pytest

from chatserver_sdk import (
    APIConnectionError,
    BadRequestError,
    ChatServerClient,
    DecodeError,
    InternalServerError,
    Message,
    MessageRole,
    NotFoundError,
    RateLimitError,
    StreamInterruptedError,
)
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Step,
    UntilHangup,
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
)

ID = "7b9c2f3e-0000-4000-8000-000000000001"
OURS = {"X-Chatserver": "0.1.0"}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
NOT_FOUND = json_answer(404, {"detail": "no such session"}, OURS)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str | None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def theirs(text: str, **fields: Any) -> list[Step]:
    """An answer of any server."""
    return json_answer(200, completion(text, **{"system_fingerprint": "fp_1", **fields}))


def ours(text: str, **fields: Any) -> list[Step]:
    """An answer of our server."""
    return json_answer(200, completion(text, **{"system_fingerprint": ID, **fields}), OURS)


def transcript(*messages: dict[str, Any], headers: dict[str, str] = OURS) -> list[Step]:
    """What a server has stored."""
    at = "2026-01-01T00:00:00Z"
    known = {"id": ID, "user_id": "ada", "created_at": at, "updated_at": at}
    records = [
        {"id": str(place), "message_index": place, "created_at": at, **message}
        for place, message in enumerate(messages)
    ]
    return json_answer(200, {"session": known, "messages": records}, headers)


def sent(server: WireServer, place: int = -1) -> list[dict[str, Any]]:
    """The messages of a request."""
    messages: list[dict[str, Any]] = server.requests[place].json()["messages"]
    return messages


def paths(server: WireServer) -> list[str]:
    return [f"{request.method} {request.path.partition('?')[0]}" for request in server.requests]


def plain(messages: list[Message]) -> list[dict[str, Any]]:
    return [message.to_dict() for message in messages]


def test_any_server_is_sent_the_transcript(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """All that was said each time; no id, which only those understand that record."""
    wire_server.answers(theirs("A1"), theirs("A2"))
    talk = client.conversation("m", system_prompt="Be brief.")

    assert talk.ask("Q1").choices[0].message.text == "A1"
    assert talk.ask(Message(MessageRole.USER, "Q2")).choices[0].message.text == "A2"

    first = [system("Be brief."), user("Q1")]
    assert sent(wire_server, 0) == first
    assert sent(wire_server, 1) == [*first, assistant("A1"), user("Q2")]
    assert plain(talk.messages) == [*first, assistant("A1"), user("Q2"), assistant("A2")]
    assert all("metadata" not in request.json() for request in wire_server.requests)
    assert repr(talk) == f"<Conversation {talk.session_id} with m>" and UUID(talk.session_id)


@pytest.mark.parametrize("prompt", [None, ""])
def test_no_system_prompt(
    wire_server: WireServer, client: ChatServerClient, prompt: str | None
) -> None:
    """Nothing is said for it."""
    wire_server.answers(theirs("A1"))
    client.conversation("m", system_prompt=prompt).ask("Q1")

    assert sent(wire_server) == [user("Q1")]


def test_our_server_is_sent_what_is_new(wire_server: WireServer, client: ChatServerClient) -> None:
    """With a user it records the session: the instructions once, then only what is said next."""
    wire_server.answers(ours("A1"), ours("A2"))
    talk = client.conversation("m", user="ada", system_prompt="Be brief.")
    begun = talk.session_id
    talk.ask("Q1")
    talk.ask("Q2")

    assert sent(wire_server, 0) == [system("Be brief."), user("Q1")]
    assert sent(wire_server, 1) == [user("Q2")]
    sessions = [request.json()["metadata"]["session_id"] for request in wire_server.requests]
    assert sessions == [begun, ID] and talk.session_id == ID
    assert len(talk.messages) == 5


def test_our_server_without_a_user(wire_server: WireServer, client: ChatServerClient) -> None:
    """It may record nothing: the whole transcript goes out, under the id that it gave."""
    wire_server.answers(ours("A1"), ours("A2"))
    talk = client.conversation("m")
    talk.ask("Q1")
    talk.ask("Q2")

    assert "metadata" not in wire_server.requests[0].json()
    assert wire_server.requests[1].json()["metadata"] == {"session_id": ID}
    assert sent(wire_server) == [user("Q1"), assistant("A1"), user("Q2")]


def test_a_user_on_another_server(wire_server: WireServer, client: ChatServerClient) -> None:
    """It is named and the id is ours, whatever the server calls its fingerprint."""
    wire_server.answers(theirs("A1"), theirs("A2"))
    talk = client.conversation("m", user="ada")
    talk.ask("Q1")
    talk.ask("Q2")

    body = wire_server.requests[1].json()
    assert body["user"] == "ada" and body["metadata"]["session_id"] == talk.session_id != "fp_1"
    assert sent(wire_server) == [user("Q1"), assistant("A1"), user("Q2")]


def test_a_stream(wire_server: WireServer, client: ChatServerClient) -> None:
    """It is said once it was read to its end."""
    wire_server.answers(event_stream(delta("A"), delta("1"), finished(), DONE), theirs("A2"))
    talk = client.conversation("m")
    stream = talk.stream("Q1")

    assert next(stream) == "A" and talk.messages == []
    assert "".join(stream) == "1"
    assert plain(talk.messages) == [user("Q1"), assistant("A1")]
    talk.ask("Q2")
    assert sent(wire_server) == [user("Q1"), assistant("A1"), user("Q2")]
    assert wire_server.requests[0].json()["stream"] is True


def test_streams_of_our_server(wire_server: WireServer, client: ChatServerClient) -> None:
    """They are recorded as well."""
    wire_server.answers(
        event_stream(delta("A1"), DONE, fingerprint=ID, headers=OURS),
        event_stream(delta("A2"), DONE, fingerprint=ID, headers=OURS),
    )
    talk = client.conversation("m", user="ada")
    talk.stream("Q1").response()
    talk.stream("Q2").response()

    assert sent(wire_server) == [user("Q2")]
    assert len(talk.messages) == 4 and paths(wire_server) == ["POST /v1/chat/completions"] * 2


def test_a_stream_that_is_dropped_is_closed(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """At once, as any other; not when the garbage is collected."""
    seen = threading.Event()
    wire_server.answers(event_stream(delta("A"), UntilHangup(seen)))
    talk = client.conversation("m")
    gc.disable()
    try:
        stream = talk.stream("Q1")
        assert next(stream) == "A"
        del stream
        assert seen.wait(30)
    finally:
        gc.enable()
    assert talk.messages == []


FAILURES: list[tuple[list[Step], type[Exception]]] = [
    (json_answer(429, {"detail": "slowly"}), RateLimitError),
    (json_answer(500, {"detail": "broken"}), InternalServerError),
    (json_answer(200, {"no": "answer"}), DecodeError),
    ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Cut()], APIConnectionError),
]


@pytest.mark.parametrize(("failure", "error"), FAILURES)
def test_a_failed_answer(
    wire_server: WireServer,
    client: ChatServerClient,
    failure: list[Step],
    error: type[Exception],
) -> None:
    """It leaves the dialogue as it was: the same or another question comes next."""
    wire_server.answers(failure, theirs("A1"), failure, theirs("A2"))
    talk = client.conversation("m", system_prompt="Be brief.")

    with pytest.raises(error):
        talk.ask("Q1")
    assert talk.messages == []
    talk.ask("Q1")
    with pytest.raises(error):
        talk.ask("Q2")
    talk.ask("Q3")

    first = [system("Be brief."), user("Q1")]
    assert sent(wire_server, 0) == sent(wire_server, 1) == first
    assert sent(wire_server) == [*first, assistant("A1"), user("Q3")]


@pytest.mark.parametrize(
    "broken",
    [
        event_stream(delta("A"), framing="close_delimited"),
        event_stream(delta("A"), event({"error": {"message": "broken", "type": "server_error"}})),
    ],
    ids=["cut", "failed"],
)
def test_a_broken_stream(
    wire_server: WireServer, client: ChatServerClient, broken: list[Step]
) -> None:
    """Half an answer is none."""
    wire_server.answers(broken, theirs("A1"))
    talk = client.conversation("m")

    with pytest.raises((StreamInterruptedError, InternalServerError)):
        talk.stream("Q1").response()
    assert talk.messages == []
    talk.ask("Q1")
    assert sent(wire_server) == [user("Q1")]


def test_an_answer_without_choices(wire_server: WireServer, client: ChatServerClient) -> None:
    """Nothing was said; the question is still open."""
    wire_server.answers(theirs("", choices=[]), theirs("A1"))
    talk = client.conversation("m")
    assert talk.ask("Q1").choices == []
    talk.ask("Q1")

    assert sent(wire_server) == [user("Q1")]


@pytest.mark.parametrize("again", ["Q2", "Q3"])
def test_a_question_that_our_server_has_stored(
    wire_server: WireServer, client: ChatServerClient, again: str
) -> None:
    """Asked again it goes out as the end of the transcript, where it is not stored twice."""
    stored = [system("S"), user("Q1"), assistant("A1"), user("Q2")]
    wire_server.answers(
        ours("A1"),
        json_answer(500, {"detail": "broken"}, OURS),
        transcript(*stored),
        transcript(*stored),
        ours("A2"),
        ours("A4"),
    )
    talk = client.conversation("m", user="ada", system_prompt="S")
    talk.ask("Q1")
    with pytest.raises(InternalServerError):
        talk.stream("Q2") if again == "Q3" else talk.ask("Q2")
    assert plain(talk.messages) == stored[:3]
    talk.ask(again)

    assert sent(wire_server) == (stored if again == "Q2" else [user("Q3")])
    assert plain(talk.messages) == [*stored[:3], user(again), assistant("A2")]
    talk.ask("Q4")
    assert sent(wire_server) == [user("Q4")]
    assert [path.partition(" ")[0] for path in paths(wire_server)] == [
        *("POST", "POST", "GET", "GET", "POST", "POST")
    ]


def test_our_server_has_finished_the_answer(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """A stream that nobody read to its end goes on there: then its answer was said."""
    wire_server.answers(
        event_stream(delta("A"), delta("1"), DONE, fingerprint=ID, headers=OURS),
        transcript(user("Q1"), assistant("A1")),
        ours("A2"),
    )
    talk = client.conversation("m", user="ada")
    with talk.stream("Q1") as stream:
        next(stream)

    assert plain(talk.messages) == [user("Q1"), assistant("A1")]
    talk.ask("Q2")
    assert sent(wire_server) == [user("Q2")]


def test_the_session_is_gone(wire_server: WireServer, client: ChatServerClient) -> None:
    """Where the server has forgotten the session it is sent what we know."""
    failed = json_answer(500, {"detail": "broken"}, OURS)
    wire_server.answers(ours("A1"), failed, NOT_FOUND, ours("A2"))
    talk = client.conversation("m", user="ada")
    talk.ask("Q1")
    with pytest.raises(InternalServerError):
        talk.ask("Q2")
    talk.ask("Q2")

    assert sent(wire_server) == [user("Q1"), assistant("A1"), user("Q2")]


def test_it_goes_on_in_another_process(wire_server: WireServer, client: ChatServerClient) -> None:
    """The transcript is loaded with the first question; instructions that it holds are known."""
    stored = [system("Be brief."), user("Q1"), assistant("A1")]
    wire_server.answers(transcript(*stored), ours("A2"))
    talk = client.conversation("m", user="ada", session_id=ID, system_prompt="Be brief.")
    assert not wire_server.requests
    talk.ask("Q2")

    assert paths(wire_server) == [f"GET /atoms/chat/sessions/{ID}", "POST /v1/chat/completions"]
    assert "user_id=ada" in wire_server.requests[0].path
    assert sent(wire_server) == [user("Q2")]
    assert plain(talk.messages) == [*stored, user("Q2"), assistant("A2")]


def test_other_instructions_after_a_restart(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """They are said before the next question."""
    wire_server.answers(transcript(system("Old."), user("Q1"), assistant("A1")), ours("A2"))
    client.conversation("m", user="ada", session_id=ID, system_prompt="New.").ask("Q2")

    assert sent(wire_server) == [system("New."), user("Q2")]


def test_a_restart_on_another_server(wire_server: WireServer, client: ChatServerClient) -> None:
    """One that records, and is none of ours, is sent all that it has recorded."""
    metadata = {"name": 5, "tool_call_id": None, "mine": True}
    stored = [user("Q1"), {**assistant("A1"), "metadata": metadata}]
    wire_server.answers(transcript(*stored, headers={}), theirs("A2"))
    client.conversation("m", user="ada", session_id=ID).ask("Q2")

    assert sent(wire_server) == [user("Q1"), assistant("A1"), user("Q2")]


def test_a_restart_behind_a_question(wire_server: WireServer, client: ChatServerClient) -> None:
    """A process that died before its answer came asks again, and is not recorded twice."""
    stored = [user("Q1"), assistant("A1"), user("Q2")]
    wire_server.answers(transcript(*stored), transcript(*stored), ours("A2"))
    talk = client.conversation("m", user="ada", session_id=ID)

    assert plain(talk.messages) == stored[:2]
    talk.ask("Q2")
    assert sent(wire_server) == stored


def test_a_restart_before_any_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """What has no answer at all is no dialogue yet; the instructions are there."""
    stored = [system("S"), user("Q1")]
    wire_server.answers(transcript(*stored), ours("A1"))
    talk = client.conversation("m", user="ada", session_id=ID, system_prompt="S")

    assert plain(talk.messages) == [system("S")]
    talk.ask("Q1")
    assert sent(wire_server) == [user("Q1")]


def test_an_id_that_nobody_knows(wire_server: WireServer, client: ChatServerClient) -> None:
    """A conversation begins under an id of one's own."""
    wire_server.answers(NOT_FOUND, ours("A1"))
    talk = client.conversation("m", user="ada", session_id=UUID(ID))  # type: ignore[arg-type]

    assert talk.messages == []
    talk.ask("Q1")
    assert sent(wire_server) == [user("Q1")] and len(wire_server.requests) == 2


def test_an_id_without_a_user(wire_server: WireServer, client: ChatServerClient) -> None:
    """Nothing can be loaded; the id is sent, for servers that know who asks by the key."""
    wire_server.answers(theirs("A1"))
    client.conversation("m", session_id=ID).ask("Q1")

    assert wire_server.requests[0].json()["metadata"] == {"session_id": ID}


def test_a_transcript_that_cannot_be_loaded(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """What get_session raises is raised, and the next question tries again."""
    failed = json_answer(500, {"detail": "broken"})
    wire_server.answers(failed, failed, transcript(user("Q1"), assistant("A1")), ours("A2"))
    talk = client.conversation("m", user="ada", session_id=ID)

    with pytest.raises(InternalServerError):
        talk.messages
    with pytest.raises(InternalServerError):
        talk.ask("Q2")
    talk.ask("Q2")
    assert sent(wire_server) == [user("Q2")]


@pytest.mark.parametrize("answer", [theirs, ours], ids=["theirs", "ours"])
def test_tools(wire_server: WireServer, client: ChatServerClient, answer: Any) -> None:
    """A call is an answer, and its result is what is said next."""
    calling = {"index": 0, "message": assistant(None, tool_calls=CALLS)}
    wire_server.answers(answer("", choices=[calling]), answer("Rain."))
    talk = client.conversation("m", user="ada")
    call = (talk.ask("Weather?").choices[0].message.tool_calls or [])[0]
    result = {"role": "tool", "content": "rain", "tool_call_id": call.id}
    talk.ask(result)

    whole = [user("Weather?"), assistant(None, tool_calls=CALLS), result]
    assert sent(wire_server) == (whole if answer is theirs else [result])
    assert plain(talk.messages) == [*whole, assistant("Rain.")]


def test_stored_tool_calls(wire_server: WireServer, client: ChatServerClient) -> None:
    """They are in the metadata of a stored message, and loaded from there."""
    stored = [
        user("Weather?"),
        {**assistant(None), "metadata": {"tool_calls": CALLS, "finish_reason": "tool_calls"}},
        {"role": "tool", "content": "rain", "metadata": {"tool_call_id": "c1"}},
        {**assistant(None), "metadata": {"refusal": "No."}},
    ]
    wire_server.answers(transcript(*stored))
    talk = client.conversation("m", user="ada", session_id=ID)

    assert plain(talk.messages) == [
        user("Weather?"),
        assistant(None, tool_calls=CALLS),
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        assistant(None, refusal="No."),
    ]


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (assistant(None), assistant("")),
        (assistant(None, refusal="No."), assistant(None, refusal="No.")),
        ({**assistant("A"), "content": []}, assistant("")),
        (assistant(None, reasoning_content="Hm."), assistant("", reasoning_content="Hm.")),
    ],
)
def test_answers_without_words(
    wire_server: WireServer,
    client: ChatServerClient,
    answered: dict[str, Any],
    said: dict[str, Any],
) -> None:
    """They can be sent again: a request's message without content has to call or refuse."""
    wire_server.answers(theirs("", choices=[{"index": 0, "message": answered}]), theirs("A2"))
    talk = client.conversation("m")
    answer = talk.ask("Q1")
    talk.ask("Q2")

    assert sent(wire_server) == [user("Q1"), said, user("Q2")]
    # The answer itself is as it came.
    assert answer.choices[0].message.content == answered["content"]


def test_several_answers(wire_server: WireServer, client: ChatServerClient) -> None:
    """The first choice is part of the dialogue, wherever it stands."""
    choices = [{"index": place, "message": assistant(f"A{place}")} for place in (1, 0)]
    wire_server.answers(theirs("", choices=choices), theirs("A2"))
    talk = client.conversation("m", n=2)
    assert len(talk.ask("Q1").choices) == 2
    talk.ask("Q2")

    assert sent(wire_server) == [user("Q1"), assistant("A0"), user("Q2")]
    assert wire_server.requests[0].json()["n"] == 2


def test_options(wire_server: WireServer, client: ChatServerClient) -> None:
    """Those of the conversation hold for each question, those of a question over them."""
    wire_server.answers(theirs("A1"), event_stream(delta("A2"), DONE), theirs("A3"))
    talk = client.conversation("m", temperature=0, seed=1, extra_headers={"X-Mine": "all"})
    talk.ask("Q1", temperature=1)
    talk.stream("Q2", seed=2, extra_headers={"X-Mine": "one"}).response()
    talk.ask("Q3")

    asked = [(request.json(), request.headers["X-Mine"]) for request in wire_server.requests]
    assert [(body["temperature"], body["seed"], mine) for body, mine in asked] == [
        (1, 1, "all"),
        (0, 2, "one"),
        (0, 1, "all"),
    ]


@pytest.mark.parametrize("name", ["model", "user", "session_id", "system_prompt", "stream"])
def test_what_a_question_cannot_change(
    wire_server: WireServer, client: ChatServerClient, name: str
) -> None:
    """It belongs to the conversation."""
    talk: Any = client.conversation("m")
    with pytest.raises(TypeError, match=name):
        talk.ask("Q1", **{name: "x"})
    with pytest.raises(TypeError, match=name):
        talk.stream("Q1", **{name: "x"})
    with pytest.raises(TypeError):
        client.conversation("m", stream=True)  # type: ignore[call-arg]
    assert not wire_server.requests


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"model": ""}, "model"),
        ({"user": ""}, "user"),
        ({"session_id": 5}, "session_id"),
        ({"system_prompt": 5}, "system_prompt"),
    ],
)
def test_bad_conversations(client: ChatServerClient, arguments: dict[str, Any], param: str) -> None:
    """They are refused when they are made."""
    with pytest.raises(BadRequestError) as err:
        client.conversation(**{"model": "m", **arguments})
    assert err.value.param == param


def test_bad_questions(wire_server: WireServer, client: ChatServerClient) -> None:
    """They are refused before anything is sent, also before the transcript is loaded."""
    talk: Any = client.conversation("m", user="ada", session_id=ID)
    bad_ones: list[Any] = [[], 5, {"role": "user"}]
    for bad in bad_ones:
        with pytest.raises(BadRequestError):
            talk.ask(bad)
    with pytest.raises(TypeError):
        client.conversation("m").ask("Q1", tempo=5)  # type: ignore[call-arg]
    assert not wire_server.requests


def test_what_was_said_stays_said(wire_server: WireServer, client: ChatServerClient) -> None:
    """Whoever changes a message, a list or an answer later does not change the dialogue."""
    wire_server.answers(theirs("A1"), theirs("A2"))
    talk = client.conversation("m")
    question = Message(MessageRole.USER, [{"type": "text", "text": "Q1"}])
    answer = talk.ask(question)
    question.content[0]["text"] = "Q2"  # type: ignore[index]
    answer.choices[0].message.content = "changed"
    talk.messages[0].content = "changed"
    talk.messages.clear()
    talk.ask(question)

    parts = [[{"type": "text", "text": text}] for text in ("Q1", "Q2")]
    assert [message["content"] for message in sent(wire_server)] == [parts[0], "A1", parts[1]]


def test_somebody_elses_session(wire_server: WireServer, client: ChatServerClient) -> None:
    """It is not found when it is loaded, and not when the question is asked either."""
    wire_server.answers(NOT_FOUND)
    with pytest.raises(NotFoundError):
        client.conversation("m", user="bob", session_id=ID).ask("Q1")
