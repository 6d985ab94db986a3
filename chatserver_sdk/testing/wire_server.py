"""WireServer: a server on a loopback port that sends the bytes it is told, and nothing else.

For tests of HTTP clients: late bytes, half answers, cut connections. It knows no protocol beyond
reading a request; what it sends is written in `answers`.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, parse_headers
from typing import Any, BinaryIO

from .answers import Cut, Pause, Script, Step, UntilHangup, json_answer

_NO_SCRIPT = json_answer(500, {"error": "WireServer was given no answer for this request"})
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it came over the wire.

    method, path: as sent, the path with its query. headers: found whatever the case of a name.
    body: the bytes. connection: which one it came through, counted from 0.
    """

    method: str
    path: str
    headers: Message
    body: bytes
    connection: int

    def json(self) -> Any:
        """The body's JSON value. Raises ValueError where it is none."""
        return json.loads(self.body)


class WireServer:
    """A server of raw bytes; it runs from its construction until it is closed.

    Use it as a context manager. Each request is answered by the next script of `answers(...)`;
    the last one answers all that follow. Connections are kept open between requests unless a
    script cuts them, and served side by side.

        with WireServer() as server:
            server.answers(event_stream(delta("Hel"), delta("lo"), DONE))
            client = ChatServerClient(base_url=server.base_url)

    requests: what came, in order.
    """

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._scripts: deque[tuple[Step, ...]] = deque()
        self._current: tuple[Step, ...] = tuple(_NO_SCRIPT)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._awaited: list[threading.Event] = []
        self._served: dict[threading.Thread, socket.socket] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._address: tuple[str, int] = self._listener.getsockname()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def base_url(self) -> str:
        """Where it listens, for instance http://127.0.0.1:54321."""
        return "http://{}:{}".format(*self._address)

    def answers(self, *scripts: Script) -> None:
        """Queue one script for each of the next requests; bytes are a script of one step."""
        for script in scripts:
            if isinstance(script, str):
                raise TypeError("a script is bytes, or steps of bytes, Pause, Cut and UntilHangup")
            self._scripts.append((script,) if isinstance(script, bytes) else tuple(script))

    def close(self) -> None:
        """Cut every connection, end every wait and join the threads; safe to call twice."""
        with self._lock:
            closed_before = self._closing.is_set()
            self._closing.set()
            for event in self._awaited:
                event.set()
            for sock in self._served.values():
                _shut(sock)
        if not closed_before:
            # A connection ends accept() everywhere; closing the listener does so on some systems.
            socket.create_connection(self._address).close()
            self._accepting.join()
            for thread in self._served:
                thread.join()
            self._listener.close()

    def __enter__(self) -> WireServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WireServer {self.base_url}>"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with self._lock:
                if self._closing.is_set():
                    sock.close()
                    return
                self._start_serving(sock)

    def _start_serving(self, sock: socket.socket) -> None:
        # Without it a small piece waits until the one before is acknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = next(self._numbers)
        thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
        self._served = {thr: s for thr, s in self._served.items() if thr.is_alive()}
        self._served[thread] = sock
        thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        # A client that hangs up or speaks no HTTP ends its own connection and nothing else.
        with sock, sock.makefile("rb") as incoming, suppress(OSError, ValueError, HTTPException):
            for request in _iter_requests(incoming, number):
                with self._lock:
                    self.requests.append(request)
                    self._current = self._scripts.popleft() if self._scripts else self._current
                    script = self._current
                if not all(self._take(step, sock) for step in script):
                    return

    def _take(self, step: Step, sock: socket.socket) -> bool:
        """Take one step of a script; whether the connection still stands."""
        if isinstance(step, bytes):
            sock.sendall(step)
            return True
        if isinstance(step, Pause):
            self._wait(step.until)
            return True
        if isinstance(step, UntilHangup):
            self._wait_for_hangup(sock, step.seen)
        if isinstance(step, Cut) and step.reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
        return False

    def _wait(self, until: float | threading.Event) -> None:
        if not isinstance(until, threading.Event):
            self._closing.wait(until)
            return
        with self._lock:
            self._awaited.append(until)
            if self._closing.is_set():
                until.set()
        until.wait()

    def _wait_for_hangup(self, sock: socket.socket, seen: threading.Event) -> None:
        # A client that closes with bytes unread resets the connection: the same to us.
        with suppress(ConnectionError):
            while sock.recv(65536):
                continue
        if not self._closing.is_set():
            seen.set()


def _iter_requests(incoming: BinaryIO, number: int) -> Iterator[RecordedRequest]:
    while line := incoming.readline():
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = parse_headers(incoming)
        body = incoming.read(int(headers.get("Content-Length", "0")))
        yield RecordedRequest(method, path, headers, body, number)


def _shut(sock: socket.socket) -> None:
    # Closed by its own thread already: nothing to end.
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
