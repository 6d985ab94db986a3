"""Ends of turns that a database would not take: stored as soon as it does, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_room import Room, in_room
from scripted_agents import Gate, ScriptedAgent

from chatserver_sdk.engine import Turn
from chatserver_sdk.storage import StoreUnavailable, tables

FULL = """
CREATE TRIGGER full BEFORE INSERT ON turn_logs
BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END
"""
ROOM_AGAIN = "DROP TRIGGER full"


async def run_sql(room: Room, statement: str) -> None:
    """Change the database itself."""
    await room.store.write(lambda connection: connection.exec_driver_sql(statement).close())


async def lost_turn(room: Room, gate: Gate) -> Turn:
    """A turn that has ended for its readers, and not in the store, which is full now."""
    turn = await room.say("x")
    await run_sql(room, FULL)
    gate.open()
    end: Any = await turn.end()
    assert (end.code, end.status) == ("store_unavailable", 503)
    return turn


async def figures(room: Room) -> tuple[list[tuple[str, str | None]], int]:
    """How each turn stands in the store, and how many requests were counted."""
    stored = [(row.state, row.error_code) for row in await room.rows(tables.turns)]
    return stored, sum(row.requests for row in await room.rows(tables.usage_days))


LOST = ("failed", "store_unavailable")


@pytest.fixture(params=["file", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    """Runs work in a room over a store of each kind; its agent waits for the gate `work` gets."""
    db = str(tmp_path / "store.db") if request.param == "file" else ":memory:"
    gate = Gate()
    agent = ScriptedAgent(gate, "a")
    return lambda work: in_room(agent, work=lambda room: work(room, gate), db=db)


def test_a_session_goes_on_when_there_is_room_again(run: Any) -> None:
    """Meanwhile whoever asks is told why, as often as they ask, and nothing is half written."""

    async def work(room: Room, gate: Gate) -> Any:
        lost = await lost_turn(room, gate)
        for session in (lost.session_id, None):
            with pytest.raises(StoreUnavailable, match="full"):
                await room.say("y", session_id=session)
        meanwhile = await figures(room), await room.texts(lost)
        await run_sql(room, ROOM_AGAIN)
        again = await room.say("y", session_id=lost.session_id)
        await again.end()
        return meanwhile, await figures(room), await room.texts(lost)

    meanwhile, afterwards, texts = run(work)
    assert meanwhile == (([("running", None)], 0), ["x"])
    assert afterwards == ([LOST, ("completed", None)], 2) and texts == ["x", "y", "a"]


def test_two_who_ask_at_once_settle_it_once(run: Any) -> None:
    """The lost turn is counted once, whoever comes first."""

    async def work(room: Room, gate: Gate) -> Any:
        await lost_turn(room, gate)
        await run_sql(room, ROOM_AGAIN)
        turns = await asyncio.gather(*(room.say("y") for _ in range(3)))
        await asyncio.gather(*(turn.end() for turn in turns))
        return await figures(room)

    assert run(work) == ([LOST, *[("completed", None)] * 3], 4)


def test_closing_tries_once_more(run: Any) -> None:
    """A turn that nobody asks after is settled when the server stops."""

    async def work(room: Room, gate: Gate) -> Any:
        await lost_turn(room, gate)
        await run_sql(room, ROOM_AGAIN)
        await room.close()
        return await figures(room)

    assert run(work) == ([LOST], 1)


def test_closing_gives_up(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A database that is full to the end keeps no server from stopping; the log says so."""

    async def work(room: Room, gate: Gate) -> Any:
        await lost_turn(room, gate)
        await room.close()
        return await figures(room)

    assert run(work) == ([("running", None)], 0)
    assert "1 turns could not be stored as ended: " in caplog.text


def test_a_full_store_is_one_sentence(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The operator reads what the database says, once a turn, and no traceback of ours."""

    async def work(room: Room, gate: Gate) -> Any:
        lost = await lost_turn(room, gate)
        said = [record.getMessage() for record in caplog.records]
        await run_sql(room, ROOM_AGAIN)
        return lost.id, said

    turn_id, said = run(work)
    assert said == [
        f"the answer of turn {turn_id} could not be stored, and neither could its end:"
        " the database failed: database or disk is full"
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_nobodys_turns_need_no_room(run: Any) -> None:
    """What is not stored is answered all the same, and counted when there is room again."""

    async def work(room: Room, gate: Gate) -> Any:
        await lost_turn(room, gate)
        await run_sql(room, FULL.replace("full", "fuller", 1).replace("turn_logs", "usage_days"))
        ends = [await (await room.say("y", user=None)).end() for _ in range(2)]
        with pytest.raises(StoreUnavailable, match="full"):
            await room.tally.flush()
        for trigger in (ROOM_AGAIN, "DROP TRIGGER fuller"):
            await run_sql(room, trigger)
        await (await room.say("z")).end()
        await room.tally.flush()
        return [end.type for end in ends], await figures(room)

    ended, counted = run(work)
    assert ended == ["turn_completed"] * 2
    assert counted == ([LOST, ("completed", None)], 4)
