"""A running server: its store, its first key, its socket and its end."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

import uvicorn

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine import new_key
from chatserver_sdk.engine.keys import DEV_ADMIN
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.storage import (
    Conflict,
    Store,
    StoreInUse,
    StoreUnavailable,
    admins,
    open_store,
)
from chatserver_sdk.storage.location import file_of
from chatserver_sdk.storage.lock import exclusive

from . import tls
from .app import ChatServerApp, create_app
from .connections import protocol_for
from .settings import Settings, data_directory

_log = logging.getLogger(__name__)

_GC_THRESHOLDS = (20_000, 50, 50)
# What connections are given, once the answers have ended, to take in what was sent.
_CLOSING_SECONDS = 1.0
_HURRIED_SECONDS = 0.2
_PORT_AT_FAULT = (errno.EADDRINUSE, errno.EACCES)


@dataclass(frozen=True)
class Started:
    """A server that answers. key: the first administrator's, if it was made just now.

    ignores_bootstrap_key: the store has keys of its own, and the settings' is none of them.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    ignores_bootstrap_key: bool = False


@dataclass
class Handle:
    """Stops a server from another thread."""

    _server: _Server | None = None
    _is_stopped: bool = False

    def stop(self) -> None:
        """Ask it to stop, even before it runs; running answers get their grace."""
        self._is_stopped = True
        if self._server is not None:
            self._server.should_exit = True

    def hold(self, server: _Server) -> None:
        """This is the server to stop. The order matters: stop() may run at the same time."""
        self._server = server
        if self._is_stopped:
            server.should_exit = True


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
    context = tls.context_of(settings)
    listening = _listen(settings.host, settings.port)
    with listening, exclusive(settings.database) as hold:
        store = open_store(settings.database)
        try:
            app = create_app(store, settings, agents)
            key = await _first_key(app, settings, keep_key)
            is_ignored = await _ignores_bootstrap_key(app, settings)
            server = _Server(
                app, Started(_url(listening, context), key, is_ignored), on_start, context
            )
            if handle is not None:
                handle.hold(server)
            # SystemExit is how newer versions of uvicorn say that they cannot start.
            with hold.watched(server.lose), suppress(SystemExit):
                await server.serve(sockets=[listening])
            if server.loss is not None:
                raise server.loss
            if not server.started:
                raise StoreUnavailable("the server could not start; the lines above say why")
        finally:
            store.close()


def run(main: Coroutine[None, None, None]) -> None:
    """asyncio.run() on the fastest loop that there is, in a process that is a server's alone."""
    # What was made so far stays; most of what a request makes goes with it, without the collector,
    # whose rounds would cost a quarter of a request.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        import uvloop
    except ModuleNotFoundError:  # pragma: no cover - there is none for Windows
        asyncio.run(main)
    else:
        uvloop.run(main)


def _config(app: ChatServerApp) -> uvicorn.Config:
    settings = app.services.settings
    return uvicorn.Config(
        app,
        http=protocol_for(settings),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nobody else may say who is asking, and how.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=math.ceil(settings.keep_alive),
        timeout_graceful_shutdown=5,
    )


class _Server(uvicorn.Server):
    def __init__(
        self,
        app: ChatServerApp,
        started: Started,
        on_start: Callable[[Started], None],
        context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(_config(app))
        self.config.load()
        self.config.ssl = context
        self._services = app.services
        self._announced = started
        self._on_start = on_start
        self._is_hurried = False
        self.loss: StoreInUse | None = None

    def lose(self, loss: StoreInUse) -> None:
        """Stop at once, as the store is another server's; said in whichever thread."""
        _log.error("%s", loss)
        self.loss = loss
        # Nothing more can be stored that is worth waiting for.
        self._is_hurried = True
        self._services.chat.begin_closing()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start(self._announced)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A second Ctrl-C: whoever stops the server does not want to wait for the answers. Not
        # uvicorn's force_exit, which leaves the application's end out.
        if self.should_exit and sig == signal.SIGINT:
            self._is_hurried = True
        self._services.chat.begin_closing()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Answers end first: uvicorn would wait for their readers, and they for the answers.
        chat = self._services.chat
        closing = asyncio.ensure_future(chat.close(self._services.settings.grace))
        while not closing.done():
            await asyncio.wait({closing}, timeout=0.1)
            if self._is_hurried:
                chat.interrupt()
        delay = _HURRIED_SECONDS if self._is_hurried else _CLOSING_SECONDS
        cutting = asyncio.get_running_loop().call_later(delay, self._cut_off)
        await super().shutdown(sockets)
        cutting.cancel()

    def _cut_off(self) -> None:
        """Drop who neither sends a whole request nor reads: uvicorn would wait, and complain."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

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
    if settings.dev:
        # A store with keys has administrators that count.
        if not await keys.exist():
            await _enrol_dev_admin(app.services.store)
        return None
    if await keys.exist():
        return None
    if settings.bootstrap_key is not None:
        await keys.create_first(settings.bootstrap_key)
        return None
    key = new_key()
    forget = keep_key(key) if keep_key is not None else _nothing
    try:
        is_first = await keys.create_first(key)
    except Exception:
        forget()
        raise
    if is_first:
        return key
    # Another process was faster; its key counts.
    forget()
    return None


async def _ignores_bootstrap_key(app: ChatServerApp, settings: Settings) -> bool:
    key = settings.bootstrap_key
    return key is not None and not await app.services.keys.knows(key)


async def _enrol_dev_admin(store: Store) -> None:
    """List whoever asks a development server as one of its administrators.

    They act as one, so the first other one that they add must not count as the last.
    """
    with suppress(Conflict):
        await store.write(
            admins.add_admin,
            workos_id=None,
            email=DEV_ADMIN,
            name="dev",
            by=None,
            now=datetime.now(timezone.utc),
        )


def _nothing() -> None:
    return None


def write_key_file(settings: Settings, key: str) -> Path:
    """Keep a key in a file of this process that only its owner can read; the file's path.

    It stands beside the store's file, or in the data directory where the store has none.
    settle_key_file() gives it its name. Raises ConfigurationError.
    """
    store = file_of(settings.database)
    if store is None:
        path = data_directory() / f"admin-key-{os.getpid()}"
    else:
        path = store.with_name(f"{store.name}.admin-key")
    # Two servers may start on one new store, and the key of only one of them will count.
    path = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"{key}\n")
    except OSError as exc:
        raise ConfigurationError(f"the first key cannot be kept in {path}: {exc.strerror}") from exc
    return path


def settle_key_file(path: Path) -> Path:
    """Give the file of a key that counts its name, if that is free; where the file is."""
    try:
        return path.replace(path.with_suffix(""))
    except OSError:
        return path


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Not SO_REUSEPORT: a second server on the same port is a mistake.
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as exc:
        # create_server() adds the address to the system's words.
        reason = (getattr(exc, "strerror", None) or "that is no host").partition(" (while ")[0]
        is_port = getattr(exc, "errno", None) in _PORT_AT_FAULT
        other = "port with --port" if is_port else "address with --host"
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {reason}; choose another {other}"
        ) from exc


def _url(listening: socket.socket, context: ssl.SSLContext | None) -> str:
    host, port = listening.getsockname()[:2]
    scheme = "http" if context is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
