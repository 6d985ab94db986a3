"""POST /api/v2/sessions/{id}/chat: what is answered, and what is refused before the first byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_agents import Gate, ScriptedAgent
from server_wire import Api, check_refusal, serving
from session_wire import (
    V2,
    api_of,
    cancel,
    events_of,
    join,
    names,
    open_session,
    parse,
    say,
    text,
    words,
)


def test_a_streamed_answer(api: Api) -> None:
    """Its start, its text, the message as it is stored, the cost, exactly one end."""
    session_id = open_session(api)
    answer = say(api, session_id, "one two")
    events = events_of(answer)

    assert words(events) == "one two"
    found = names(events)
    assert found[0] == "interaction_start" and found[-1] == "interaction_end"
    assert found[-4:-1] == ["message", "usage", "completion"]
    turn_id = answer.headers["X-Turn-Id"]
    assert [event.id for event in events[:-1]] == [
        f"{turn_id}:{seq}" for seq in range(1, len(events))
    ]
    assert events[-1].id == events[-2].id
    assert events[0].body["session_id"] == answer.headers["X-Session-Id"] == session_id
    assert events[-2].body["status"] == "complete" and events[-2].body["finish_reason"] == "stop"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert api.history(session_id) == [("user", "one two"), ("assistant", "one two")]


def test_a_whole_answer(api: Api) -> None:
    """The same as one JSON object."""
    session_id = open_session(api)
    answer = say(api, session_id, "one two", stream=False)
    body = answer.json()

    assert answer.status_code == 200
    assert (body["message"]["role"], body["message"]["content"]) == ("assistant", text("one two"))
    assert body["turn_id"] == answer.headers["X-Turn-Id"]
    assert body["completion_id"] == f"chatcmpl-{body['turn_id'].replace('-', '')}"
    assert (body["finish_reason"], body["usage"]["completion_tokens"]) == ("stop", 2)


def test_every_kind_of_event(api: Api) -> None:
    """What an agent says is said in this dialect's words, in order."""
    events = events_of(say(api, open_session(api, "showing"), "x"))
    assert names(events) == [
        "interaction_start",
        "thought_delta",
        "tool_call",
        "tool_call_delta",
        "tool_result",
        "mode_changed",
        "widget",
        "widget_update",
        "text_delta",
        "message",
        "usage",
        "completion",
        "interaction_end",
    ]
    assert events[-2].body["finish_reason"] == "length"
    whole = say(api, open_session(api, "showing"), "x", stream=False).json()["message"]
    assert whole["tool_calls"] == [{"id": "c1", "name": "look", "arguments": '{"a":1}'}]
    assert whole["tool_results"] == [{"call_id": "c1", "result": "found"}]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("failing", 500, "agent_failed"),
        ("declining", 422, "unsuitable"),
        ("refusing", 429, "quota"),
    ],
)
def test_a_failure(api: Api, model: str, status: int, code: str) -> None:
    """Streamed it is the one terminal event, whole it is a status; no traceback in either."""
    events = events_of(say(api, open_session(api, model), "x"))
    assert names(events)[-2:] == ["error", "interaction_end"]
    assert (events[-2].body["status"], events[-2].body["code"]) == (status, code)
    assert "secret" not in str(events)
    whole = say(api, open_session(api, model), "x", stream=False)
    assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)


def test_a_conversation(api: Api) -> None:
    """Each message is a new one, the same words too; the first gives the session its title."""
    session_id = open_session(api)
    for _ in range(2):
        assert words(events_of(say(api, session_id, "again"))) == "again"
    assert len(api.history(session_id)) == 4
    assert api.get(f"{V2}/{session_id}").json()["title"] == "again"


