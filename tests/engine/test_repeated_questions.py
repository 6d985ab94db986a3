"""Idempotency keys in the engine: who waits for whom, what is kept in memory, and how much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from engine_room import ADMIN, Room, held, in_room, laps
from scripted_agents import Gate, ScriptedAgent
from sqlalchemy import update

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import Turn, chat, clock, idempotency
from chatserver_sdk.engine.idempotency import IdempotencyKeys
from chatserver_sdk.models import ChatCompletionRequest, Message, MessageRole
from chatserver_sdk.storage import Conflict, tables
from chatserver_sdk.storage import idempotency as verbs
from chatserver_sdk.storage.idempotency import Claim, Key, KeyTaken

KEY = Key(ADMIN.id, "completions", "k", "h")


async def ask(room: Room, key: Key = KEY, user: str | None = "ada", text: str = "x") -> Turn:
    """The turn that a key stands for."""
    request = ChatCompletionRequest(room.model, [Message(MessageRole.USER, text)], user=user)
    return await room.ask(request, ADMIN, key)


@pytest.mark.parametrize("user", ["ada", None])
def test_the_second_waits_for_the_first(user: str | None) -> None:
    """While the first is being stored, others with its key wait, and then get its turn."""
    agent = ScriptedAgent("a")

    async def work(room: Room) -> Any:
        async with held(room.store):
            asking = [asyncio.ensure_future(ask(room, user=user)) for _ in range(20)]
            await laps()
            waiting = sum(not task.done() for task in asking)
        found = await asyncio.gather(*asking)
        await found[0].end()
        return waiting, len({turn.id for turn in found}), len(await room.rows(tables.turns))

    waiting, count, stored = in_room(agent, work=work)
    assert (waiting, count, stored) == (20, 1, 1 if user else 0)
    assert len(agent.questions) == 1


def test_the_second_does_not_wait_for_ever() -> None:
    """Where the first takes too long, it is told to try again."""

    async def run() -> Any:
        keys = IdempotencyKeys(patience=0.001)
        async with keys.alone(KEY):
            async with keys.alone(replace(KEY, text="other")):
                with pytest.raises(Conflict) as caught:
                    async with keys.alone(KEY):
                        raise AssertionError("it got in")
        async with keys.alone(KEY):
            return caught.value.code

    assert asyncio.run(run()) == "idempotency_in_progress"


def test_an_asker_who_is_gone_leaves_the_turn() -> None:
    """Cancelled while its question is stored, the next one with the key gets that turn."""
    agent = ScriptedAgent("a")

    async def work(room: Room) -> Any:
        async with held(room.store):
            asking = asyncio.ensure_future(ask(room))
            await laps()
            asking.cancel()
            await asyncio.wait([asking])
            second = asyncio.ensure_future(ask(room))
            await laps()
        turn = await second
        await turn.end()
        return len(await room.rows(tables.turns)), turn.state

    assert in_room(agent, work=work) == (1, "completed")
    assert len(agent.questions) == 1


@pytest.mark.parametrize("user", ["ada", None])
def test_a_turn_that_runs_is_joined(user: str | None) -> None:
    """It is the same turn, not one like it."""
    gate = Gate()

    async def work(room: Room) -> Any:
        first = await ask(room, user=user)
        second = await ask(room, user=user)
        with pytest.raises(Conflict, match="another request"):
            await ask(room, replace(KEY, body_hash="i"), user=user)
        gate.open()
        return first is second, type(await second.end()).__name__

    assert in_room(ScriptedAgent(gate, "a"), work=work) == (True, "TurnCompleted")


def test_a_running_turn_of_another_process() -> None:
    """Nobody here can join it: the key is in use."""

    async def work(room: Room) -> Any:
        turn = await ask(room)
        await turn.end()
        await forgotten(room, turn)
        change = update(tables.turns).values(state="running")
        await room.store.write(lambda c: c.execute(change).rowcount)
        await room.store.write(lambda c: c.execute(tables.turn_logs.delete()).rowcount)
        with pytest.raises(Conflict) as caught:
            await ask(room)
        return caught.value.code

    assert in_room(EchoAgent(), work=work, resume_window=0) == "idempotency_in_progress"


async def forgotten(room: Room, turn: Turn) -> None:
    """Wait until the turn is in memory no longer."""
    while room._shelf.find(turn.id) is not None:
        await asyncio.sleep(0)


def with_keys(work: Callable[[IdempotencyKeys], Awaitable[Any]]) -> Any:
    """What the work gives with keys in memory."""

    async def run() -> Any:
        return await work(IdempotencyKeys())

    return asyncio.run(run())


def is_taken(keys: IdempotencyKeys, key: Key) -> bool:
    """Whether the key stands for something."""
    try:
        keys.check_free(Claim(key))
    except KeyTaken:
        return True
    return False


def test_what_is_in_memory_is_bounded() -> None:
    """The oldest keys go first, and one that is taken anew is new."""
    many = [replace(KEY, text=str(number)) for number in range(idempotency._MOST_KEYS)]

    async def work(keys: IdempotencyKeys) -> Any:
        for key in many:
            keys.remember(key, "t")
        keys.remember(many[0], "u")
        keys.remember(KEY, "t")
        return [is_taken(keys, key) for key in (many[0], many[1], many[2], KEY)]

    assert with_keys(work) == [True, False, True, True]


def test_what_is_in_memory_ends() -> None:
    """After a day the key is free."""

    async def work(keys: IdempotencyKeys) -> Any:
        keys.remember(KEY, "t")
        before = is_taken(keys, KEY)
        until, taken = keys._unstored[KEY.place]
        keys._unstored[KEY.place] = until - timedelta(hours=24).total_seconds(), taken
        return before, is_taken(keys, KEY), len(keys._unstored)

    assert with_keys(work) == (True, False, 0)


def test_only_its_own_turn_frees_a_key() -> None:
    """A failed turn that is forgotten late does not take the key from who has it now."""

    async def work(keys: IdempotencyKeys) -> Any:
        keys.remember(KEY, "new")
        keys.forget(KEY, "old")
        still = is_taken(keys, KEY)
        keys.forget(KEY, "new")
        keys.forget(KEY, "new")
        return still, is_taken(keys, KEY)

    assert with_keys(work) == (True, False)


async def old_keys(room: Room, count: int) -> None:
    """Put keys into the store that are too old."""
    long_ago = clock.now() - timedelta(days=2)
    for number in range(count):
        key = replace(KEY, text=f"old {number}")
        await room.store.write(verbs.take, key, long_ago, turn_id="t")


def test_old_keys_go_at_the_start() -> None:
    """And of many, so many at once."""

    async def work(room: Room) -> int:
        await old_keys(room, 3)
        await room.start()
        return len(await room.rows(tables.idempotency_keys))

    assert in_room(EchoAgent(), work=work) == 0 < idempotency._KEYS_PER_SWEEP < chat._KEYS_A_SWEEP


def test_old_keys_go_now_and_then() -> None:
    """After so many requests with keys, without anybody's having to stop."""

    async def work(room: Room) -> Any:
        await old_keys(room, 1)
        for number in range(idempotency._KEYS_PER_SWEEP - 1):
            await ask(room, replace(KEY, text=str(number)), user=None)
        before = len(await room.rows(tables.idempotency_keys))
        await ask(room, user=None)
        return before, len(await room.rows(tables.idempotency_keys))

    assert in_room(EchoAgent(), work=work) == (1, 0)


def test_a_lost_end_is_settled_by_who_asks_again() -> None:
    """A turn whose end the store would not take failed: its question is asked again."""
    full = """CREATE TRIGGER full BEFORE INSERT ON turn_logs
    BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"""

    async def work(room: Room) -> Any:
        await room.store.write(lambda c: c.exec_driver_sql(full).close())
        lost = await ask(room)
        await lost.end()
        await forgotten(room, lost)
        await room.store.write(lambda c: c.exec_driver_sql("DROP TRIGGER full").close())
        again = await ask(room)
        await again.end()
        return again.session_id == lost.session_id, again.id == lost.id, await room.texts(again)

    assert in_room(EchoAgent(), work=work, resume_window=0) == (True, False, ["x", "x"])
