"""Readers of a real server: many at once, some that go away, some that ask too much."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from scripted_agents import EndlessAgent, Gate, ScriptedAgent
from server_wire import (
    COMPLETIONS,
    Api,
    check_refusal,
    connected,
    events_of,
    raw_request,
    request,
    send_raw,
    text_of,
)

from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.storage import StoreUnavailable
from chatserver_sdk.testing import running_server

MANY = 50


@pytest.fixture
def gate() -> Gate:
    """What `held` waits at in the middle of its answer."""
    return Gate()


@pytest.fixture
def held(gate: Gate) -> ScriptedAgent:
    """An agent that stops in the middle until the gate is open."""
    return ScriptedAgent("first ", gate, "second", name="held")


@pytest.fixture
def api(held: ScriptedAgent) -> Iterator[Api]:
    """A server with that agent, and with one that never stops."""
    with running_server(agents=[held, EndlessAgent("x" * 100)]) as server:
        api = Api(server.base_url, server.api_key)
        yield api
        api.close()


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What the work gives, done so many times side by side."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def hang_up(api: Api, **fields: Any) -> str:
    """Ask `held` for a stream and close the connection at its first text; the session's id."""
    body = json.dumps(request("x", model="held", stream=True, **fields)).encode()
    headers = {
        b"Authorization": f"Bearer {api.key}".encode(),
        b"Content-Type": b"application/json",
    }
    seen = b""
    with connected(api.base_url) as connection:
        connection.sendall(raw_request(COMPLETIONS.encode(), headers, body, b"POST"))
        while b"first " not in seen:
            seen += connection.recv(65536)
    head = seen.partition(b"\r\n\r\n")[0].decode().lower()
    return next(line[14:] for line in head.splitlines() if line.startswith("x-session-id: "))


def wait_for(found: Callable[[], bool]) -> None:
    """Ask until it is so; each question takes the server a while, so this is no busy loop."""
    assert any(found() for _ in range(20_000))


def test_many_streams_at_once(api: Api, gate: Gate, held: ScriptedAgent) -> None:
    """Fifty answers are open at the same time; each reader gets its own, whole."""
    all_begun = threading.Barrier(MANY, action=gate.open, timeout=60)

    def read(number: int) -> Any:
        mine = Api(api.base_url, api.key)
        with mine.stream(f"question {number}", model="held", user=f"user {number}") as answer:
            lines = answer.iter_lines(chunk_size=1)
            seen = next(line for line in lines if b"first " in line)
            all_begun.wait()
            rest = list(lines)
        history = mine.history(answer.headers["X-Session-Id"], f"user {number}")
        mine.close()
        return seen, rest[-2], history

    for number, (_, last, history) in enumerate(at_once(MANY, read)):
        assert last == b"data: [DONE]"
        assert history == [("user", f"question {number}"), ("assistant", "first second")]
    assert len(held.questions) == MANY


def test_many_words_at_once(api: Api) -> None:
    """Streams that never wait share the server, and nothing of any of them is lost."""
    texts = [f"{number} " * 500 for number in range(8)]

    def read(number: int) -> str:
        mine = Api(api.base_url, api.key)
        with mine.stream(texts[number], user="ada") as answer:
            text = text_of(events_of(answer))
        mine.close()
        return text

    assert at_once(8, read) == texts


def test_one_session_asked_by_many(api: Api) -> None:
    """Some are told that it is busy; whoever got an answer finds it in a history without gaps."""
    session = {"session_id": str(uuid4())}

    def ask(number: int) -> int:
        mine = Api(api.base_url, api.key)
        status = mine.ask(f"q{number}", user="ada", metadata=session).status_code
        mine.close()
        return status

    statuses = Counter(at_once(20, ask))

    history = api.history(session["session_id"])
    assert set(statuses) <= {200, 409} and statuses[200] >= 1
    assert len(history) == 2 * statuses[200]
    assert all(history[at][1] == history[at + 1][1] for at in range(0, len(history), 2))


def test_a_busy_session_says_so(api: Api, gate: Gate) -> None:
    """409 while an answer is given there, and 200 behind it."""
    session = {"session_id": str(uuid4())}
    with api.stream("one", model="held", user="ada", metadata=session) as answer:
        assert gate.reached.wait(60)
        error = check_refusal(api.ask("two", user="ada", metadata=session), 409)
        elsewhere = api.ask("two", user="ada")
        gate.open()
        assert text_of(events_of(answer)) == "first second"

    assert (error["code"], elsewhere.status_code) == ("turn_in_progress", 200)
    assert api.ask("two", user="ada", metadata=session).status_code == 200


def test_a_reader_who_goes_does_not_stop_a_stored_answer(api: Api, gate: Gate) -> None:
    """It is said to its end and stands in the history."""
    session_id = hang_up(api, user="ada")
    before = api.history(session_id)
    gate.open()

    wait_for(lambda: len(api.history(session_id)) == 2)

    assert before == [("user", "x")]
    assert api.history(session_id)[1] == ("assistant", "first second")
    again = api.ask("y", user="ada", metadata={"session_id": session_id})
    assert again.status_code == 200


def test_readers_who_go_leave_the_server_alone(api: Api, held: ScriptedAgent) -> None:
    """Ten that hang up, with and without a history, and everybody else is served."""
    at_once(10, lambda number: hang_up(api, user="ada" if number % 2 else None))

    assert len(held.questions) == 10 and held.ended == 0
    assert api.ask("hello").json()["choices"][0]["message"]["content"] == "hello"


def test_nobody_waits_for_an_endless_answer(api: Api) -> None:
    """While one reader is given words without end, others are answered."""
    with api.stream("x", model="endless", user="ada") as answer:
        chunks = answer.iter_content(65536)
        next(chunks)
        assert api.ask("hello", user="bob").status_code == 200
        next(chunks)


def test_a_server_that_stops_ends_its_answers(held: ScriptedAgent, gate: Gate) -> None:
    """Readers get an error that says why, and no [DONE]."""
    with running_server(agents=[held]) as server:
        api = Api(server.base_url, server.api_key)
        answer = api.stream("x", model="held", user="ada")
        assert gate.reached.wait(60)

    *_, last = events_of(answer)
    api.close()
    error = last.json()["error"]
    assert (error["code"], error["type"], error["status"]) == ("interrupted", "server_error", 503)


def test_a_web_socket_is_refused(api: Api) -> None:
    """There is none here yet; asking for one is no way around the key."""
    upgrade = {
        b"Connection": b"Upgrade",
        b"Upgrade": b"websocket",
        b"Sec-WebSocket-Version": b"13",
        b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in (b"/", COMPLETIONS.encode()):
        answer = send_raw(api.base_url, raw_request(path, upgrade))
        assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 404 "))


def test_a_server_that_cannot_start_says_why(tmp_path: Any) -> None:
    """A store that cannot be opened and an alias of nothing, as their own exceptions."""
    with pytest.raises(StoreUnavailable, match="directory"):
        with running_server(db=str(tmp_path)):
            raise AssertionError("it started")
    with pytest.raises(ConfigurationError, match="no such agent"):
        with running_server(aliases={"x": "nope"}):
            raise AssertionError("it started")