GOOD = {"message": {"role": "user", "content": text("x")}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "message"),
        ({"message": {"role": "user"}}, "message.content"),
        ({"message": {"role": "robot", "content": text("x")}}, "message.role"),
        ({"message": {"role": "assistant", "content": text("x")}}, "message.role"),
        ({"message": {"role": "user", "content": []}}, "message.content"),
        ({"message": {"role": "user", "content": "  "}}, "message.content"),
        ({"message": {"role": "user", "content": text(" ")}}, "message.content"),
        ({"message": {"role": "user", "content": [{"type": "text"}]}}, "message.content[0].text"),
        (
            {"message": {"role": "user", "content": [{"type": "image"}]}},
            "message.content[0].file_id",
        ),
        ({"message": {"role": "user", "content": [{"type": "sound"}]}}, "message.content[0]"),
        ({**GOOD, "stream": "no"}, "stream"),
        ({**GOOD, "metadata": {"on_disconnect": "explode"}}, "metadata.on_disconnect"),
        ({**GOOD, "metadata": {"variables": 1}}, "metadata.variables"),
    ],
)
def test_a_message_that_is_none(api: Api, body: dict[str, Any], param: str) -> None:
    """400 with the field, before anything is stored or sent."""
    session_id = open_session(api)
    answer = api.call("POST", f"{V2}/{session_id}/chat", json=body)
    assert check_refusal(answer, 400)["param"] == param
    assert api.history(session_id) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"message": NaN}'])
def test_a_body_that_is_none(api: Api, body: bytes) -> None:
    """400; for an unknown session 404 whatever the body."""
    check_refusal(api.post(body, f"{V2}/{open_session(api)}/chat"), 400)
    check_refusal(api.post(body, f"{V2}/{uuid4()}/chat"), 404)


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_numbers_that_are_none(api: Api, number: str) -> None:
    """What could not go out again is not taken in."""
    session_id = open_session(api)
    message = '{"role": "user", "content": "x"}'
    for body in (
        f'{{"message": {message}, "metadata": {{"a": {number}}}}}',
        f'{{"message": {{"role":"user","content":[{{"type":"text","text":"x","n":{number}}}]}}}}',
    ):
        check_refusal(api.post(body.encode(), f"{V2}/{session_id}/chat"), 400)


def test_a_file_that_is_not_there(api: Api) -> None:
    """404, also for a file of another session of the same user."""
    kept = api.call(
        "POST", f"{V2}/{open_session(api)}/files", files={"file": ("a.txt", b"x", "text/plain")}
    ).json()["file_id"]
    for file_id in (str(uuid4()), "x", kept):
        answer = say(api, open_session(api), [{"type": "file", "file_id": file_id}])
        check_refusal(answer, 404)


@pytest.mark.parametrize("session_id", [str(uuid4()), "tiger-castle", "%00", "x" * 500])
def test_an_unknown_session(api: Api, session_id: str) -> None:
    """404 on every route, in the one shape of errors."""
    for answer in (
        say(api, session_id, "x"),
        join(api, session_id),
        cancel(api, session_id),
        api.get(f"{V2}/{session_id}"),
        api.call("PATCH", f"{V2}/{session_id}", json={"title": "t"}),
        api.call("DELETE", f"{V2}/{session_id}"),
        api.get(f"{V2}/{session_id}/files"),
        api.get(f"{V2}/{session_id}/files/f"),
        api.get(f"{V2}/{session_id}/files/f/content"),
        api.call("DELETE", f"{V2}/{session_id}/files/f"),
        api.call("POST", f"{V2}/{session_id}/files", files={"file": ("a.txt", b"x")}),
    ):
        check_refusal(answer, 404)


@pytest.mark.parametrize("status", ["archived", "completed"])
def test_a_session_that_has_ended(api: Api, status: str) -> None:
    """409 until it is active again, for completions as well."""
    session_id = open_session(api)
    api.call("PATCH", f"{V2}/{session_id}", json={"status": status})
    assert check_refusal(say(api, session_id, "x"), 409)["code"] == f"session_{status}"
    asked = api.ask("x", user="ada", metadata={"session_id": session_id})
    assert check_refusal(asked, 409)["code"] == f"session_{status}"
    api.call("PATCH", f"{V2}/{session_id}", json={"status": "active"})
    assert say(api, session_id, "x").status_code == 200


