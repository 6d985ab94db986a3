"""running_server: a real chat server in a thread of this process, for as long as a block lasts."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from chatserver_sdk._transport import DEFAULT_TIMEOUT, RetryPolicy, Timeout
from chatserver_sdk.agents import Agent
from chatserver_sdk.client import ChatServerClient
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.server import Settings, Started, process, serve
from chatserver_sdk.storage.location import name_of

_START_SECONDS = 60.0


@dataclass(frozen=True)
class RunningServer:
    """Where it answers, and the administrator's key."""

    base_url: str
    api_key: str = field(repr=False)

    def client(
        self,
        timeout: float | Timeout | None = DEFAULT_TIMEOUT,
        *,
        max_retries: int | RetryPolicy = 2,
    ) -> ChatServerClient:
        """A new client of it, with the administrator's key; close it."""
        return ChatServerClient(self.api_key, self.base_url, timeout, max_retries=max_retries)


@contextmanager
def running_server(
    *,
    db: str = ":memory:",
    aliases: Mapping[str, str] | None = None,
    agents: Sequence[Agent] = (),
    dev: bool = False,
    api_key: str | None = None,
) -> Iterator[RunningServer]:
    """A server on a free loopback port; when the block ends it has stopped.

    db: as of `chatserver serve --db`. agents: further ones, beside echo and eliza.
    api_key: the administrator's key, which a new store is given and an old one has to know; by
    default a random one, so a file that is to be used again needs a key of your own.
    Raises what the server fails to start with; ConfigurationError for a key that an old store
    does not know.
    """
    key = f"csk_{secrets.token_urlsafe(32)}" if api_key is None else api_key
    settings = Settings(port=0, db=db, dev=dev, aliases=aliases or {}, bootstrap_key=key, grace=0.5)
    thread = _ServerThread(settings, agents)
    try:
        started = thread.start()
        if started.ignores_bootstrap_key:
            raise ConfigurationError(
                f"the store {name_of(db)} has keys already and does not know this one; give api_key= one"
                " that it knows"
            )
        yield RunningServer(started.url, key)
    finally:
        thread.stop()


class _ServerThread:
    def __init__(self, settings: Settings, agents: Sequence[Agent]) -> None:
        self._settings = settings
        self._agents = agents
        self._handle = process.Handle()
        self._settled = threading.Event()
        self._server: Started | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="running-server", daemon=True)

    def start(self) -> Started:
        """Wait until it answers. Raises what it fails with."""
        self._thread.start()
        self._settled.wait(_START_SECONDS)
        if self._server is None:
            raise self._failure or TimeoutError("the server did not start in time")
        return self._server

    def stop(self) -> None:
        self._handle.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            process.run(
                serve(self._settings, self._on_start, agents=self._agents, handle=self._handle)
            )
        except Exception as exc:
            # Handed to the thread that waits for the start.
            self._failure = exc
        finally:
            self._settled.set()

    def _on_start(self, started: Started) -> None:
        self._server = started
        self._settled.set()
