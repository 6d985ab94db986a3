"""A chat in a session with `chatserver serve`, killed in the middle."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from chatserver_process import ChatserverProcess, clean_environment
from chatserver_sdk import APIStatusError, ChatServerClient, StreamError

KEY = "a-key-of-the-operators-own-choice"


def server_on(database: Path, home: Path) -> ChatserverProcess:
    environment = clean_environment(home, CHATSERVER_BOOTSTRAP_KEY=KEY)
    arguments = ("--port", "0", "--db", str(database))
    return ChatserverProcess("serve", *arguments, environment=environment)


def test_killed_while_turns_run(tmp_path: Path) -> None:
    """What was stored is there; the turns are interrupted, say so, and block nothing."""
    database = tmp_path / "chat.db"
    with server_on(database, tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready(), max_retries=0) as client:
            sessions = [client.create_session("echo", user_id="ada").id for _ in range(5)]
            kept = client.send_message(sessions[0], "kept")
            file = client.upload_file(sessions[0], b"kept too", filename="a.txt")
            slow = {"variables": {"delay": 60}}
            streams = [
                client.send_message(one, "cut off", stream=True, metadata=slow) for one in sessions
            ]
            assert [next(stream) for stream in streams] == ["cut "] * 5
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
            for stream in streams:
                with pytest.raises(StreamError) as broken:
                    next(stream)
                assert broken.value.partial == "cut "
    with server_on(database, tmp_path / "home") as server:
        with ChatServerClient(KEY, server.wait_until_ready()) as client:
            for session_id, stream in zip(sessions, streams):
                with pytest.raises(APIStatusError) as gone:
                    client.join_stream(session_id, after=stream.cursor)
                assert (gone.value.status_code, gone.value.code) == (410, "resync")
                assert client.cancel_message(session_id).cancelled is False
                assert client.send_message(session_id, "again").message.text == "again"
            said = client.get_session(sessions[0], user_id="ada").messages
            assert [one.text for one in said] == ["kept", "kept", "cut off", "again", "again"]
            assert client.join_stream(sessions[0], f"{kept.turn_id}:0").response().message.text == (
                "kept"
            )
            assert client.send_message(sessions[0], "with", files=[file]).message.text == "with"
        assert server.end() == 0
