"""The header Idempotency-Key: a request that is sent twice is carried out once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from scripted_agents import Gate, ScriptedAgent
from server_wire import (
    COMPLETIONS,
    PLATFORM,
    SESSIONS,
    Api,
    check_refusal,
    give_key,
    request,
    serving,
)

from chatserver_sdk.models import Role
from chatserver_sdk.models.events import TurnFailed

OWNERS: list[dict[str, Any]] = [{"user": "ada"}, {}]


def new_key() -> str:
    """A key that no other test uses."""
    return str(uuid4())


def keyed(api: Api, key: str, *texts: str, **fields: Any) -> requests.Response:
    """The answer to a completion with a key."""
    body = json.dumps(request(*texts, **fields)).encode()
    return api.post(body, **{"Idempotency-Key": key})


def sessions_of(api: Api, user: str) -> list[Any]:
    """A user's sessions."""
    found: list[Any] = api.get(SESSIONS, user_id=user).json()["sessions"]
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stored", [True, False])
def test_the_same_answer(api: Api, stored: bool, stream: bool) -> None:
    """Byte for byte, with the same ids, and in the history it stands once."""
    user, key = f"user {uuid4()}", new_key()
    fields: dict[str, Any] = {"stream": stream, **({"user": user} if stored else {})}

    answers = [keyed(api, key, "a b c", model="showing", **fields) for _ in range(3)]

    assert {answer.content for answer in answers} == {answers[0].content}
    assert len({answer.headers["X-Turn-Id"] for answer in answers}) == 1
    assert len({answer.headers["X-Session-Id"] for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {200}
    assert [s["message_count"] for s in sessions_of(api, user)] == ([2] if stored else [])


@pytest.mark.parametrize("first", OWNERS)
@pytest.mark.parametrize("second", OWNERS)
def test_another_body(api: Api, first: dict[str, Any], second: dict[str, Any]) -> None:
    """409 with a code of its own, whether or not either is stored; the first one stays."""
    key = new_key()
    before = keyed(api, key, "a", **first)

    error = check_refusal(keyed(api, key, "b", **second), 409)

    assert error["code"] == "idempotency_key_reused"
    assert keyed(api, key, "a", **first).content == before.content


@pytest.mark.parametrize("bad", ["", "a b", "x" * 257, "ü", "a\tb"], ids=lambda bad: repr(bad)[:9])
@pytest.mark.parametrize("path", [COMPLETIONS, f"{PLATFORM}/admins"])
def test_keys_that_are_none(api: Api, path: str, bad: str) -> None:
    """400 with the header's name, on every route that creates something."""
    admin = {"workos_id": new_key(), "email": f"{new_key()}@x.org"}
    body = request("x") if path == COMPLETIONS else admin
    headers = {"Idempotency-Key": bad.encode("latin-1"), "Content-Type": "application/json"}

    answer = api.call("POST", path, data=json.dumps(body), headers=headers)

    assert check_refusal(answer, 400)["param"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["!", "~" * 256, 'a"b\\c'])
def test_keys_at_the_limits(api: Api, key: str) -> None:
    """Every visible ASCII character, up to 256 of them."""
    text = new_key()

    first = keyed(api, key, text, user=text)

    assert first.status_code == 200
    assert keyed(api, key, text, user=text).content == first.content


@pytest.mark.parametrize(
    "bad",
    [
        {"model": "nope"},
        {"temperature": 7},
        {"metadata": {"session_id": "x"}},
        {"metadata": {"session_id": "0a1b2c3d-0000-4000-8000-0000000000ff", "x": 1e999}},
    ],
)
def test_a_refused_request_takes_no_key(api: Api, bad: dict[str, Any]) -> None:
    """What is sent in its place is carried out."""
    key = new_key()

    check_refusal(keyed(api, key, "a", user="ada", **bad))

    assert keyed(api, key, "a", user="ada").status_code == 200


def test_keys_are_each_callers_own(tmp_path: Path) -> None:
    """Two principals may use one text, and neither learns of the other."""
    db, key = str(tmp_path / "store.db"), new_key()
    with serving(db=db) as root:
        other = Api(root.base_url, give_key(db, new_principal(db), Role.SERVICE))
        answers = [keyed(api, key, api.key or "", user="ada") for api in (root, other)]
        other.close()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["X-Turn-Id"] != answers[1].headers["X-Turn-Id"]


def new_principal(db: str) -> str:
    """A principal, written into the database beside the server."""
    connection = sqlite3.connect(db, timeout=60)
    with connection:
        row = (str(uuid4()),)
        connection.execute("INSERT INTO principals (id, created_at) VALUES (?, 0)", row)
    connection.close()
    return row[0]


@pytest.fixture
def gate() -> Gate:
    """What `held` waits at in the middle of its answer."""
    return Gate()


@pytest.fixture
def held(gate: Gate) -> ScriptedAgent:
    """An agent that stops in the middle until the gate is open."""
    return ScriptedAgent("first ", gate, "second", name="held")


@pytest.fixture
def live(held: ScriptedAgent) -> Iterator[Api]:
    """A server with that agent."""
    with serving(held) as api:
        yield api


@pytest.mark.parametrize("fields", OWNERS)
@pytest.mark.parametrize("stream", [False, True])
def test_many_at_the_same_instant(
    live: Api, gate: Gate, held: ScriptedAgent, fields: dict[str, Any], stream: bool
) -> None:
    """Thirty requests with one key are one turn, whose end all of them wait for."""
    key, many = new_key(), 30
    asking = Api(live.base_url, live.key)

    def ask(number: int) -> tuple[int, bytes]:
        mine = Api(live.base_url, live.key)
        answer = keyed(mine, key, "x", model="held", stream=stream, **fields)
        mine.close()
        return answer.status_code, answer.content

    with ThreadPoolExecutor(many) as pool:
        answers = [pool.submit(ask, number) for number in range(many)]
        assert gate.reached.wait(60)
        check_refusal(keyed(asking, key, "y", model="held", **fields), 409)
        gate.open()
        seen = {answer.result() for answer in answers}
    asking.close()

    ((status, content),) = seen
    assert status == 200 and b"second" in content and len(held.questions) == 1


class FailsOnce(ScriptedAgent):
    """Fails, and succeeds when it is asked again."""

    def __init__(self, failure: TurnFailed) -> None:
        super().__init__("half ", failure, name="once")
        self._failing = self._steps

    async def answer(self, question: Any) -> Any:
        self._steps = self._failing if not self.questions else ("whole",)
        async for said in super().answer(question):
            yield said


@pytest.mark.parametrize("window", [60, 0])
@pytest.mark.parametrize("fields", OWNERS)
def test_a_failed_turn_frees_its_key(window: float, fields: dict[str, Any]) -> None:
    """The agent is asked again, in the same session, and the question is stored once."""
    agent = FailsOnce(TurnFailed("try again", "overloaded", 503))
    with serving(agent, resume_window=window) as api:
        key = new_key()
        answers = [keyed(api, key, "x", model="once", **fields) for _ in range(3)]
        session_id = answers[1].headers["X-Session-Id"]
        history = api.history(session_id) if fields else []

    assert [answer.status_code for answer in answers][:2] == [503, 200]
    # Without a history and a window the answer is gone by the third time.
    assert answers[2].status_code == (200 if window or fields else 410)
    assert len(agent.questions) == 2
    if fields:
        assert {answer.headers["X-Session-Id"] for answer in answers} == {session_id}
        assert answers[1].content == answers[2].content
        assert history == [("user", "x"), ("assistant", "whole")]
        assert [message.text for message in agent.questions[1].messages] == ["x"]


@pytest.mark.parametrize("fields", OWNERS)
def test_a_freed_key_for_another_request(fields: dict[str, Any]) -> None:
    """It may be used for something else, and then stands for that."""
    agent = FailsOnce(TurnFailed("try again", "overloaded", 503))
    with serving(agent) as api:
        key = new_key()
        failed = keyed(api, key, "x", model="once", **fields)
        other = keyed(api, key, "y", model="once", **fields)
        again = keyed(api, key, "y", model="once", **fields)
        error = check_refusal(keyed(api, key, "x", model="once", **fields), 409)

    assert [failed.status_code, other.status_code] == [503, 200]
    assert other.content == again.content and error["code"] == "idempotency_key_reused"
    assert failed.headers["X-Session-Id"] != other.headers["X-Session-Id"]


@pytest.mark.parametrize("fields", OWNERS)
def test_a_failure_that_is_an_answer(api: Api, fields: dict[str, Any]) -> None:
    """What the question is at fault for stands: the same refusal comes again, nobody is asked."""
    key = new_key()

    answers = [keyed(api, key, "x", model="declining", **fields) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].headers["X-Turn-Id"] == answers[1].headers["X-Turn-Id"]


@pytest.mark.parametrize("fields", OWNERS)
def test_a_failure_of_the_moment(api: Api, fields: dict[str, Any]) -> None:
    """An agent that says 429 or 408 may say something else later: it is asked again."""
    key = new_key()

    answers = [keyed(api, key, "x", model="refusing", **fields) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [429, 429]
    assert answers[0].headers["X-Turn-Id"] != answers[1].headers["X-Turn-Id"]


def test_an_answer_that_is_gone() -> None:
    """410 with a code of its own where nothing of the turn is left; another body is still 409."""
    with serving(resume_window=0) as api:
        key = new_key()
        assert keyed(api, key, "x").status_code == 200
        gone = check_refusal(keyed(api, key, "x"), 410)
        other = check_refusal(keyed(api, key, "y"), 409)

    assert gone["code"] == "idempotent_answer_gone"
    assert other["code"] == "idempotency_key_reused"


def test_a_key_outlives_the_server(tmp_path: Path) -> None:
    """Another process gives the same answer, from the store."""
    db, key = str(tmp_path / "store.db"), new_key()
    answers = []
    for window in (60, 0):
        with serving(db=db, resume_window=window) as api:
            answers += [keyed(api, key, "a b", user="ada", stream=True) for _ in range(2)]
            count = sessions_of(api, "ada")[0]["message_count"]

    assert {answer.content for answer in answers} == {answers[0].content} and count == 2


def test_a_turn_that_died_with_its_process(tmp_path: Path) -> None:
    """Its key is free: the question is asked again where it stands."""
    db, key = str(tmp_path / "store.db"), new_key()
    with serving(db=db) as api:
        turn_id = keyed(api, key, "x", user="ada").headers["X-Turn-Id"]
    connection = sqlite3.connect(db)
    connection.executescript(
        "UPDATE turns SET state = 'running', ended_at = NULL; DELETE FROM turn_logs;"
        "DELETE FROM messages WHERE role = 'assistant'; UPDATE sessions SET message_count = 1"
    )
    connection.close()
    with serving(db=db) as api:
        again = keyed(api, key, "x", user="ada")
        history = api.history(again.headers["X-Session-Id"])

    assert again.status_code == 200 and again.headers["X-Turn-Id"] != turn_id
    assert history == [("user", "x"), ("assistant", "x")]


LOST = ["DELETE FROM turn_logs", "DELETE FROM turn_logs; DELETE FROM messages; DELETE FROM turns"]


@pytest.mark.parametrize("statements", LOST)
def test_a_turn_that_was_deleted(tmp_path: Path, statements: str) -> None:
    """It, or what it said: its key stands for nothing that could be given, and is not free."""
    db, key = str(tmp_path / "store.db"), new_key()
    with serving(db=db, resume_window=0) as api:
        keyed(api, key, "x", user="ada")
        connection = sqlite3.connect(db, timeout=60)
        connection.executescript(statements)
        connection.close()
        error = check_refusal(keyed(api, key, "x", user="ada"), 410)

    assert error["code"] == "idempotent_answer_gone"


def add(api: Api, key: str, email: str) -> requests.Response:
    """The answer to making somebody an administrator, with a key."""
    body = {"workos_id": email, "email": email}
    headers = {"Idempotency-Key": key}
    return api.call("POST", f"{PLATFORM}/admins", json=body, headers=headers)


def test_an_administrator_is_added_once() -> None:
    """Many at the same instant get one answer; a refusal takes no key; another body is 409."""
    with serving() as api:
        key, other = new_key(), new_key()

        def ask(number: int) -> tuple[int, bytes]:
            mine = Api(api.base_url, api.key)
            answer = add(mine, key, "ada@x.org")
            mine.close()
            return answer.status_code, answer.content

        with ThreadPoolExecutor(20) as pool:
            answers = set(pool.map(ask, range(20)))
        reused = check_refusal(add(api, key, "bob@x.org"), 409)
        exists = check_refusal(add(api, other, "ada@x.org"), 409)
        api.call("DELETE", f"{PLATFORM}/admins/ada@x.org")
        replayed = add(api, key, "ada@x.org")
        added = add(api, other, "ada@x.org")
        # The same key for another route is another key.
        elsewhere = keyed(api, key, "x")
        actions = [entry["action"] for entry in api.get(f"{PLATFORM}/audit").json()["entries"]]

    assert answers == {(201, b'{"status":"added","email":"ada@x.org"}')}
    assert (reused["code"], exists["code"]) == ("idempotency_key_reused", "admin_exists")
    assert (replayed.status_code, replayed.content) == answers.pop()
    assert added.status_code == 201 and elsewhere.status_code == 200
    assert actions[:3] == ["admin.added", "admin.removed", "admin.added"]
