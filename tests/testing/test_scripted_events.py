"""ScriptedAgent says every kind of event, and a client in a session sees each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chatserver_sdk import ChatServerClient, StreamFailedError
from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import (
    TERMINAL,
    Event,
    ExpertJoined,
    ExpertLeft,
    ModeChanged,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    Usage,
    WidgetShown,
    WidgetUpdated,
)
from chatserver_sdk.testing import Failure, ScriptedAgent, Thought, ToolUse, running_server

SAID: list[Event] = [
    ThoughtDelta("hm"),
    ToolCall("c1", "look", '{"a":'),
    ToolCallDelta(0, "1}"),
    ToolResult("c1", "found", "look"),
    WidgetShown("w", "form", {"f": 1}),
    WidgetUpdated("w", {"f": 2}),
    ModeChanged("expert"),
    ExpertJoined("e"),
    ExpertLeft("e"),
    TextDelta("done"),
]
ENDS: list[Event] = [TurnCompleted("length"), TurnCancelled("enough"), TurnFailed("no", "c", 418)]
# What the server says itself, whatever the agent does.
OWN = {"turn_started", "message_stored", "usage"}


@pytest.fixture(scope="module")
def client() -> Iterator[ChatServerClient]:
    """A client of a server with an agent for each end, and one that uses the steps' own words."""
    agents = [ScriptedAgent(end.type, [*SAID, Usage(UsageInfo(1, 2, 3)), end]) for end in ENDS]
    worded = ScriptedAgent("worded", [Thought("hm"), ToolUse("look"), "done"], Failure("no", 418))
    with running_server(agents=[*agents, worded]) as server, server.client() as client:
        yield client


def heard(client: ChatServerClient, model: str) -> list[Event]:
    """What a client is told, up to a failure."""
    session = client.create_session(model, user_id="ada")
    found: list[Event] = []
    try:
        for said in client.send_message(session.id, "Hi", stream=True).events():
            found.append(said)
    except StreamFailedError as exc:
        found.append(TurnFailed(exc.message, exc.code or "", exc.status_code or 0))
    return found


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.type)
def test_every_kind_of_event(client: ChatServerClient, end: Event) -> None:
    """In order, with all its fields, and exactly one end."""
    found = heard(client, end.type)
    for said in found:
        said.seq, said.at = 0, None
    assert [said for said in found if said.type not in OWN][:-1] == SAID
    assert [said.type for said in found if isinstance(said, TERMINAL)] == [end.type]
    assert type(found[-1]) is type(end)
    kinds = {type(said) for said in [*found, *ENDS]}
    assert isinstance(end, TurnFailed) or kinds == {*Event.__subclasses__()}


def test_its_own_words(client: ChatServerClient) -> None:
    """Thought, ToolUse and Failure are events as well."""
    kinds = [said.type for said in heard(client, "worded")]
    assert kinds[:4] == ["turn_started", "thought_delta", "tool_call", "text_delta"]
    assert heard(client, "worded")[-1] == TurnFailed("no", "agent_failed", 418)
