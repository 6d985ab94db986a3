"""How `chatserver serve` ends: in order, whatever it is doing, with its store intact."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatserver_process import BOUND, ChatserverProcess, clean_environment, in_use
from chatserver_sdk import ChatServerClient, StreamError
from chatserver_sdk.server import Settings, Started, process, serve

KEY = "a-key-of-the-operators-own-choice"
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def server_on(database: Path, home: Path) -> ChatserverProcess:
    environment = clean_environment(home, CHATSERVER_BOOTSTRAP_KEY=KEY)
    arguments = ("--port", "0", "--db", str(database))
    return ChatserverProcess("serve", *arguments, environment=environment)


@pytest.mark.parametrize("number", SIGNALS)
def test_idle(tmp_path: Path, number: signal.Signals) -> None:
    """A server without work ends at once, and says nothing more."""
    with server_on(tmp_path / "chat.db", tmp_path / "home") as server:
        url = server.wait_until_ready()
        with ChatServerClient(KEY, url) as client:
            # A connection that is kept alive is no work.
            client.list_models()
            assert server.end(number) == 0
        assert server.errors == ""
        assert server.output == f"chatserver ready at {url}\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_during_a_slow_answer(tmp_path: Path, number: signal.Signals) -> None:
    """An answer that would take too long is broken off and says so; its question is kept."""
    database = tmp_path / "chat.db"
    with server_on(database, tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready()) as client:
            stream = client.create_completion(
                "echo", "slow answer", stream=True, user="ada", variables={"delay": 60}
            )
            assert next(stream) == "slow "
            server.send(number)
            with pytest.raises(StreamError) as broken:
                next(stream)
        assert broken.value.partial == "slow "
        assert server.wait() == 0
        assert server.errors == ""
    assert integrity_of(database) == "ok"
    with server_on(database, tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready()) as client:
            session_id = stream.metadata["system_fingerprint"]
            detail = client.get_session(session_id, user_id="ada")
            assert detail.messages[0].text == "slow answer"
            # The session goes on: the turn that was broken off does not hold it.
            answer = client.create_completion("echo", "Hi", user="ada", session_id=session_id)
            assert answer.choices[0].message.text == "Hi"
        assert server.end() == 0


def test_an_answer_within_the_grace(tmp_path: Path) -> None:
    """An answer that is nearly whole is given to its end."""
    with server_on(tmp_path / "chat.db", tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready()) as client:
            stream = client.create_completion(
                "echo", "a b c", stream=True, variables={"delay": 0.1}
            )
            assert next(stream) == "a "
            server.send(signal.SIGTERM)
            assert "".join(stream) == "b c"
        assert server.wait() == 0


def test_killed_without_notice(tmp_path: Path) -> None:
    """After a kill the question is there, and the next start settles what was left open."""
    database = tmp_path / "chat.db"
    with server_on(database, tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready()) as client:
            stream = client.create_completion(
                "echo", "cut off", stream=True, user="ada", variables={"delay": 60}
            )
            assert next(stream) == "cut "
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
            with pytest.raises(StreamError):
                next(stream)
    with server_on(database, tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready()) as client:
            session_id = stream.metadata["system_fingerprint"]
            again = client.create_completion("echo", "again", user="ada", session_id=session_id)
            assert again.choices[0].message.text == "again"
            texts = [each.text for each in client.get_session(session_id, user_id="ada").messages]
            assert texts == ["cut off", "again", "again"]
        assert server.end() == 0
    assert integrity_of(database) == "ok"


def test_killed_beside_a_second_one(tmp_path: Path) -> None:
    """A second server is refused and breaks nothing; after a kill of the first, one may start."""
    database, home = tmp_path / "chat.db", tmp_path / "home"
    with server_on(database, home) as first:
        with ChatServerClient(KEY, first.wait_until_ready()) as client:
            stream = client.create_completion(
                "echo", "a b c", stream=True, user="ada", variables={"delay": 1}
            )
            assert next(stream) == "a "
            with server_on(database, home) as second:
                assert second.wait() == 1
                assert second.errors == f"Error: {in_use(database)}\n"
            assert "".join(stream) == "b c"
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    with server_on(database, home) as third:
        third.wait_until_ready()
        assert third.end() == 0
        assert third.errors == ""


def test_a_second_interrupt(tmp_path: Path) -> None:
    """Who presses Ctrl-C twice does not wait for answers, and sees no traceback either."""
    with server_on(tmp_path / "chat.db", tmp_path / "home") as server:
        url = server.wait_until_ready()
        with ChatServerClient(KEY, url) as client:
            stream = client.create_completion(
                "echo", "slow answer", stream=True, user="ada", variables={"delay": 60}
            )
            assert next(stream) == "slow "
            server.send(signal.SIGINT)
            # Signals of one kind may come as one, so the first has to have been heeded.
            wait_until_it_refuses(url)
            server.send(signal.SIGINT)
            with pytest.raises(StreamError):
                next(stream)
        assert server.wait() == 0
        assert server.errors == ""
    assert integrity_of(tmp_path / "chat.db") == "ok"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/platform/admins"])
def test_half_a_request(tmp_path: Path, path: str) -> None:
    """A client that has sent half a body holds nobody up, and is no error of the server's."""
    with server_on(tmp_path / "chat.db", tmp_path / "home") as server:
        head = request_head(path, "Content-Length: 100", "Expect: 100-continue")
        with connection_to(server.wait_until_ready()) as client:
            client.sendall(head)
            # By now the server waits for the body.
            assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
            client.sendall(b'{"model": ')
            assert server.end(signal.SIGINT) == 0
        assert server.errors == ""


def test_a_client_that_does_not_read(tmp_path: Path) -> None:
    """An answer that nobody takes in is dropped in the end, without a word."""
    question = {"role": "user", "content": "a " * 100_000}
    body = json.dumps({"model": "echo", "messages": [question], "stream": True}).encode()
    with server_on(tmp_path / "chat.db", tmp_path / "home") as server:
        with connection_to(server.wait_until_ready()) as client:
            head = request_head("/v1/chat/completions", f"Content-Length: {len(body)}")
            client.sendall(head + body)
            assert client.recv(12) == b"HTTP/1.1 200"
            assert server.end(signal.SIGINT) == 0
        assert server.errors == ""


def test_stopped_before_it_runs() -> None:
    """Asked to stop while it still starts, an embedded server does, once it has started."""
    handle = process.Handle()
    handle.stop()
    started: list[Started] = []
    process.run(serve(Settings(port=0, db=":memory:"), started.append, handle=handle))
    assert len(started) == 1


def connection_to(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port), timeout=BOUND)


def request_head(path: str, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {KEY}"]
    lines += ["Content-Type: application/json", *more]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def wait_until_it_refuses(url: str) -> None:
    """Ask until there is no answer, which is how a server that stops can be told."""
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}'
    head = request_head("/v1/chat/completions", f"Content-Length: {len(body)}", "Connection: close")
    give_up_at = time.monotonic() + BOUND
    status = b" 200 "
    while status == b" 200 ":
        assert time.monotonic() < give_up_at, "it does not stop"
        with connection_to(url) as client:
            client.sendall(head + body)
            status = client.makefile("rb").read()[8:13]
    assert status == b" 503 "


def integrity_of(database: Path) -> str:
    connection = sqlite3.connect(database)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
