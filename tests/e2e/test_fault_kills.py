"""A server that is killed with SIGKILL while many ask: what it acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from postgres_server import (
    Databases as Databases,
    empty_postgres_url as empty_postgres_url,
    postgres as postgres,
)

from chatserver_process import BOUND, ChatserverProcess, clean_environment
from chatserver_sdk import APIConnectionError, ChatServerClient, StreamError
from chatserver_sdk.engine import auditing
from chatserver_sdk.storage import open_store, upkeep

KEY = "a-key-of-the-operators-own-choice"
SLOW = {"delay": 60}


class Acknowledged(NamedTuple):
    """A turn whose answer was seen whole."""

    user: str
    session_id: str
    text: str


class Load:
    """Clients that ask one after the other until their server is gone.

    acknowledged: the turns whose answers they have seen whole. admins: those that were added.
    begun: turns that were running, of which only the question may be there.
    """

    def __init__(self, url: str, enough: int, turn: int) -> None:
        self._url = url
        self._numbers = itertools.count()
        self._enough = enough
        self._name = f"round{turn}"
        self.reached = threading.Event()
        self.acknowledged: list[Acknowledged] = []
        self.admins: list[str] = []
        self.begun: list[Acknowledged] = []
        self.failures: list[BaseException] = []
        kinds = (self._ask, self._stream, self._say, self._say_streamed, self._add, self._leave)
        self._threads = [threading.Thread(target=self._go_on, args=(kind,)) for kind in kinds]

    def start(self) -> None:
        """Have all of them begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until the last has noticed that there is no server any more."""
        for thread in self._threads:
            thread.join(BOUND)
        assert not any(thread.is_alive() for thread in self._threads)
        assert self.failures == []

    def _go_on(self, kind: Callable[[ChatServerClient, str], None]) -> None:
        try:
            with ChatServerClient(KEY, self._url, max_retries=0) as client:
                while True:
                    kind(client, f"{self._name} text {next(self._numbers)}")
        except (APIConnectionError, StreamError):
            # The server is gone, in whichever way it showed.
            pass
        except BaseException as exc:
            self.failures.append(exc)
        finally:
            self.reached.set()

    def _acknowledge(self, user: str, session_id: str | None, text: str) -> None:
        self.acknowledged.append(Acknowledged(user, session_id or "", text))
        if len(self.acknowledged) >= self._enough:
            self.reached.set()

    def _ask(self, client: ChatServerClient, text: str) -> None:
        answer = client.create_completion("echo", text, user="ada")
        assert answer.choices[0].message.text == text
        self._acknowledge("ada", answer.system_fingerprint, text)

    def _stream(self, client: ChatServerClient, text: str) -> None:
        stream = client.create_completion("echo", text, user="bob", stream=True)
        assert "".join(stream) == text
        self._acknowledge("bob", stream.metadata["system_fingerprint"], text)

    def _say(self, client: ChatServerClient, text: str) -> None:
        session = client.create_session("echo", user_id="eve")
        for part in (f"{text} one", f"{text} two"):
            assert client.send_message(session.id, part).message.text == part
            self._acknowledge("eve", session.id, part)

    def _say_streamed(self, client: ChatServerClient, text: str) -> None:
        session = client.create_session("echo", user_id="dan")
        assert "".join(client.send_message(session.id, text, stream=True)) == text
        self._acknowledge("dan", session.id, text)

    def _add(self, client: ChatServerClient, text: str) -> None:
        email = f"{text.replace(' ', '-')}@example.org"
        client.add_admin(email, email)
        self.admins.append(email)

    def _leave(self, client: ChatServerClient, text: str) -> None:
        """Turns that go on when the server dies; few, and then an ordinary one."""
        if len(self.begun) < 5:
            session = client.create_session("echo", user_id="fay")
            stream = client.send_message(
                session.id, text, stream=True, metadata={"variables": SLOW}
            )
            next(stream)
            stream.close()
            self.begun.append(Acknowledged("fay", session.id, text))
        else:
            self._ask(client, text)


@contextmanager
def server_on(location: str, home: Path) -> Iterator[tuple[ChatserverProcess, str]]:
    """A server over the store, and where it answers."""
    environment = clean_environment(home, CHATSERVER_BOOTSTRAP_KEY=KEY)
    arguments = ("serve", "--port", "0", "--db", location)
    with ChatserverProcess(*arguments, environment=environment) as server:
        yield server, server.wait_until_ready()


def check_kept(client: ChatServerClient, loads: list[Load]) -> None:
    """Every acknowledged turn stands whole in its history, every admin in the list."""
    said: dict[str, list[tuple[str, str | None]]] = {}
    for turn in [turn for load in loads for turn in load.acknowledged]:
        if turn.session_id not in said:
            detail = client.get_session(turn.session_id, user_id=turn.user)
            assert detail.session.message_count == len(detail.messages)
            said[turn.session_id] = [(one.role, one.text) for one in detail.messages]
        place = said[turn.session_id].index(("user", turn.text))
        assert said[turn.session_id][place + 1] == ("assistant", turn.text)
    admins = {admin.email for admin in client.list_admins().admins}
    assert {email for load in loads for email in load.admins} <= admins


def check_free(client: ChatServerClient, load: Load) -> None:
    """What was running keeps its question, and its session goes on."""
    for turn in load.begun:
        assert client.cancel_message(turn.session_id).cancelled is False
        assert client.send_message(turn.session_id, "again").message.text == "again"
        detail = client.get_session(turn.session_id, user_id=turn.user)
        assert [one.text for one in detail.messages] == [turn.text, "again", "again"]


def check_store(location: str, loads: list[Load]) -> None:
    """No turn runs, the log of the audit holds together, and every kept figure is right."""
    states = states_of(location)
    assert states.get("running", 0) == 0
    assert states.get("interrupted", 0) >= sum(len(load.begun) for load in loads)
    assert upkeep.find_differences(location) == []
    store = open_store(location)
    try:
        found = asyncio.run(auditing.verify(store))
    finally:
        store.close()
    assert found.ok and found.entries >= sum(len(load.admins) for load in loads)


def states_of(location: str) -> dict[str, int]:
    """How many turns there are in each state, read without our code."""
    query = "SELECT state, count(*) FROM turns GROUP BY state"
    if "://" in location:
        with psycopg.connect(location) as connection:
            return dict(connection.execute(query).fetchall())
    with closing(sqlite3.connect(location, timeout=BOUND)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(connection.execute(query).fetchall())


def check_by_command(location: str, home: Path) -> None:
    """The operator's own commands say the same."""
    environment = clean_environment(home)
    for command in (("audit", "verify"), ("db", "check")):
        with ChatserverProcess(*command, "--db", location, environment=environment) as process:
            assert process.wait() == 0, process.output + process.errors


