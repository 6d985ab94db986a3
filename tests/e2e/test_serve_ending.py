"""How `chatserver serve` ends: in order, whatever it is doing, with its store intact."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import pytest

from chatserver_process import ChatserverProcess, clean_environment
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


def test_stopped_before_it_runs() -> None:
    """Asked to stop while it still starts, an embedded server does, once it has started."""
    handle = process.Handle()
    handle.stop()
    started: list[Started] = []
    process.run(serve(Settings(port=0, db=":memory:"), started.append, handle=handle))
    assert len(started) == 1


def integrity_of(database: Path) -> str:
    connection = sqlite3.connect(database)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
