"""Commits that are carried out and not acknowledged, as where a connection breaks in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from engine_room import ADA, Room, in_room
from scripted_agents import Gate, ScriptedAgent
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from chatserver_sdk.storage import StoreUnavailable, tables

SESSION = "5d4e8b0a-6a6b-4c55-9d6c-5d1f1e2b7a10"
LOST = ("failed", "store_unavailable")


@contextmanager
def unacknowledged() -> Iterator[list[int]]:
    """The next commit is carried out, and whoever waits for it hears that it failed."""
    lost: list[int] = []

    def commit(connection: Connection) -> None:
        if not lost:
            lost.append(1)
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            raise OperationalError("COMMIT", None, Exception("the connection broke"))

    event.listen(Engine, "commit", commit)
    try:
        yield lost
    finally:
        event.remove(Engine, "commit", commit)


async def stored(room: Room) -> list[tuple[str, str | None]]:
    """How each turn stands in the store."""
    return [(row.state, row.error_code) for row in await room.rows(tables.turns)]


def test_a_beginning_that_was_stored_all_the_same() -> None:
    """Whoever asked hears that it failed; the session goes on with the next question."""

    async def work(room: Room) -> Any:
        with unacknowledged() as lost, pytest.raises(StoreUnavailable, match="broke"):
            await room.say("x", by=ADA, session_id=SESSION)
        meanwhile = lost, await stored(room)
        turn = await room.say("y", by=ADA, session_id=SESSION)
        await turn.end()
        return meanwhile, await stored(room), await room.texts(turn)

    meanwhile, afterwards, texts = in_room(ScriptedAgent("a"), work=work)
    assert meanwhile == ([1], [("running", None)])
    assert afterwards == [LOST, ("completed", None)] and texts == ["x", "y", "a"]


def test_closing_ends_it() -> None:
    """Where nobody asks again, it ends with the server."""

    async def work(room: Room) -> Any:
        with unacknowledged(), pytest.raises(StoreUnavailable):
            await room.say("x", by=ADA)
        await room.close()
        return await stored(room)

    assert in_room(ScriptedAgent("a"), work=work) == [LOST]


def test_an_end_that_was_stored_all_the_same() -> None:
    """Its readers hear that it failed; what is stored stays, and is counted once."""
    gate = Gate()

    async def work(room: Room) -> Any:
        turn = await room.say("x", by=ADA)
        with unacknowledged() as lost:
            gate.open()
            end: Any = await turn.end()
        again = await room.say("y", by=ADA, session_id=turn.session_id)
        await again.end()
        counted = sum(row.requests for row in await room.rows(tables.usage_days))
        return lost, end.code, await stored(room), await room.texts(turn), counted

    lost, code, states, texts, counted = in_room(ScriptedAgent(gate, "a"), work=work)
    assert (lost, code) == ([1], "store_unavailable")
    assert states == [("completed", None)] * 2
    assert texts == ["x", "a", "y", "a"] and counted == 2
