"""Turns that are stopped while the store writes their questions: they begin, and then they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from engine_room import ADA, ADMIN, Room, held, in_room, laps
from scripted_agents import EndlessAgent, Gate, ScriptedAgent

from chatserver_sdk.engine import Turn
from chatserver_sdk.engine.errors import ShuttingDown
from chatserver_sdk.models import UserDeletion
from chatserver_sdk.storage import Conflict, NotFound, tables


@asynccontextmanager
async def beginning(room: Room, **session: str) -> AsyncIterator[asyncio.Future[Turn]]:
    """Somebody asks, and the writer has taken the question and not written it yet."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(connection: Any) -> None:
        begun.set()
        go_on.wait()

    async with held(room.store):
        # What is submitted while the writer is held up is its next batch.
        holding = asyncio.ensure_future(room.store.write(hold))
        await laps()
        asking = asyncio.ensure_future(room.say("x", by=ADA, **session))
        await laps()
    while not begun.is_set():
        await asyncio.sleep(0)
    try:
        yield asking
    finally:
        go_on.set()
        await holding


async def states(room: Room) -> list[str]:
    """How the turns in the store stand."""
    return [row.state for row in await room.rows(tables.turns)]


def in_patient_room(agent: Any, work: Any) -> Any:
    """What the work gives; who waits for an end that never comes waits for ever."""
    return in_room(agent, work=work, patience=3600)


@pytest.mark.parametrize("what", ["session", "user"])
def test_deleting_while_a_question_is_stored(what: str) -> None:
    """Whoever asked is given a turn that was cancelled, and no turn stays behind."""

    async def work(room: Room) -> Any:
        first = await room.say("before", by=ADA)
        await room.cancel(first)
        async with beginning(room, session_id=first.session_id) as asking:
            delete = (
                room.delete_session(ADA, first.session_id)
                if what == "session"
                else room.delete_user(ADA, "ada")
            )
            deleting = asyncio.ensure_future(delete)
            await laps()
        turn = await asking
        end = await turn.end()
        await deleting
        return end.type, turn.state, await states(room), room.running_turns

    found = in_patient_room(ScriptedAgent(Gate()), work)
    assert found == ("turn_cancelled", "cancelled", [], 0)


def test_a_session_is_free_behind_it() -> None:
    """A turn that is stopped before its agent begins is stored as cancelled."""

    async def work(room: Room) -> Any:
        async with beginning(room) as asking:
            room.interrupt()
        turn = await asking
        await turn.end()
        again = await room.say("y", by=ADA, session_id=turn.session_id)
        await again.end()
        return await states(room)

    assert in_patient_room(ScriptedAgent("a"), work) == ["cancelled", "completed"]


def test_many_deletions_at_once() -> None:
    """None of them waits for another; one of them deletes."""

    async def work(room: Room) -> Any:
        await (await room.say("before", by=ADA)).end()
        async with beginning(room) as asking:
            deletions = [asyncio.ensure_future(room.delete_user(ADMIN, "ada")) for _ in range(5)]
            await laps()
        await asking
        done = await asyncio.gather(*deletions, return_exceptions=True)
        return [type(each) for each in done], await states(room)

    kinds, left = in_patient_room(ScriptedAgent("a"), work)
    assert sorted(kinds, key=str) == sorted([UserDeletion, *[NotFound] * 4], key=str)
    assert left == []


def test_a_question_that_is_refused_meanwhile() -> None:
    """It has no end, and nobody waits for one."""

    async def work(room: Room) -> Any:
        running = await room.say("x", by=ADA)
        async with beginning(room, session_id=running.session_id) as asking:
            deleting = asyncio.ensure_future(room.delete_user(ADA, "ada"))
            await laps()
        with pytest.raises(Conflict):
            await asking
        await deleting
        return await states(room)

    assert in_patient_room(EndlessAgent(), work) == []


def test_closing_while_a_question_is_stored() -> None:
    """Whoever asked is told, and the turn is stored as interrupted behind it."""

    async def work(room: Room) -> Any:
        async with beginning(room) as asking:
            closing = asyncio.ensure_future(room.close())
            with pytest.raises(ShuttingDown, match="stopping"):
                await asking
        await closing
        return await states(room)

    assert in_patient_room(ScriptedAgent("a"), work) == ["interrupted"]


def test_asking_and_deleting_side_by_side() -> None:
    """Each answer is whole or cancelled; none is lost under a deletion, and none stays behind."""

    async def ask(room: Room) -> set[str]:
        return {(await (await room.say("x", by=ADA)).end()).type for _ in range(40)}

    async def delete(room: Room) -> None:
        for _ in range(15):
            with suppress(NotFound):
                await room.delete_user(ADMIN, "ada")

    async def work(room: Room) -> Any:
        deletions = [asyncio.ensure_future(delete(room)) for _ in range(4)]
        ends = await asyncio.gather(*(ask(room) for _ in range(16)))
        await asyncio.gather(*deletions)
        return set().union(*ends), set(await states(room))

    ends, left = in_patient_room(ScriptedAgent("a"), work)
    assert ends <= {"turn_completed", "turn_cancelled"}
    assert left <= {"completed", "cancelled"}