def test_a_model_that_is_gone(tmp_path: Path) -> None:
    """A session outlives its agent; 404 says which model is not there."""
    db = str(tmp_path / "store.db")
    with serving(ScriptedAgent("hi", name="brief"), db=db) as api:
        session_id = open_session(api, "brief")
    with serving(db=db) as api:
        assert check_refusal(say(api, session_id, "x"), 404)["code"] == "model_not_found"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "GET", "HEAD"])
def test_other_methods(api: Api, method: str) -> None:
    """405 with those that there are."""
    answer = api.call(method, f"{V2}/{open_session(api)}/chat")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, DELETE")
    answer = api.call("POST", f"{V2}/{open_session(api)}/chat/events")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/chat", "/chat/cancel"])
def test_the_old_routes(api: Api, path: str) -> None:
    """They are gone, and say where to go."""
    error = check_refusal(api.call("POST", path, data={"message": "x"}), 410)
    assert "/api/v2/sessions/{session_id}/chat" in error["message"]


def test_a_second_message_meanwhile() -> None:
    """409 while an answer is given, and nothing of it is stored."""
    gate = Gate()
    with serving(ScriptedAgent("a ", gate, "b", name="slow")) as api:
        session_id = open_session(api, "slow")
        first = say(api, session_id, "x", lazy=True)
        assert check_refusal(say(api, session_id, "y"), 409)["code"] == "turn_in_progress"
        gate.open()
        assert words(list(parse(first.content))) == "a b"
        assert api.history(session_id) == [("user", "x"), ("assistant", "a b")]


def test_the_same_message_sent_again(api: Api) -> None:
    """With one key it is one message: the same events; in another session the key is taken."""
    session_id, headers = open_session(api), {"Idempotency-Key": str(uuid4())}
    first = say(api, session_id, "x", headers=headers)
    assert say(api, session_id, "x", headers=headers).content == first.content
    assert len(api.history(session_id)) == 2
    for other, said in ((session_id, "y"), (open_session(api), "x")):
        refused = check_refusal(say(api, other, said, headers=headers), 409)
        assert refused["code"] == "idempotency_key_reused"


def test_somebody_elses_session(api: Api, db: Path) -> None:
    """For a user it is not there, on every route; their own is, without naming the user."""
    mine = api_of(api, db, "bob")
    theirs = open_session(api, user_id="ada")
    say(api, theirs, "x")
    for answer in (
        say(mine, theirs, "x"),
        join(mine, theirs),
        cancel(mine, theirs),
        mine.get(f"{V2}/{theirs}"),
        mine.call("PATCH", f"{V2}/{theirs}", json={"title": "mine"}),
        mine.call("DELETE", f"{V2}/{theirs}"),
        mine.get(f"{V2}/{theirs}/files"),
    ):
        check_refusal(answer, 404)
    own = open_session(mine, user_id=None)
    assert words(events_of(say(mine, own, "hi"))) == "hi"
    turn_id = say(api, theirs, "x").headers["X-Turn-Id"]
    check_refusal(join(mine, own, turn_id=turn_id), 404)
    mine.close()


ODD = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "role", "content", "type", "text", "file_id", "metadata"]),
            inner,
            max_size=4,
        ),
    ).map(lambda value: json.dumps(value).encode()),
)


@given(ODD)
def test_whatever_is_sent(api: Api, body: bytes) -> None:
    """It is an answer or a refusal, and never a failure of the server."""
    for path in (
        f"{V2}/{SESSION}/chat",
        f"{V2}/{SESSION}/files",
        V2,
        f"{V2}/{SESSION}/chat/events",
    ):
        for kind in ("application/json", "multipart/form-data; boundary=b"):
            answer = api.post(body, path, **{"Content-Type": kind})
            assert answer.status_code < 500, answer.text
            check_refusal(answer)


SESSION = str(uuid4())


@given(ODD)
def test_whatever_is_said_to_a_session(api: Api, body: bytes) -> None:
    """The same to one that is there."""
    session_id = open_session(api)
    answer = api.post(body, f"{V2}/{session_id}/chat")
    assert answer.status_code < 500, answer.text
    files = api.post(
        body, f"{V2}/{session_id}/files", **{"Content-Type": "multipart/form-data; boundary=b"}
    )
    check_refusal(files)
