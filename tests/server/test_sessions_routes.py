"""/api/v2/sessions: opened, listed, changed, deleted."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from scripted_agents import Gate, ScriptedAgent
from server_wire import Api, check_refusal, serving
from session_wire import V2, api_of, cancel, open_session, say


def test_a_session_is_opened(api: Api) -> None:
    """201 with all that is known of it, its id at the top."""
    body = {"model": "echo", "user_id": "ada", "title": "T", "metadata": {"a": [1]}}
    answer = api.call("POST", V2, json=body)
    session = answer.json()
    assert answer.status_code == 201 and str(UUID(session["id"])) == session["id"]
    assert next(iter(session)) == "id"
    for key in body:
        assert session[key] == body[key]
    assert (session["status"], session["agent_type"], session["message_count"]) == (
        "active",
        "echo",
        0,
    )
    assert api.get(f"{V2}/{session['id']}").json() == session
    assert api.get(f"{V2}/{session['id'].upper()}").json() == session


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"user_id": "ada"}, 422, "model"),
        ({"model": "echo"}, 400, "user_id"),
        ({"model": "nobody", "user_id": "ada"}, 404, "model"),
        ({"model": "echo", "user_id": "ada", "title": 1}, 422, "title"),
        ({"model": "echo", "user_id": "ada", "metadata": []}, 422, "metadata"),
        (
            {"model": "echo", "user_id": "ada", "metadata": {"on_disconnect": 1}},
            400,
            "metadata.on_disconnect",
        ),
    ],
)
def test_a_session_that_cannot_be(api: Api, body: Any, status: int, param: str) -> None:
    """Refused with the field."""
    error = check_refusal(api.call("POST", V2, json=body), status)
    assert error["param"] == param


@pytest.mark.parametrize("value", ["\\u0000", "\\ud800"])
@pytest.mark.parametrize("field", ["title", "user_id", "model"])
def test_texts_that_cannot_be_stored(api: Api, field: str, value: str) -> None:
    """What not every database takes is refused, here as there."""
    body = {"model": "echo", "user_id": "ada", "title": "t", field: "X"}
    content = json.dumps(body).replace("X", value).encode()
    answer = api.post(content, V2, **{"Content-Type": "application/json"})
    check_refusal(answer)
    assert answer.status_code in (400, 404, 422)


@pytest.mark.parametrize("value", ["NaN", "1e999", '"\\ud800"'])
def test_metadata_that_cannot_be_stored(api: Api, value: str) -> None:
    """400, before anything is."""
    body = f'{{"model": "echo", "user_id": "ada", "metadata": {{"a": {value}}}}}'
    headers = {"Content-Type": "application/json"}
    check_refusal(api.call("POST", V2, data=body.encode(), headers=headers), 400)


def test_a_session_is_opened_once(api: Api) -> None:
    """With one key, however often it is sent."""
    body, headers = {"model": "echo", "user_id": "ada"}, {"Idempotency-Key": str(uuid4())}
    answers = [api.call("POST", V2, json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = api.call("POST", V2, json={**body, "title": "x"}, headers=headers)
    assert check_refusal(other, 409)["code"] == "idempotency_key_reused"


def test_sessions_are_listed(api: Api) -> None:
    """By cursor, each once, the latest first; of one status, if asked."""
    user = f"u-{uuid4()}"
    ids = [open_session(api, user_id=user) for _ in range(5)][::-1]
    api.call("PATCH", f"{V2}/{ids[1]}", json={"status": "archived"})
    found, cursor = [], ""
    while cursor is not None:
        page = api.get(V2, user_id=user, limit=2, cursor=cursor).json()
        found += [session["id"] for session in page["sessions"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
    assert found == ids
    archived = api.get(V2, user_id=user, status="archived").json()["sessions"]
    assert [(one["id"], one["archived"]) for one in archived] == [(ids[1], True)]
    active = api.get(V2, user_id=user, status="active", limit=2).json()
    assert [one["id"] for one in active["sessions"]] == [ids[0], ids[2]]
    other = api.get(V2, user_id=user, cursor=active["next_cursor"])
    assert check_refusal(other, 400)["code"] == "invalid_cursor"


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"status": "x"}, {"user_id": ""}])
def test_a_list_that_cannot_be(api: Api, params: Any) -> None:
    """422."""
    check_refusal(api.get(V2, **{"user_id": "ada", **params}), 422)


def test_a_session_is_changed(api: Api) -> None:
    """What is sent, and nothing else."""
    session_id = open_session(api, title="old", metadata={"a": 1})
    path = f"{V2}/{session_id}"
    assert api.call("PATCH", path, json={"title": "new"}).json()["metadata"] == {"a": 1}
    assert api.call("PATCH", path, json={"metadata": {}}).json()["title"] == "new"
    changed = api.call("PATCH", path, json={"status": "completed"}).json()
    assert (changed["status"], changed["archived"], changed["metadata"]) == ("completed", False, {})
    assert api.get(path).json() == changed
    check_refusal(api.call("PATCH", path, json={"status": "gone"}), 422)


def test_a_session_is_deleted(api: Api) -> None:
    """With its messages and files; then it is not there."""
    user = f"u-{uuid4()}"
    session_id = open_session(api, user_id=user)
    turn_id = say(api, session_id, "x").headers["X-Turn-Id"]
    form = {"file": ("a.txt", b"x", "text/plain")}
    api.call("POST", f"{V2}/{session_id}/files", files=form)
    answer = api.call("DELETE", f"{V2}/{session_id}")
    assert (answer.status_code, answer.json()) == (
        200,
        {"deleted": True, "session_id": session_id},
    )
    check_refusal(api.call("DELETE", f"{V2}/{session_id}"), 404)
    check_refusal(api.get(f"/atoms/chat/sessions/{session_id}", user_id=user), 404)
    check_refusal(api.get(f"/v1/chat/completions/{turn_id}/events"), 404)
    assert api.get("/atoms/chat/sessions", user_id=user).json()["total"] == 0


def test_deleting_leaves_no_answers(tmp_path: Path) -> None:
    """What idempotency keys stand for tells of sessions and files; it goes with them."""
    db, headers = tmp_path / "store.db", {"Idempotency-Key": "k"}
    with serving(db=str(db)) as api:
        body = {"model": "echo", "user_id": "ada", "title": "mine"}
        first = api.call("POST", V2, json=body, headers=headers).json()["id"]
        form = {"file": ("mine.txt", b"x", "text/plain")}
        api.call("POST", f"{V2}/{first}/files", files=form, headers=headers)
        say(api, first, "mine", headers=headers)
        assert api.call("DELETE", f"{V2}/{first}").status_code == 200
        connection = sqlite3.connect(db, timeout=60)
        kept = connection.execute("SELECT * FROM idempotency_keys").fetchall()
        connection.close()
        # The key is free again.
        assert kept == []
        assert api.call("POST", V2, json=body, headers=headers).json()["id"] != first


def test_deleting_stops_what_runs() -> None:
    """The turn ends first; its reader is told."""
    with serving(ScriptedAgent("a ", Gate(), name="slow")) as api:
        session_id = open_session(api, "slow")
        stream = say(api, session_id, "x", lazy=True)
        assert api.call("DELETE", f"{V2}/{session_id}").status_code == 200
        assert b"event: cancelled" in stream.content
        check_refusal(cancel(api, session_id), 404)


def test_a_users_own_key(api: Api, db: Path) -> None:
    """It opens and lists in its user's name; another's is 403."""
    user = f"u-{uuid4()}"
    mine = api_of(api, db, user)
    session_id = open_session(mine, user_id=None)
    assert [one["id"] for one in mine.get(V2).json()["sessions"]] == [session_id]
    assert check_refusal(mine.get(V2, user_id="ada"), 403)["code"] == "wrong_user"
    refused = mine.call("POST", V2, json={"model": "echo", "user_id": "ada"})
    assert check_refusal(refused, 403)["param"] == "user_id"
    check_refusal(api.get(V2), 400)
    mine.close()


def test_the_document_knows_them(api: Api) -> None:
    """Each route, each event with its schema."""
    document = api.get("/openapi.json").json()
    chat = document["paths"]["/api/v2/sessions/{session_id}/chat"]
    assert {*chat} == {"post", "delete"}
    stream = chat["post"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
    for ref in stream["discriminator"]["mapping"].values():
        assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    assert "/api/v2/sessions/{session_id}/chat/events" in document["paths"]
    assert document["paths"]["/chat"]["post"]["deprecated"] is True
