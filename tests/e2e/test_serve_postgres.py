"""`chatserver serve --db postgresql://...`: the same server over another database."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from postgres_server import Databases, postgres as postgres, postgres_url as postgres_url

from chatserver_process import ChatserverProcess, clean_environment
from chatserver_sdk import ChatServerClient, ServiceUnavailableError
from chatserver_sdk.exceptions import ChatServerError
from chatserver_sdk.storage.engines import SERVING

KEY = "csk-postgres-0123456789abcdef"
WAITERS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)
CUT_OFF = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid NOT IN (%s, %s)"
)


@contextmanager
def served(url: str, home: Path, **more: str) -> Iterator[tuple[ChatserverProcess, str]]:
    """A server over the database, and where it answers."""
    environment = clean_environment(home, **more)
    with ChatserverProcess("serve", "--port", "0", "--db", url, environment=environment) as process:
        yield process, process.wait_until_ready()


def turns(url: str) -> list[tuple[str, str | None]]:
    """The stored turns, read without our code."""
    with psycopg.connect(url) as connection:
        query = "SELECT state, finish_reason FROM turns ORDER BY started_at"
        return connection.execute(query).fetchall()


def test_a_conversation_over_restarts(postgres_url: str, tmp_path: Path) -> None:
    """It answers, streams and lists; a turn that was killed is interrupted; history is kept."""
    with served(postgres_url, tmp_path, CHATSERVER_BOOTSTRAP_KEY=KEY) as (process, base_url):
        with ChatServerClient(KEY, base_url) as client:
            answer = client.create_completion("echo", "one \0 two", user="ada")
            session_id = answer.system_fingerprint
            stream = client.create_completion(
                "echo", "three", stream=True, user="ada", session_id=session_id
            )
            assert "".join(stream) == "three"
            assert client.list_sessions("ada").total == 1
            client.add_admin("user_1", "grace@example.com")
            slow = client.create_completion(
                "echo", "a b c", stream=True, user="bob", variables={"delay": 5}
            )
            next(iter(slow))
            process.send(signal.SIGKILL)
            with pytest.raises(ChatServerError):
                list(slow)
        process.wait()
    assert [state for state, _ in turns(postgres_url)] == ["completed", "completed", "running"]

    with served(postgres_url, tmp_path) as (process, base_url):
        assert turns(postgres_url)[2] == ("interrupted", "interrupted")
        with ChatServerClient(KEY, base_url) as client:
            said = [m.text for m in client.get_session(session_id or "", user_id="ada").messages]
            actions = [entry.action for entry in client.get_audit_log().entries]
            (bobs,) = client.list_sessions("bob").sessions
            client.create_completion("echo", "again", user="bob", session_id=bobs.id)
        assert process.end() == 0 and process.errors == ""
    assert said[0] == said[1] == "one \0 two" and said[2:] == ["three", "three"]
    assert sorted(actions) == ["admin.added", "admin.added", "key.created", "session.read"]


def test_the_first_key_is_kept_in_a_file(postgres_url: str, tmp_path: Path) -> None:
    """In the data directory, as there is no file of the store to lie beside."""
    with served(postgres_url, tmp_path) as (process, base_url):
        path = Path(re.search(r"API key is in (.*)\n", process.output)[1])  # type: ignore[index]
        assert path.parent == tmp_path / "data" / "chatserver"
        with ChatServerClient(path.read_text().strip(), base_url) as client:
            assert client.get_platform_stats().total_users == 0
        assert process.end() == 0


def test_one_server_for_a_database(postgres_url: str, tmp_path: Path) -> None:
    """A second one is refused with a sentence that says no password."""
    with served(postgres_url, tmp_path):
        environment = clean_environment(tmp_path)
        command = ("serve", "--port", "0", "--db", postgres_url)
        with ChatserverProcess(*command, environment=environment) as second:
            assert second.wait() == 1
            assert "in use by another chatserver" in second.errors
            assert "chatserver:chatserver" not in second.errors and "Traceback" not in second.errors


def test_a_database_that_is_gone_for_a_while(
    postgres: Databases, postgres_url: str, tmp_path: Path
) -> None:
    """Requests get a clear 503 meanwhile, and are carried out afterwards without a restart."""
    with served(postgres_url, tmp_path, CHATSERVER_BOOTSTRAP_KEY=KEY) as (process, base_url):
        with ChatServerClient(KEY, base_url, max_retries=0) as client:
            client.create_completion("echo", "one", user="ada")
            postgres.close_doors(postgres_url, closed=True)
            postgres.disconnect(postgres_url)
            with pytest.raises(ServiceUnavailableError, match="the database failed") as caught:
                client.create_completion("echo", "two", user="ada")
            # The driver's words are the operator's: they name the host.
            assert "127.0.0.1" not in str(caught.value) and "connection" not in str(caught.value)
            postgres.close_doors(postgres_url, closed=False)
            client.create_completion("echo", "three", user="ada")
            assert client.list_sessions("ada").total == 2
        assert process.end() == 0
        assert "not currently accepting connections" in process.errors
        assert "chatserver:chatserver" not in process.errors


def test_a_store_that_another_server_has_taken(postgres_url: str, tmp_path: Path) -> None:
    """A server that lost its lock to another one stops with a sentence, and leaves what that one
    has made of its turns."""
    with served(postgres_url, tmp_path, CHATSERVER_BOOTSTRAP_KEY=KEY) as (process, base_url):
        with ChatServerClient(KEY, base_url, max_retries=0) as client, other(postgres_url) as taker:
            slow = client.create_completion(
                "echo", "a b c", stream=True, user="ada", variables={"delay": 30}
            )
            next(iter(slow))
            taker()
            with pytest.raises(ChatServerError):
                list(slow)
            assert process.wait() == 1
        errors = process.errors
    assert "another chatserver has taken the database" in errors
    assert "Traceback" not in errors and "chatserver:chatserver" not in errors
    assert turns(postgres_url) == [("interrupted", "another")]


@contextmanager
def other(url: str) -> Iterator[Callable[[], None]]:
    """What another server does: waits for the lock, and closes the turns when it has it. The call
    cuts off who has the lock."""
    closing = "UPDATE turns SET state = 'interrupted', finish_reason = 'another'"
    with psycopg.connect(url, autocommit=True) as waiting, ThreadPoolExecutor(1) as pool:
        got = pool.submit(waiting.execute, f"SELECT {SERVING}")
        with psycopg.connect(url, autocommit=True) as own:
            here = (waiting.info.backend_pid, own.info.backend_pid)

            def take() -> None:
                while own.execute(WAITERS).fetchone() == (0,):
                    pass
                own.execute(CUT_OFF, here)
                got.result()
                waiting.execute(closing)

            yield take
