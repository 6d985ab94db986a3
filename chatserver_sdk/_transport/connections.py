"""Connections that are kept, noticed when they die, and can be ended by the clock.

requests keeps the pool; what is added here is TCP keep-alive, the knowledge whether an attempt
used a connection that was open before, and a pool of its own for a forked child.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import weakref
from contextlib import suppress
from functools import lru_cache
from http.client import HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from .chunking import Dechunker

_POOL_SIZE = 64

# A router that drops an idle connection tells nobody: after 45 s of silence, and three questions
# 15 s apart, the system notices. (macOS calls the first one TCP_KEEPALIVE.)
_KEEP_ALIVE_SECONDS = {
    "TCP_KEEPIDLE": 45,
    "TCP_KEEPALIVE": 45,
    "TCP_KEEPINTVL": 15,
    "TCP_KEEPCNT": 3,
}
KEEP_ALIVE = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEP_ALIVE_SECONDS.items()
        if hasattr(socket, name)
    ),
]


class Attempt:
    """What the connections of a thread say of the request that it is sending.

    is_reused: it went out on a connection that was open before, and nothing of an answer has come.
    is_connecting: it has not gone out. begun_at: when it began to. All of it is known only of
    connections that are ours.
    """

    def __init__(self) -> None:
        self.is_reused = False
        self.is_connecting = False
        self.begun_at = 0.0
        self._is_fresh = False
        self._is_shut = False
        self._connection: HTTPConnection | None = None

    def note_connecting(self, connection: HTTPConnection) -> None:
        """A connection is being made."""
        self._connection = connection
        self._is_fresh = self.is_connecting = True

    def note_connected(self) -> None:
        """It was made. Raises OSError where nobody waits for it any more."""
        self.is_connecting = False
        self._stop_if_shut()

    def note_request(self, connection: HTTPConnection) -> None:
        """The request is about to go out; http connects after this, https has connected.

        Raises OSError where nobody waits for it any more.
        """
        self._connection = connection
        self.is_connecting = False
        self._stop_if_shut()
        self.begun_at = time.monotonic()
        self.is_reused = connection.sock is not None and not self._is_fresh

    def note_answer(self) -> None:
        """Something of an answer has come."""
        self.is_reused = False

    def shut(self) -> None:
        """End what the thread waits for, from another one."""
        self._is_shut = True
        sock = getattr(self._connection, "sock", None)
        # TLS within TLS, through a proxy, is no socket and has one.
        sock = sock if isinstance(sock, socket.socket) else getattr(sock, "socket", None)
        if sock is not None:
            with suppress(OSError):
                # Of the plain class: TLS would be torn down under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _stop_if_shut(self) -> None:
        if self._is_shut:
            self.shut()
            raise ConnectionAbortedError("nobody waits for this connection any more")


class _Current(threading.local):
    attempt = Attempt()


_current = _Current()


def begin_attempt() -> Attempt:
    """A new one for this thread."""
    _current.attempt = Attempt()
    return _current.attempt


# What a server says beforehand; http.client passes over 100 alone. RFC 9110 15.2, RFC 8297.
_EARLY = (102, 103)


class _Lines:
    """A file whose lines are looked at as they are read."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.last = b""

    def readline(self, limit: int) -> bytes:
        self.last = self.file.readline(limit)
        if self.last:
            _current.attempt.note_answer()
        return self.last

    def close(self) -> None:
        self.file.close()


class _Answer(HTTPResponse):
    chunked: bool
    length: int | None
    _chunks: Dechunker

    def begin(self) -> None:
        # http.client takes headers for whole where the connection ends among them.
        if self.headers is not None:
            return
        lines: Any = _Lines(self.fp)
        self.fp = lines
        try:
            super().begin()
            while self.status in _EARLY:
                self.headers = None
                super().begin()
        finally:
            self.fp = lines.file if self.fp is lines else self.fp
        if lines.last not in (b"\r\n", b"\n"):
            raise RemoteDisconnected("the connection ended in the middle of the headers")
        # HEAD, 204 and 304 have no body, whatever the headers say (RFC 9112 6.3).
        self.chunked = self.chunked and self.length != 0
        self._chunks = Dechunker()

    def read1(self, n: int = -1) -> bytes:
        """What one read of the socket gives, all of its chunks."""
        body = b""
        while self.chunked and self.fp is not None and not body:
            said = self.fp.read1(n)
            if not said:
                raise IncompleteRead(b"")
            body = self._chunks.feed(said)
            if self._chunks.is_over:
                self.close()
        return body if self.chunked else super().read1(n)


class _Noted:
    """Says what becomes of a connection; stands before urllib3's class."""

    response_class: Any = _Answer

    def connect(self) -> None:
        connection: Any = self
        _current.attempt.note_connecting(connection)
        super().connect()  # type: ignore[misc]
        _current.attempt.note_connected()

    def request(self, *args: Any, **kwargs: Any) -> None:
        connection: Any = self
        _current.attempt.note_request(connection)
        super().request(*args, **kwargs)  # type: ignore[misc]


@lru_cache
def _noted(pool: Any) -> Any:
    """The pool's class, of connections that say what becomes of them; SOCKS has one of its own."""
    connection = pool.ConnectionCls
    if issubclass(connection, _Noted):
        return pool
    noted = type(f"Noted{connection.__name__}", (_Noted, connection), {})
    return type(f"Noted{pool.__name__}", (pool,), {"ConnectionCls": noted})


def _note(manager: Any) -> None:
    """Have the manager make such connections; those of its pools are not made yet."""
    classes: dict[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _noted(pool) for scheme, pool in classes.items()}


class Adapter(HTTPAdapter):
    """requests' adapter over these connections, through proxies too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, socket_options=KEEP_ALIVE)
        _note(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, socket_options=KEEP_ALIVE)
        # Each time: another thread may have made it at this moment.
        _note(manager)
        return manager

    def close(self) -> None:
        # urllib3 closes what a pool keeps when the pool is collected, and an exception may hold it.
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():
                manager.pools[key].close()
        super().close()


class Session(requests.Session):
    """The requests session of a client; a forked child has no connection of its parent's."""

    def __init__(self, user_agent: str) -> None:
        super().__init__()
        self.headers["User-Agent"] = user_agent
        self.mount_anew()
        _sessions.add(self)

    def mount_anew(self) -> None:
        """Leave every connection to whoever had it, and open others."""
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(pool_maxsize=_POOL_SIZE))


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
# Never used and never dropped: what closes a pool takes locks that may have been held when the
# process was forked.
_of_parents: list[Any] = []


def _after_fork() -> None:  # pragma: no cover - the child is not measured
    for session in list(_sessions):
        _of_parents.append(list(session.adapters.values()))
        session.mount_anew()
        # Another thread may have held the jar's lock.
        cookies: Any = session.cookies
        cookies._cookies_lock = threading.RLock()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
