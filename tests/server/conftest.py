"""One server for the tests that leave no traces that others could stumble over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_agents import EndlessAgent
from server_wire import Api

from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import (
    ModeChanged,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnCompleted,
    Usage,
    WidgetShown,
    WidgetUpdated,
)
from chatserver_sdk.testing import (
    Failure,
    RunningServer,
    ScriptedAgent,
    Thought,
    running_server,
)

AGENTS = [
    ScriptedAgent("failing", ["half ", ValueError("secret")]),
    ScriptedAgent("declining", [Failure("not this", 422, "unsuitable")]),
    ScriptedAgent("refusing", ["half ", Failure("try tomorrow", 429, "quota")]),
    ScriptedAgent(
        "showing",
        [
            Thought("hm"),
            ToolCall("c1", "look", '{"a":'),
            ToolCallDelta(0, "1}"),
            ToolResult("c1", "found"),
            ModeChanged("expert"),
            WidgetShown("w1", "form", {"f": 1}),
            WidgetUpdated("w1", {"f": 2}),
            "done",
            Usage(UsageInfo(10, 20, 30)),
            TurnCompleted("length"),
        ],
    ),
    EndlessAgent(),
]


@pytest.fixture(scope="session")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `server` keeps its store in."""
    return tmp_path_factory.mktemp("server") / "store.db"


@pytest.fixture(scope="session")
def server(db: Path) -> Iterator[RunningServer]:
    """A real server with echo, eliza, an alias of echo and scripted agents."""
    with running_server(db=str(db), aliases={"gpt-4": "echo"}, agents=AGENTS) as server:
        yield server


@pytest.fixture(scope="session")
def api(server: RunningServer) -> Iterator[Api]:
    """Its routes, with the administrator's key."""
    api = Api(server.base_url, server.api_key)
    yield api
    api.close()
