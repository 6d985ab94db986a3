"""How a server that is told to stop lets go: not ready at once, answers in time, readers told."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from chatserver_process import BOUND, ChatserverProcess, clean_environment

KEY = "a-key-of-the-operators-own-choice"
COMPLETIONS = "/v1/chat/completions"


@contextmanager
def server_with(tmp_path: Path, *arguments: str) -> Iterator[tuple[ChatserverProcess, str]]:
    """A server over a file, and where it answers; it ends in order and says nothing."""
    environment = clean_environment(tmp_path / "home", CHATSERVER_BOOTSTRAP_KEY=KEY)
    command = ("serve", "--port", "0", "--db", str(tmp_path / "chat.db"), *arguments)
    with ChatserverProcess(*command, environment=environment) as server:
        yield server, server.wait_until_ready()
        assert server.wait() == 0
        assert server.errors == ""


def call(method: str, url: str, **options: Any) -> requests.Response:
    """An answer, over a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {KEY}"
        return session.request(method, url, timeout=BOUND, **options)


def question(delay: float, **fields: Any) -> dict[str, Any]:
    """What echo answers with a pause before each word but the first."""
    messages = [{"role": "user", "content": "one two three"}]
    variables = {"variables": {"delay": delay}}
    return {"model": "echo", "messages": messages, "metadata": variables, **fields}


def wait_until_not_ready(url: str) -> requests.Response:
    """Ask until it says so."""
    give_up_at = time.monotonic() + BOUND
    while (answer := call("GET", f"{url}/health/ready")).status_code == 200:
        assert time.monotonic() < give_up_at, "it is still ready"
    return answer


def states_of(tmp_path: Path) -> list[str]:
    """How the turns in the store ended."""
    with closing(sqlite3.connect(tmp_path / "chat.db")) as connection:
        return [row[0] for row in connection.execute("SELECT state FROM turns ORDER BY started_at")]


def events_of(answer: requests.Response) -> list[Any]:
    """What stands in the events of a stream; [DONE] is a word."""
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_what_is_told_while_it_stops(tmp_path: Path) -> None:
    """Not ready, alive, no new turn, when to come again; a second SIGTERM hurries nobody."""
    with server_with(tmp_path, "--grace", "600") as (server, url):
        with call("POST", url + COMPLETIONS, json=question(60, stream=True), stream=True) as stream:
            server.send(signal.SIGTERM)
            assert wait_until_not_ready(url).status_code == 503
            server.send(signal.SIGTERM)
            assert call("GET", f"{url}/health/live").status_code == 200
            refused = call("POST", url + COMPLETIONS, json=question(0))
            assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
            assert refused.json()["error"]["code"] == "shutting_down"
            # What is read needs no turn.
            assert call("GET", f"{url}/v1/models").status_code == 200
            # Ctrl-C, now that it stops already, does hurry.
            server.send(signal.SIGINT)
            last = events_of(stream)[-1]["error"]
            assert last["code"] == "interrupted" and "the server was stopped" in last["message"]


def test_what_ends_in_time(tmp_path: Path) -> None:
    """An answer within the grace is whole, for its reader and in the store."""
    with server_with(tmp_path, "--grace", "600") as (server, url):
        asked = question(0.3, stream=True, user="ada")
        with call("POST", url + COMPLETIONS, json=asked, stream=True) as stream:
            server.send(signal.SIGTERM)
            assert events_of(stream)[-1] == "[DONE]"
    assert states_of(tmp_path) == ["completed"]


@pytest.mark.parametrize("grace", ["0", "0.2"])
def test_what_does_not_end_in_time(tmp_path: Path, grace: str) -> None:
    """Streams and whole answers are told, and the store says interrupted."""
    with server_with(tmp_path, "--grace", grace) as (server, url), ExitStack() as open_streams:
        asked = question(60, stream=True)
        streams = [
            open_streams.enter_context(
                call("POST", url + COMPLETIONS, json={**asked, "user": user}, stream=True)
            )
            for user in ("ada", "bob", "eve")
        ]
        server.send(signal.SIGTERM)
        for stream in streams:
            assert events_of(stream)[-1]["error"]["code"] == "interrupted"
    assert states_of(tmp_path) == ["interrupted"] * 3
    with server_with(tmp_path) as (server, url):
        # Nothing is blocked by it: whoever asks again is answered, in the same session.
        for stream, user in zip(streams, ("ada", "bob", "eve")):
            named = {"session_id": stream.headers["X-Session-Id"]}
            again = {**question(0), "user": user, "metadata": named}
            assert call("POST", url + COMPLETIONS, json=again).status_code == 200
        server.send(signal.SIGTERM)
    assert states_of(tmp_path) == ["interrupted"] * 3 + ["completed"] * 3


def test_readers_that_do_not_read(tmp_path: Path) -> None:
    """They hold nobody up: neither the others nor the end."""
    body = json.dumps({**question(0, stream=True), "user": "ada"}).encode()
    long = body.replace(b"one two three", b"a " * 200_000)
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Length: {len(long)}\r\n\r\n"
    with server_with(tmp_path, "--grace", "0.5") as (server, url), ExitStack() as opened:
        address = urlsplit(url)
        for _ in range(5):
            reader = socket.create_connection((address.hostname, address.port), timeout=BOUND)
            opened.enter_context(reader).sendall(head.encode() + long)
            assert reader.recv(12) == b"HTTP/1.1 200"
        server.send(signal.SIGTERM)
        assert server.wait() == 0
