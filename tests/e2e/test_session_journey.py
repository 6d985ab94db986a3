"""A chat in a session with real servers: killed in the middle, over a line that breaks."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from chatserver_process import ChatserverProcess, clean_environment
from cutting_proxy import CuttingProxy

from chatserver_sdk import APIStatusError, ChatServerClient, RetryPolicy, StreamError
from chatserver_sdk.testing import ScriptedAgent, running_server

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


@pytest.mark.parametrize("seed", range(4))
def test_no_event_is_lost_or_repeated(seed: int) -> None:
    """However often the line breaks, the events are whole, and each message is one."""
    chance = random.Random(seed)
    cuts = [chance.randrange(300, 3000) for _ in range(12)]
    words = [f"word{number} " for number in range(60)]
    agent = ScriptedAgent("counter", words)
    patient = RetryPolicy(max_retries=8, backoff=0.001, max_backoff=0.01)
    with running_server(agents=[agent]) as server:
        with server.client() as direct:
            session = direct.create_session("counter", user_id="ada")
            # So that the client knows whom it talks to before its line breaks.
            with CuttingProxy(server.base_url, None, *cuts) as proxy:
                with ChatServerClient(
                    server.api_key, proxy.base_url, max_retries=patient
                ) as client:
                    client.list_models()
                    client.session.close()
                    for round in range(3):
                        stream = client.send_message(session.id, f"Round {round}", stream=True)
                        said = list(stream.events())
                        assert [event.seq for event in said] == list(range(1, len(said) + 1))
                        assert stream.text == "".join(words)
                assert proxy.connections > 3
            assert len(direct.get_session(session.id, user_id="ada").messages) == 6
    assert len(agent.questions) == 3
