"""Many sessions at rest, many turns at once, readers that take nothing: each costs what it must."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatserver_sdk import ChatServerClient
from observed_server import KEY, LINE, LINES, ObservedServer

BOUND = 120.0
KB, MB = 2**10, 2**20
V2 = "/api/v2/sessions"
SLOW_READERS = 20


def client_of(server: ObservedServer) -> ChatServerClient:
    """A client with the administrator's key."""
    return ChatServerClient(KEY, server.url, timeout=BOUND, max_retries=0)


def open_sessions(server: ObservedServer, count: int, model: str = "echo") -> list[str]:
    """The ids of so many new sessions, each of a user of its own."""

    def open_some(numbers: range) -> list[str]:
        with client_of(server) as client:
            return [client.create_session(model, user_id=f"user {one}").id for one in numbers]

    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(open_some, [range(count)[place::4] for place in range(4)])
        return [session_id for part in parts for session_id in part]


@contextmanager
def sent(
    server: ObservedServer, method: str, path: str, *, buffer: int | None = None
) -> Iterator[socket.socket]:
    """A request whose answer is not read yet. buffer: how little the system is to read ahead."""
    address = urlsplit(server.url)
    body = b""
    if method == "POST":
        message = {"message": {"role": "user", "content": "x"}, "stream": True}
        body = json.dumps(message).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as connection:
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(BOUND)
        connection.connect((address.hostname, address.port))
        connection.sendall(head.encode() + body)
        yield connection


def read_until(connection: socket.socket, text: bytes) -> bytes:
    """What comes up to this text and some more."""
    came = b""
    while text not in came:
        part = connection.recv(65536)
        assert part, came[-500:]
        came += part
    return came


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    return b"".join(iter(lambda: connection.recv(MB), b""))


def events_in(answer: bytes) -> list[bytes]:
    """The events of an answer, byte for byte, however they were cut into parts."""
    framed, body = answer.partition(b"\r\n\r\n")[2], []
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        body.append(framed[: int(size, 16)])
        framed = framed[int(size, 16) + 2 :]
    events = b"".join(body).split(b"\n\n")
    return [event for event in events if event and not event.startswith(b":")]


def run_at_once(server: ObservedServer, sessions: list[str]) -> int:
    """A turn in each of these, all running at the same time; bytes that each of them takes."""
    before = server.rested()
    with ExitStack() as opened:
        readers = [
            opened.enter_context(sent(server, "POST", f"{V2}/{session_id}/chat"))
            for session_id in sessions
        ]
        for reader in readers:
            read_until(reader, b'"content":"first "')
        during = server.figures()
        assert during.turns == len(sessions)
        # A turn, its agent's waiting, its reader and that reader's connection.
        assert during.tasks <= before.tasks + 4 * len(sessions)
        assert during.files <= before.files + len(sessions) + 8
        with client_of(server) as client:
            # Nobody else waits for them.
            answer = client.create_completion("echo", "hello", user="ada")
            assert answer.choices[0].message.text == "hello"
        server.open()
        for reader in readers:
            rest = rest_of(reader)
            assert b'"content":"second"' in rest and b"event: interaction_end" in rest
    return (during.memory - before.memory) // len(sessions)


def check_crowd(db: str, sessions_at_rest: int, turns: int) -> None:
    """So many sessions at rest, then so many turns at once, twice."""
    wanted = turns + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * wanted, hard), hard))
    with ObservedServer(db, resume_window=0.2) as server:
        open_sessions(server, 50)
        empty = server.figures()
        open_sessions(server, sessions_at_rest)
        full = server.figures()
        # They are rows, of which the database keeps some pages at hand, up to a bound.
        assert full.memory - empty.memory <= 40 * MB
        assert full.objects - empty.objects <= 2000
        assert (full.tasks, full.files - empty.files <= 8) == (empty.tasks, True)
        running = open_sessions(server, turns, "held")
        costs = [run_at_once(server, running)]
        first = server.rested()
        costs.append(run_at_once(server, running))
        second = server.rested()
    print(empty, full, costs, first, second, sep="\n")
    assert all(cost <= 200 * KB for cost in costs)
    assert second.tasks <= full.tasks + 2 and second.files <= full.files + 8
    assert second.memory <= first.memory * 1.1 + 8 * MB
    assert second.objects <= first.objects + 5000


def test_a_thousand_sessions_and_500_turns(tmp_path: Path) -> None:
    """What rests costs nothing, what runs little, and what has ended is gone."""
    check_crowd(str(tmp_path / "chat.db"), 1000, 500)


@pytest.mark.full
def test_ten_thousand_sessions_and_500_turns(tmp_path: Path) -> None:
    """The same with 10,000."""
    check_crowd(str(tmp_path / "chat.db"), 10_000, 500)


def test_readers_that_take_nothing(tmp_path: Path) -> None:
    """Twenty are stuck in a long answer: the agent and another reader go on, and what is held back
    for them does not grow with the answer. Who reads on has all of it, byte for byte."""
    with ObservedServer(str(tmp_path / "chat.db"), resume_window=0.2) as server, ExitStack() as all:
        (session_id,) = open_sessions(server, 1, "flood")
        path = f"{V2}/{session_id}/chat"
        before = server.figures()
        asker = all.enter_context(sent(server, "POST", path, buffer=4096))
        begun = read_until(asker, b"event: text_delta")
        stuck = [
            all.enter_context(sent(server, "GET", f"{path}/events", buffer=4096))
            for _ in range(SLOW_READERS - 1)
        ]
        for reader in stuck:
            assert reader.recv(1) == b"H"
        quick = all.enter_context(sent(server, "GET", f"{path}/events"))
        whole = events_in(rest_of(quick))
        assert whole[-1].startswith(b"event: interaction_end")
        assert sum(event.startswith(b"event: text_delta") for event in whole) == LINES

        during = server.figures()

        print(before, during)
        # The answer itself, a few times; and not once more for each reader.
        answer = len(LINE) * LINES
        assert during.memory - before.memory <= 10 * answer + 40 * MB < SLOW_READERS * answer
        assert events_in(begun + rest_of(asker)) == whole
        assert events_in(b"H" + rest_of(stuck[0])) == whole