def kill_again_and_again(location: str, home: Path, kills: int, seed: int) -> None:
    """Load, kill, start, look; so many times, on one store."""
    chance = random.Random(seed)
    loads: list[Load] = []
    for turn in range(kills + 1):
        with server_on(location, home) as (server, url):
            with ChatServerClient(KEY, url) as client:
                check_kept(client, loads[-1:])
                if loads:
                    check_free(client, loads[-1])
                check_store(location, loads)
                if turn == kills:
                    check_kept(client, loads)
                    assert server.end() == 0
                    break
            load = Load(url, chance.randrange(1, 80), turn)
            loads.append(load)
            load.start()
            assert load.reached.wait(BOUND)
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
            load.join()
    check_by_command(location, home)
    assert all(load.acknowledged for load in loads)


def test_a_file(tmp_path: Path) -> None:
    """Five times, each while turns begin, run and end."""
    kill_again_and_again(str(tmp_path / "chat.db"), tmp_path / "home", kills=5, seed=1)


def test_postgres(empty_postgres_url: str, tmp_path: Path) -> None:
    """Twice over PostgreSQL, whose own process goes on."""
    kill_again_and_again(empty_postgres_url, tmp_path / "home", kills=2, seed=2)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, 20))
def test_a_file_a_hundred_times(tmp_path: Path, seed: int) -> None:
    """Ten stores, each killed ten times."""
    kill_again_and_again(str(tmp_path / "chat.db"), tmp_path / "home", kills=10, seed=seed)


@pytest.mark.full
def test_postgres_many_times(empty_postgres_url: str, tmp_path: Path) -> None:
    """The same over PostgreSQL."""
    kill_again_and_again(empty_postgres_url, tmp_path / "home", kills=15, seed=3)
