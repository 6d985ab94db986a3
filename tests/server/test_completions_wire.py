"""POST /v1/chat/completions on the wire: whole answers, streams, sessions, headers."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from server_wire import COMPLETIONS, SESSIONS, Api, events_of, request, text_of

from chatserver_sdk import __version__


def test_a_whole_answer(api: Api) -> None:
    """The body has the shape of OpenAI's, with the session's id as its fingerprint."""
    answer = api.ask("one", "two words")

    body = answer.json()
    fingerprint = answer.headers["X-Session-Id"]
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    assert body.pop("id").startswith("chatcmpl-")
    assert abs(body.pop("created") - time.time()) < 3600
    assert body == {
        "object": "chat.completion",
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "two words"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "system_fingerprint": fingerprint,
    }
    assert str(UUID(fingerprint)) == fingerprint


@pytest.mark.parametrize("stream", [False, True])
def test_headers_come_before_the_answer(api: Api, stream: bool) -> None:
    """Version, request, session and turn are known before the first byte of the body."""
    with api.call("POST", COMPLETIONS, json=request("x", stream=stream), stream=True) as answer:
        headers = answer.headers
        assert headers["X-Chatserver"] == __version__
        assert len(headers["X-Request-Id"]) == 32
        assert str(UUID(headers["X-Turn-Id"])) == headers["X-Turn-Id"]
        fingerprint = headers["X-Session-Id"]
        answer.content
    again = api.ask("x")
    assert again.headers["X-Turn-Id"] != headers["X-Turn-Id"]
    assert again.headers["X-Session-Id"] != fingerprint


def test_a_stream(api: Api) -> None:
    """The role first, the text in pieces, reason and usage last, then [DONE]."""
    with api.stream("two words") as answer:
        events = events_of(answer)
        headers = answer.headers

    *chunks, done = events
    bodies = [chunk.json() for chunk in chunks]
    choices = [body["choices"][0] for body in bodies]
    assert done.data == "[DONE]"
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "two "},
        {"content": "words"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]
    assert [body.get("usage") for body in bodies[:-1]] == [None, None, None]
    assert bodies[-1]["usage"]["total_tokens"] == 4
    assert {body["object"] for body in bodies} == {"chat.completion.chunk"}
    assert {body["system_fingerprint"] for body in bodies} == {headers["X-Session-Id"]}
    assert len({(body["id"], body["model"], body["created"]) for body in bodies}) == 1
    assert headers["Cache-Control"] == "no-store" and headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("user", [None, "ada"])
def test_events_have_ids_for_resuming(api: Api, user: str | None) -> None:
    """`<turn>:<seq>`, rising; [DONE] has one as well."""
    with api.stream("a b c", user=user) as answer:
        ids = [event.id for event in events_of(answer)]

    turn = answer.headers["X-Turn-Id"]
    numbers = [int(id.removeprefix(f"{turn}:")) for id in ids]
    assert numbers == sorted(numbers) and numbers[0] == 1
    assert len(set(numbers[:-1])) == len(numbers) - 1 and numbers[-1] == numbers[-2]


def test_what_this_dialect_has_words_for(api: Api) -> None:
    """Thoughts, tool calls and widgets are chunks, tool results and modes are not."""
    with api.stream("x", model="showing") as answer:
        *chunks, done = events_of(answer)

    said = [event.json()["choices"][0] for event in chunks]
    calls = [call for choice in said for call in choice["delta"].get("tool_calls", ())]
    assert [choice["delta"].get("reasoning_content") for choice in said][1] == "hm"
    assert calls == [
        {
            "index": 0,
            "id": "c1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"a":'},
        },
        {"index": 0, "function": {"arguments": "1}"}},
    ]
    widgets = [choice["widget"] for choice in said if "widget" in choice]
    assert widgets == [
        {"widget_id": "w1", "widget_type": "form", "data": {"f": 1}},
        {"widget_id": "w1", "data": {"f": 2}},
    ]
    assert len(chunks) == 8 and done.data == "[DONE]"
    assert said[-1]["finish_reason"] == "length"
    assert chunks[-1].json()["usage"]["total_tokens"] == 30


def test_a_whole_answer_has_what_the_chunks_have(api: Api) -> None:
    """Thoughts and tool calls are not lost where nobody streams."""
    choice = api.ask("x", model="showing").json()["choices"][0]

    function = {"name": "look", "arguments": '{"a":1}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": "done",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("model", "status", "code", "kind"),
    [
        ("failing", 500, "agent_failed", "server_error"),
        ("refusing", 429, "quota", "invalid_request_error"),
    ],
)
def test_a_failed_answer(api: Api, model: str, status: int, code: str, kind: str) -> None:
    """Whole, it is an error with its status; streamed, an error event and no [DONE]."""
    whole = api.ask("x", model=model, user="ada")
    with api.stream("x", model=model, user="ada") as answer:
        *_, text, error = events_of(answer)

    for said in (whole.json()["error"], error.json()["error"]):
        assert (said["code"], said["type"]) == (code, kind)
        assert "secret" not in said["message"] and "Traceback" not in said["message"]
    assert whole.status_code == status and answer.status_code == 200
    assert error.json()["error"]["status"] == status
    assert text.json()["choices"][0]["delta"] == {"content": "half "}
    assert UUID(whole.headers["X-Session-Id"])


def test_a_failed_question_can_be_asked_again(api: Api) -> None:
    """The session goes on behind it; nothing is missing and nothing doubled."""
    first = api.ask("one", model="failing", user="ada")
    session_id = first.headers["X-Session-Id"]

    again = api.ask("again", user="ada", metadata={"session_id": session_id})

    assert again.status_code == 200
    assert api.history(session_id) == [("user", "one"), ("user", "again"), ("assistant", "again")]


@pytest.mark.parametrize("stream", [False, True])
def test_continuing_with_new_messages(api: Api, stream: bool) -> None:
    """The fingerprint continues the session, whichever way the answer comes."""
    first = api.ask("My mother hates me.", model="eliza", user="ada")
    session_id = first.json()["system_fingerprint"]

    second = api.call(
        "POST",
        COMPLETIONS,
        json=request("Yes.", user="ada", stream=stream, metadata={"session_id": session_id}),
    )

    assert second.status_code == 200 and second.headers["X-Session-Id"] == session_id
    assert [said for said in api.history(session_id) if said[0] == "user"] == [
        ("user", "My mother hates me."),
        ("user", "Yes."),
    ]
    assert api.history(session_id)[3] == ("assistant", "Yes.")


def test_continuing_with_the_whole_transcript(api: Api) -> None:
    """What OpenAI's clients do: everything again, the new question behind it."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    metadata = {"session_id": str(uuid4())}
    for text in ("one", "two", "two"):
        messages.append({"role": "user", "content": text})
        body = {"model": "echo", "messages": messages, "user": "ada", "metadata": metadata}
        answer = api.call("POST", COMPLETIONS, json=body).json()
        messages.append(answer["choices"][0]["message"])

    stored = api.history(metadata["session_id"])
    assert stored == [(message["role"], message["content"]) for message in messages]
    assert len(stored) == 7


