"""An answer has an end, whatever its agent does."""

from __future__ import annotations

from typing import Any

import pytest
from engine_room import Room, in_room
from scripted_agents import EndlessAgent, ScriptedAgent

from chatserver_sdk.models.events import TextDelta, ThoughtDelta, TurnFailed
from chatserver_sdk.storage import tables


@pytest.mark.parametrize("kind", [TextDelta, ThoughtDelta])
def test_an_answer_has_a_longest_length(kind: Any) -> None:
    """An agent that does not stop is stopped, whether it speaks or thinks."""
    agent = ScriptedAgent(*[kind("x" * 1_000_000)] * 8, kind("x"), kind("never"))

    async def work(room: Room) -> Any:
        turn = await room.say("x", user=None)
        return await turn.end(), len(turn.log)

    end, length = in_room(agent, work=work)
    assert isinstance(end, TurnFailed) and end.code == "answer_too_long" and agent.over.is_set()
    assert length == 1 + 8 + 2


def test_an_answer_has_a_largest_number_of_events() -> None:
    """Words without a letter are counted too, and so many of them can be stored."""
    agent = EndlessAgent("")

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        end = await turn.end()
        (log,) = await room.rows(tables.turn_logs)
        return end, len(turn.log), [len(item.get("texts", "")) for item in log.events]

    end, length, stored = in_room(agent, work=work)
    assert isinstance(end, TurnFailed) and end.code == "answer_too_long" and agent.over.is_set()
    assert length == 500_002 and stored == [0, 499_999, 0, 0]
