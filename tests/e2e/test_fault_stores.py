"""A full disk and a locked database: a clear 503, nothing half-written, and then all is well."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from postgres_server import (
    Databases as Databases,
    empty_postgres_url as empty_postgres_url,
    postgres as postgres,
)

from chatserver_process import BOUND, ChatserverProcess, clean_environment
from chatserver_sdk import ChatServerClient, ServiceUnavailableError, StreamFailedError
from chatserver_sdk.engine import auditing
from chatserver_sdk.storage import open_store, upkeep
from faulty_stores import DiskFull, Fault, FileLocked, FileTooLong, TablesLocked, small_disk

KEY = "a-key-of-the-operators-own-choice"
COMPLETIONS = "/v1/chat/completions"
PLATFORM = "/api/v1/platform"
V2 = "/api/v2/sessions"
SLOW = {"variables": {"delay": 60}}
MOST_ASKED = 2000

Call = tuple[str, str, Any]


@contextmanager
def server_on(location: str, home: Path) -> Iterator[tuple[ChatserverProcess, str]]:
    """A server over the store, and where it answers; it ends in order."""
    environment = clean_environment(home, CHATSERVER_BOOTSTRAP_KEY=KEY)
    arguments = ("serve", "--port", "0", "--db", location)
    with ChatserverProcess(*arguments, environment=environment) as server:
        yield server, server.wait_until_ready()
        assert server.end() == 0, server.errors
        assert "Traceback" not in server.errors


def call(url: str, method: str, path: str, body: Any = None) -> requests.Response:
    """The answer, over a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {KEY}"}
        options: dict[str, Any] = {"files": body} if path.endswith("/files") else {"json": body}
        return session.request(method, url + path, headers=headers, timeout=BOUND, **options)


def question(text: str, **fields: Any) -> dict[str, Any]:
    """A completion's body."""
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **fields}


def message(text: str, **fields: Any) -> dict[str, Any]:
    """A message to a session."""
    return {"message": {"role": "user", "content": text}, **fields}


def calls_that_write(session_id: str, name: str) -> list[Call]:
    """Requests that the store has to take, each of which adds something."""
    by_user = {"user": f"{name} user"}
    return [
        ("POST", COMPLETIONS, question(name, **by_user)),
        ("POST", COMPLETIONS, question(name, stream=True, **by_user)),
        ("POST", V2, {"model": "echo", "user_id": f"{name} user"}),
        ("PATCH", f"{V2}/{session_id}", {"title": name}),
        ("POST", f"{V2}/{session_id}/chat", message(name)),
        ("POST", f"{V2}/{session_id}/files", {"file": ("a.txt", b"a" * 2000, "text/plain")}),
        ("POST", f"{PLATFORM}/admins", {"workos_id": name, "email": f"{name}@example.org"}),
        ("POST", f"{PLATFORM}/keys", {"name": name, "role": "service"}),
        ("DELETE", f"{PLATFORM}/users/doomed", None),
    ]


CALLS_THAT_DO_NOT = [
    ("GET", "/health", None),
    ("GET", "/health/live", None),
    ("GET", "/health/ready", None),
    ("GET", "/metrics", None),
    ("GET", "/v1/models", None),
    ("POST", COMPLETIONS, question("in memory")),
    ("GET", f"{V2}?user_id=ada", None),
    ("GET", f"{PLATFORM}/audit/head", None),
]


def check_refused(answer: requests.Response) -> None:
    """A clear 503: the shape of all errors, a word for programs, when to come back."""
    assert answer.status_code == 503, (answer.request.method, answer.url, answer.text)
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("service_unavailable", "store_unavailable")
    assert error["message"] == "the database failed"
    assert int(answer.headers["Retry-After"]) > 0
    assert "INSERT" not in answer.text and "Traceback" not in answer.text


