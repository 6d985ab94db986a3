"""Who asked with another key, or while they were more: what they may read now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from engine_room import ADA, Room, in_room
from scripted_agents import ScriptedAgent

from chatserver_sdk.models import ChatCompletionRequest, Message, MessageRole, Principal, Role
from chatserver_sdk.storage import NotFound
from chatserver_sdk.storage.idempotency import Key

WIDE = Principal("p-two-keys", Role.SERVICE)
NARROW = Principal("p-two-keys", Role.USER, user_id="carol")


@pytest.mark.parametrize("by", [NARROW, Principal("p-two-keys", Role.USER), ADA])
@pytest.mark.parametrize("step", ["x", RuntimeError("no")])
def test_who_asked_with_a_wider_key(by: Principal, step: Any) -> None:
    """A key reads what its role and user allow, whatever its principal asked with another one;
    also an idempotency key's answer, and of a failed question nothing."""
    plain = ChatCompletionRequest("a", [Message(MessageRole.USER, "hello")])
    key, wide = Key(by.id, "completions", "k", "h"), replace(WIDE, id=by.id)

    async def work(room: Room) -> None:
        turn = await room.ask(replace(plain, user="dave"), wide, key)
        own = await room.ask(plain, wide)
        await asyncio.gather(turn.end(), own.end())
        for refused in (room.get_turn(turn.id, by), room.ask(plain, by, key)):
            with pytest.raises(NotFound, match="of yours"):
                await refused
        assert await room.get_turn(turn.id, wide) is turn
        # Without a user it is whose who asked.
        assert await room.get_turn(own.id, by) is own

    in_room(ScriptedAgent(step, name="a"), work=work)