def test_a_session_of_somebody_else(api: Api) -> None:
    """It is 404 for everybody but its user, and so is naming nobody."""
    session_id = api.ask("mine", user="ada").headers["X-Session-Id"]

    for user in ("bob", None):
        answer = api.ask("yours", user=user, metadata={"session_id": session_id})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert api.history(session_id) == [("user", "mine"), ("assistant", "mine")]


def test_an_unknown_uuid_opens_its_session(api: Api) -> None:
    """A client may choose the id; it is written the same way from then on."""
    session_id = str(uuid4())

    answer = api.ask("x", user="ada", metadata={"session_id": session_id.upper()})

    assert answer.json()["system_fingerprint"] == session_id
    for spelling in (session_id, session_id.upper()):
        assert len(api.history(spelling)) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_user_nothing_is_kept_but_counted(api: Api, stream: bool) -> None:
    """The figures know of it, and its fingerprint names nothing."""
    before = api.get("/api/v1/platform/stats").json()

    answer = api.call("POST", COMPLETIONS, json=request("a b", stream=stream))

    answer.content
    after = api.get("/api/v1/platform/stats").json()
    assert after["total_requests"] - before["total_requests"] == 1
    assert after["total_tokens"] - before["total_tokens"] == 4
    assert after["total_users"] == before["total_users"]
    missing = api.get(f"{SESSIONS}/{answer.headers['X-Session-Id']}", user_id="ada")
    assert missing.status_code == 404


