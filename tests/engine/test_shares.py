"""Nobody takes all of the running turns, and none of them runs for ever."""

from __future__ import annotations

from typing import Any

import pytest
from engine_room import ADA, ADMIN, NOBODY, Room, in_room, laps
from scripted_agents import EndlessAgent, Gate, ScriptedAgent, StubbornAgent

from chatserver_sdk.engine import RateLimited
from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage import NotFound, tables

NEVER = Gate()
SECOND_KEY = Principal("p-ada-2", Role.EXPERT, user_id="ada")
SERVICE = Principal("p-service", Role.SERVICE)


def test_one_users_share() -> None:
    """It is counted over all of a user's keys; others have theirs, and it is had back."""

    async def work(room: Room) -> None:
        first = await room.say("x", by=ADA)
        await room.say("x", by=SECOND_KEY)
        for by in (ADA, SECOND_KEY):
            with pytest.raises(RateLimited, match="2 answers") as caught:
                await room.say("x", by=by)
        assert (caught.value.code, caught.value.retry_after) == ("too_many_turns", 1)
        await room.say("x", user=None, by=NOBODY)
        await room.cancel(first)
        await laps()
        await room.say("x", by=ADA)

    in_room(ScriptedAgent(NEVER), work=work, max_running_each=2)


def test_services_act_for_many() -> None:
    """What they and administrators ask for is bounded by what all may have, and takes nothing
    of a user's."""

    async def work(room: Room) -> int:
        for by in (SERVICE, ADMIN) * 3:
            await room.say("x", by=by)
        await room.say("x", by=ADA)
        return room.running_turns

    assert in_room(ScriptedAgent(NEVER), work=work, max_running_each=1) == 7


def test_a_refused_question_takes_nothing() -> None:
    """A share is had back also where nothing began."""

    async def work(room: Room) -> None:
        turn = await room.say("x", user="bob", by=ADMIN)
        for _ in range(5):
            with pytest.raises(NotFound):
                await room.say("x", by=ADA, session_id=turn.session_id)
            await laps()
        await room.say("x", by=ADA)

    in_room(ScriptedAgent(NEVER), work=work, max_running_each=1)


@pytest.mark.parametrize("user", ["ada", None])
@pytest.mark.parametrize("kind", ["silent", "endless", "stubborn"])
def test_a_turn_that_takes_too_long(kind: str, user: str | None) -> None:
    """It fails with a code of its own, whatever its agent does."""
    stubborn = StubbornAgent()
    agents = {"silent": ScriptedAgent(NEVER), "endless": EndlessAgent(), "stubborn": stubborn}

    async def work(room: Room) -> Any:
        turn = await room.say("x", user=user)
        end: Any = await turn.end()
        stubborn.gate.open()
        return (
            end.code,
            end.status,
            [(r.state, r.error_code) for r in await room.rows(tables.turns)],
        )

    options: dict[str, Any] = {"longest_turn": 0.001, "cancel_patience": 0.01}
    code, status, stored = in_room(agents[kind], work=work, **options)
    assert (code, status) == ("turn_too_long", 500)
    assert stored == ([("failed", "turn_too_long")] if user else [])


@pytest.mark.parametrize("longest", [0, 3600])
def test_a_turn_in_its_time(longest: float) -> None:
    """It is not stopped, and one that is stopped by somebody was cancelled."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        await turn.read(1)
        await room.cancel(turn)
        return turn.state

    assert in_room(ScriptedAgent("a", NEVER), work=work, longest_turn=longest) == "cancelled"
