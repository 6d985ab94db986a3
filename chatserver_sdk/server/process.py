"""A running server: its store, its first key, its socket and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine import new_key
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.storage import StoreUnavailable, open_store

from .app import ChatServerApp, create_app
from .settings import MEMORY, Settings, data_directory

_KEEP_ALIVE = 75


@dataclass(frozen=True)
class Started:
    """A server that answers. key: the first administrator's, if it was made just now."""

    url: str
    key: str | None = field(default=None, repr=False)


@dataclass
class Handle:
    """Stops a server from another thread."""

    _server: _Server | None = None

    def stop(self) -> None:
        """Ask it to stop; running answers get their grace."""
        if self._server is not None:
            self._server.should_exit = True


async def serve(
    settings: Settings,
    on_start: Callable[[Started], None],
    *,
    agents: Sequence[Agent] = (),
    keep_key: Callable[[str], Callable[[], None]] | None = None,
    handle: Handle | None = None,
) -> None:
    """Run a server until it is told to stop (SIGINT and SIGTERM do, in the main thread).

    on_start is called once it answers. keep_key is given a new first key before the store is,
    so that no key is stored that nobody has; what it returns undoes it.
    Raises ConfigurationError and StoreUnavailable, with sentences for the operator.
    """
    listening = _listen(settings.host, settings.port)
    with listening:
        store = open_store(settings.database)
        try:
            app = create_app(store, settings, agents)
            key = await _first_key(app, settings, keep_key)
            server = _Server(app, Started(_url(listening), key), on_start)
            if handle is not None:
                handle._server = server
            await server.serve(sockets=[listening])
            if not server.started:
                raise StoreUnavailable("the server could not start; the lines above say why")
        finally:
            store.close()


def run(main: Coroutine[None, None, None]) -> None:
    """asyncio.run() on the fastest loop that there is."""
    try:
        import uvloop
    except ModuleNotFoundError:  # pragma: no cover - there is none for Windows
        asyncio.run(main)
    else:
        uvloop.run(main)


class _Server(uvicorn.Server):
    def __init__(
        self, app: ChatServerApp, started: Started, on_start: Callable[[Started], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=5,
            )
        )
        self._services = app.services
        self._announced = started
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start(self._announced)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Answers end first: uvicorn would wait for their readers, and they for the answers.
        await self._services.chat.close(self._services.settings.grace)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises each signal again when it is done, which ends the process before
        # the store is closed.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


async def _first_key(
    app: ChatServerApp, settings: Settings, keep_key: Callable[[str], Callable[[], None]] | None
) -> str | None:
    """The first administrator's key, if it was made just now and is to be shown."""
    keys = app.services.keys
    if settings.dev or await keys.exist():
        return None
    if settings.bootstrap_key is not None:
        await keys.create_first(settings.bootstrap_key)
        return None
    key = new_key()
    forget = keep_key(key) if keep_key is not None else _nothing
    if await keys.create_first(key):
        return key
    # Another process was faster; its key counts.
    forget()
    return None


def _nothing() -> None:
    return None


def write_key_file(settings: Settings, key: str) -> Path:
    """Keep a key in a file that only its owner can read; the file's path.

    It stands beside the store's file, or in the data directory where the store has none.
    Raises ConfigurationError.
    """
    database = settings.database
    if database == MEMORY or "://" in database:
        path = data_directory() / f"admin-key-{os.getpid()}"
    else:
        path = Path(f"{database}.admin-key").expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"{key}\n")
    except OSError as exc:
        raise ConfigurationError(f"the first key cannot be kept in {path}: {exc.strerror}") from exc
    return path


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Not SO_REUSEPORT: a second server on the same port is a mistake.
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {exc.strerror}; choose another one with --port"
        ) from exc


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