GIVEN: list[dict[str, Any]] = [
    {"temperature": 0, "top_p": 1, "max_tokens": 1, "n": 1},
    {"temperature": None, "top_p": None, "max_tokens": None, "n": None, "stream": None},
    {"user": None, "metadata": None, "system_prompt": None},
    {"metadata": {"variables": {"delay": 0}}},
    {"stream_options": {"include_usage": True}, "tools": [], "seed": 7, "logprobs": False},
    {"model": "gpt-4"},
]


@pytest.mark.parametrize("fields", GIVEN, ids=lambda fields: ",".join(fields))
def test_what_is_accepted(api: Api, fields: dict[str, Any]) -> None:
    """Limits are inside, null is absent, and fields of other servers are overlooked."""
    body = {**request("hello"), **fields}

    answer = api.call("POST", COMPLETIONS, json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert answer.json()["model"] == body["model"]


CONTENTS: list[tuple[Any, str]] = [
    ("", ""),
    ("ü🙂\0\r\n\u2028 [DONE]\n\ndata: x", "ü🙂\0\r\n\u2028 [DONE]\n\ndata: x"),
    ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
    ([{"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "a"}], "a"),
]


@pytest.mark.parametrize(("content", "text"), CONTENTS)
def test_any_content_comes_back(api: Api, content: Any, text: str) -> None:
    """Whatever it holds, whole and streamed and stored it is the same."""
    message = {"role": "user", "content": content}
    body = {"model": "echo", "messages": [message], "user": "ada"}

    whole = api.call("POST", COMPLETIONS, json=body)
    with api.call("POST", COMPLETIONS, json={**body, "stream": True}, stream=True) as answer:
        streamed = events_of(answer)

    assert whole.json()["choices"][0]["message"]["content"] == text
    assert text_of(streamed) == text
    for session_id in (whole.headers["X-Session-Id"], answer.headers["X-Session-Id"]):
        assert api.history(session_id) == [("user", content), ("assistant", text)]


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "developer"])
def test_every_role(api: Api, role: str) -> None:
    """All of OpenAI's roles are taken; a developer's message is stored as the system's."""
    first = {"role": role, "content": "x", **({"tool_call_id": "c1"} if role == "tool" else {})}
    messages = [first, {"role": "user", "content": "y", "name": "Al"}]
    body = {"model": "echo", "messages": messages, "user": "ada"}

    answer = api.call("POST", COMPLETIONS, json=body)

    detail = api.get(f"{SESSIONS}/{answer.headers['X-Session-Id']}", user_id="ada").json()
    assert detail["messages"][0]["role"] == ("system" if role == "developer" else role)
    assert detail["messages"][1]["metadata"] == {"name": "Al"}


def test_a_large_message(api: Api) -> None:
    """Megabytes go in and come out."""
    text = "word " * 200_000

    assert api.ask(text).json()["choices"][0]["message"]["content"] == text
    assert api.ask("x" * 4_000_000).status_code == 200


@pytest.mark.parametrize("given", ["mine-1", "!~", "x" * 128])
def test_a_request_id_of_the_callers(api: Api, given: str) -> None:
    """What can stand in a header and a log is given back, in errors too."""
    for path in ("/health", "/nowhere", "/v1/models"):
        answer = api.call("GET", path, headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "two words", "ü", "x" * 129, "a\tb"])
def test_a_bad_request_id_is_replaced(api: Api, given: str) -> None:
    """Anything else is not repeated; a new one stands there instead."""
    headers = {"X-Request-Id": given.encode()}

    found = api.call("GET", "/health", headers=headers).headers["X-Request-Id"]

    assert len(found) == 32 and int(found, 16) >= 0
    assert json.dumps(found).isascii()


def test_tool_calls_are_kept(api: Api) -> None:
    """What an assistant asked to be called and what a tool answered stand in the history whole."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "Find it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "c1"},
    ]
    body = {"model": "echo", "messages": said, "user": "ada"}

    answer = api.call("POST", COMPLETIONS, json=body)

    path = f"/atoms/chat/sessions/{answer.headers['X-Session-Id']}?user_id=ada"
    stored = api.call("GET", path).json()["messages"]
    assert stored[1]["metadata"]["tool_calls"] == [call]
    assert stored[2]["metadata"]["tool_call_id"] == "c1"