def at_once(url: str, calls: list[Call]) -> list[requests.Response]:
    """The answers to requests that are sent side by side."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda each: call(url, *each), calls))


def ask_until_refused(client: ChatServerClient) -> list[tuple[str, str]]:
    """Sessions and texts that were answered before the store took no more."""
    answered = []
    for number in range(MOST_ASKED):
        text = f"until refused {number} " + "x" * 500
        try:
            answer = client.create_completion("echo", text, user="ada")
        except ServiceUnavailableError:
            return answered
        answered.append((answer.system_fingerprint or "", text))
    raise AssertionError("the store goes on taking everything")


def check_store(location: str) -> None:
    """Every kept figure is right, the audit log holds together, a file is whole."""
    assert upkeep.find_differences(location) == []
    store = open_store(location)
    try:
        assert asyncio.run(auditing.verify(store)).ok
    finally:
        store.close()
    if "://" not in location:
        with closing(sqlite3.connect(location)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def lose_the_end(client: ChatServerClient, session_id: str, url: str, ended: list[Any]) -> Any:
    """Stop a turn whose end cannot be stored; its reader is told, and it is not stuck."""
    stream = client.send_message(session_id, "lost end", stream=True, metadata=SLOW)
    assert next(stream) == "lost "

    def read() -> None:
        with pytest.raises(StreamFailedError) as failed:
            next(stream)
        ended.append((failed.value.code, failed.value.status_code))

    return threading.Thread(target=read)


def survive(location: str, home: Path, fault: Fault) -> None:
    """A server before, during and after the fault."""
    ended: list[Any] = []
    with server_on(location, home) as (server, url):
        with ChatServerClient(KEY, url, timeout=BOUND, max_retries=0) as client:
            kept, losing = (client.create_session("echo", user_id="ada").id for _ in range(2))
            client.send_message(kept, "before")
            client.create_completion("echo", "delete me", user="doomed")
            reader = lose_the_end(client, losing, url, ended)
            reader.start()
            fault.begin(server.pid)
            try:
                answered = ask_until_refused(client) if fault.is_gradual else []
                stopping: Call = ("DELETE", f"{V2}/{losing}/chat", None)
                writing = calls_that_write(kept, "meanwhile")
                stopped, *refused = at_once(url, [stopping, *writing])
                for answer in refused:
                    check_refused(answer)
                # What could not be stored was not cancelled, and says so.
                assert stopped.status_code == 200 and stopped.json()["cancelled"] is False
                for answer in at_once(url, CALLS_THAT_DO_NOT):
                    assert answer.status_code == 200, (answer.url, answer.text)
                reader.join(BOUND)
            finally:
                fault.end()
            assert ended == [("store_unavailable", 503)]
            check_goes_on(client, url, kept, losing)
            for session_id, text in answered:
                check_texts(client, session_id, text, text)
        check_store(location)
    check_store(location)


def check_goes_on(client: ChatServerClient, url: str, kept: str, losing: str) -> None:
    """Without a restart everything is taken again; of what was refused there is nothing."""
    assert client.send_message(losing, "again").message.text == "again"
    check_texts(client, losing, "lost end", "again", "again")
    for each in calls_that_write(kept, "afterwards"):
        answer = call(url, *each)
        assert answer.status_code in (200, 201), answer.text
    check_texts(client, kept, "before", "before", "afterwards", "afterwards")
    assert client.list_sessions("meanwhile user").total == 0
    assert client.list_sessions("afterwards user").total == 3
    files = call(url, "GET", f"{V2}/{kept}/files").json()["files"]
    assert [file["filename"] for file in files] == ["a.txt"]
    assert "meanwhile" not in {key.name for key in client.list_keys().keys}
    assert "meanwhile@example.org" not in {admin.email for admin in client.list_admins().admins}


def check_texts(client: ChatServerClient, session_id: str, *texts: str) -> None:
    """All that was said in a session of ada's."""
    detail = client.get_session(session_id, user_id="ada")
    assert tuple(one.text for one in detail.messages) == texts


@pytest.mark.parametrize("size", [4096, 64 * 1024])
def test_no_file_may_grow(tmp_path: Path, size: int) -> None:
    """A quota, as the system tells of it; what is read and what is not stored goes on."""
    survive(str(tmp_path / "chat.db"), tmp_path / "home", FileTooLong(size))


def test_a_full_disk(tmp_path: Path) -> None:
    """The disk has no room at all, neither for the store nor for anything beside it."""
    with small_disk(tmp_path / "disk") as can_be:
        if not can_be:
            pytest.skip("only root may make a small disk; a quota is tested without")
        database = tmp_path / "disk" / "chat.db"
        survive(str(database), tmp_path / "home", DiskFull(database.parent))


def test_a_locked_file(tmp_path: Path) -> None:
    """Somebody else holds the file for longer than anybody waits."""
    database = tmp_path / "chat.db"
    survive(str(database), tmp_path / "home", FileLocked(database))


def test_locked_tables(empty_postgres_url: str, tmp_path: Path) -> None:
    """Somebody else holds the tables for longer than anybody waits."""
    survive(empty_postgres_url, tmp_path / "home", TablesLocked(empty_postgres_url))
