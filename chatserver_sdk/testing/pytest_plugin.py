"""Fixtures for tests of programs that talk to a chat server; pytest finds them by itself.

Every run of pytest loads this module wherever the package is installed, whether a test uses it or
not: nothing may be imported here before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chatserver_sdk.agents import Agent
    from chatserver_sdk.client import ChatServerClient

    from .embedded_server import RunningServer
    from .wire_server import WireServer


@pytest.fixture
def wire_server() -> Iterator[WireServer]:
    """A server that sends the bytes it is told; closed when the test ends."""
    from .wire_server import WireServer

    with WireServer() as server:
        yield server


@pytest.fixture(scope="session")
def chat_server() -> Iterator[RunningServer]:
    """A chat server with echo and eliza, its store in memory; one for all tests of the run."""
    with _running_server()() as server:
        yield server


@pytest.fixture
def chat_client(chat_server: RunningServer) -> Iterator[ChatServerClient]:
    """A client of `chat_server` with the administrator's key; closed when the test ends."""
    with chat_server.client() as client:
        yield client


@pytest.fixture
def start_chat_server() -> Iterator[Callable[..., RunningServer]]:
    """A function that starts a chat server with these agents, beside echo and eliza.

    Further arguments are those of `running_server`. The servers stop when the test ends.
    """
    running_server = _running_server()
    with ExitStack() as servers:

        def start(*agents: Agent, **options: Any) -> RunningServer:
            return servers.enter_context(running_server(agents=agents, **options))

        yield start


def _running_server() -> Callable[..., AbstractContextManager[RunningServer]]:
    try:
        from .embedded_server import running_server
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.startswith("chatserver_sdk"):
            raise
        missing = exc.name.partition(".")[0]
        pytest.fail(
            f"a chat server in a test needs {missing}: pip install 'chatserver-sdk[server]'",
            pytrace=False,
        )
    return running_server
