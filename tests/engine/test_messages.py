"""Messages to sessions without HTTP: stopping, waiting in line, readers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from engine_room import ADA, ADMIN, NOBODY, Room, held, in_room, kinds, laps
from scripted_agents import EndlessAgent, Gate, ScriptedAgent, StubbornAgent

from chatserver_sdk.agents import Agent
from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import InvalidRequest, SessionService, ShuttingDown, Turn
from chatserver_sdk.models import (
    CreateSessionRequest,
    MessageRole,
    SessionChatRequest,
    SessionMessage,
    UpdateSessionRequest,
)
from chatserver_sdk.models.events import TurnCancelled
from chatserver_sdk.storage import Conflict, NotFound

NEVER = Gate()


def message(text: str = "x", **metadata: Any) -> SessionChatRequest:
    """A message of the user."""
    return SessionChatRequest(SessionMessage(MessageRole.USER, text), metadata=metadata or None)


async def open_session(room: Room, **fields: Any) -> str:
    """The id of a new session of Ada's with the first agent."""
    service = SessionService(room.store, room._catalogue, room)
    request = CreateSessionRequest(room.model, "ada", **fields)
    session_id: str = (await service.create_session(ADMIN, request))[1]["id"]
    return session_id


def in_session(
    *agents: Agent, script: Callable[[Room, str], Awaitable[Any]], **options: Any
) -> Any:
    """What `script` gives with a session of the first agent."""

    async def work(room: Room) -> Any:
        return await script(room, await open_session(room))

    return in_room(*agents, work=work, **options)


def test_a_message_is_answered() -> None:
    """The turn can be read from Python as from anywhere."""

    async def script(room: Room, session_id: str) -> Any:
        turn = await room.send_message(session_id, message("hi"), ADA)
        await turn.end()
        assert await room.join(session_id, ADA) is turn
        assert await room.join(session_id.upper(), ADA, turn.id) is turn
        assert await room.cancel_message(session_id, ADA) is None
        return turn.text, kinds(turn.log)[-1]

    assert in_session(EchoAgent(), script=script) == ("hi", "turn_completed")


@pytest.mark.parametrize("name", ["send", "join", "cancel"])
def test_only_the_owner(name: str) -> None:
    """For others the session is not there."""

    async def script(room: Room, session_id: str) -> None:
        work = {
            "send": lambda: room.send_message(session_id, message(), NOBODY),
            "join": lambda: room.join(session_id, NOBODY),
            "cancel": lambda: room.cancel_message(session_id, NOBODY),
        }[name]
        with pytest.raises(NotFound):
            await work()

    in_session(EchoAgent(), script=script)


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what others on the loop bring about."""
    while not is_so():
        await asyncio.sleep(0)


def test_what_is_cancelled_while_it_is_stored(tmp_path: Path) -> None:
    """A stop that comes before the message is stored stops its turn all the same."""

    async def script(room: Room, session_id: str) -> Any:
        async with held(room.store) as go_on:
            sending = asyncio.ensure_future(room.send_message(session_id, message(), ADA))
            await until(lambda: room._running._opening)
            await room.store.read(lambda connection: None)
            stopping = asyncio.ensure_future(room.cancel_message(session_id, ADA))
            await room.store.read(lambda connection: None)
            await laps()
            assert not stopping.done()
            go_on.set()
            turn = await sending
            return await stopping is turn, type(await turn.end())

    found = in_session(ScriptedAgent(NEVER), script=script, db=str(tmp_path / "store.db"))
    assert found == (True, TurnCancelled)


def test_an_agent_that_does_not_stop() -> None:
    """Its turn ends without it, what it says afterwards is not heard, and it is left alone."""
    agent = StubbornAgent()

    async def script(room: Room, session_id: str) -> Any:
        turn = await room.send_message(session_id, message(), ADA)
        await turn.read(1)
        assert await room.cancel_message(session_id, ADA) is turn
        said = list(turn.log)
        second = await room.send_message(session_id, message(), ADA)
        agent.gate.open()
        await second.end()
        await laps()
        assert turn.log == said and turn.text == "no "
        return await room.texts(turn)

    texts = in_session(agent, script=script, cancel_patience=0.01)
    assert texts == ["x", "no ", "x", "no "]


def test_one_that_goes_on_talking() -> None:
    """Words behind the end are not heard."""

    class Talker(StubbornAgent):
        async def answer(self, question: Any) -> Any:
            async for said in super().answer(question):
                yield said
            for _ in range(3):
                yield "more "

    agent = Talker()

    async def script(room: Room, session_id: str) -> Any:
        turn = await room.send_message(session_id, message(), ADA)
        await turn.read(1)
        await room.cancel_message(session_id, ADA)
        agent.gate.open()
        await laps()
        return turn.text, kinds(turn.log)[-1]

    found = in_session(agent, script=script, cancel_patience=0.01)
    assert found == ("no ", "turn_cancelled")


def test_messages_wait_in_line() -> None:
    """In the order in which they came; where too many wait the next one is refused."""
    gate = Gate()

    async def script(room: Room, session_id: str) -> Any:
        first = await room.send_message(session_id, message("1"), ADA)
        waiting: list[Any] = []

        def line() -> Any:
            return room._running._lines.get(session_id, ())

        for text in "23":
            waiting.append(asyncio.ensure_future(room.send_message(session_id, message(text), ADA)))
            await until(lambda: len(line()) == len(waiting))
        with pytest.raises(Conflict, match="2 messages wait"):
            await room.send_message(session_id, message("4"), ADA)
        gate.open()
        for turn in [first, *[await one for one in waiting]]:
            await turn.end()
        after = await room.send_message(session_id, message("5"), ADA)
        await after.end()
        return await room.texts(after)

    texts = in_session(ScriptedAgent(gate, "a"), script=script, most_waiting=2)
    assert texts == ["1", "a", "2", "a", "3", "a", "5", "a"]


def test_who_waits_when_the_service_closes() -> None:
    """Is refused, as everybody is."""

    async def script(room: Room, session_id: str) -> None:
        await room.send_message(session_id, message("1"), ADA)
        waiting = asyncio.ensure_future(room.send_message(session_id, message("2"), ADA))
        await until(lambda: room._running._lines)
        await room.close()
        with pytest.raises(ShuttingDown):
            await waiting

    in_session(ScriptedAgent(NEVER), script=script, most_waiting=1)


def reading(
    script: Callable[[Room, Turn], Awaitable[Any]],
    wanted: str | None = None,
    of_session: str | None = None,
    **options: Any,
) -> Any:
    """What `script` gives with a turn that goes on for ever."""

    async def work(room: Room) -> Any:
        metadata = {"on_disconnect": of_session} if of_session else None
        session_id = await open_session(room, metadata=metadata)
        sent = {"on_disconnect": wanted} if wanted else {}
        return await script(room, await room.send_message(session_id, message(**sent), ADA))

    return in_room(ScriptedAgent("a ", NEVER), work=work, **options)


@pytest.mark.parametrize(
    ("request_", "session", "server", "is_stopped"),
    [
        (None, None, "continue", False),
        (None, None, "cancel", True),
        (None, "cancel", "continue", True),
        (None, "continue", "cancel", False),
        ("cancel", "continue", "continue", True),
        ("continue", "cancel", "cancel", False),
    ],
)
def test_a_reader_that_leaves(
    request_: str | None, session: str | None, server: str, is_stopped: bool
) -> None:
    """The request says what becomes of the turn, else its session, else the server."""

    async def script(room: Room, turn: Turn) -> Any:
        with room.reading(turn):
            await laps()
        if is_stopped:
            await turn.end()
        await laps()
        return turn.state

    found = reading(script, request_, session, on_disconnect=server, disconnect_grace=0.0)
    assert found == ("cancelled" if is_stopped else "running")


def test_a_reader_that_comes_back() -> None:
    """Saves its turn; the time begins anew when the last one leaves."""

    async def script(room: Room, turn: Turn) -> Any:
        with room.reading(turn):
            with room.reading(turn):
                pass
            await laps()
            states = [turn.state]
        with room.reading(turn):
            await laps()
            states.append(turn.state)
        return [*states, type(await turn.end())]

    found = reading(script, "cancel", disconnect_grace=0.0)
    assert found == ["running", "running", TurnCancelled]


def test_completions_too() -> None:
    """`metadata.on_disconnect` means the same there."""

    async def work(room: Room) -> Any:
        turn = await room.say("x", on_disconnect="cancel")
        with room.reading(turn):
            await laps()
        with pytest.raises(InvalidRequest):
            await room.say("x", on_disconnect="never")
        return type(await turn.end())

    found = in_room(ScriptedAgent(NEVER), work=work, disconnect_grace=0.0)
    assert found is TurnCancelled


def test_five_hundred_turns_at_once() -> None:
    """Each in a session of its own, and all are stopped when somebody says so."""

    async def script(room: Room, session_id: str) -> Any:
        ids = [session_id, *[await open_session(room) for _ in range(499)]]
        turns = await asyncio.gather(*(room.send_message(one, message(), ADA) for one in ids))
        running = [room._running.find(one) is turn for one, turn in zip(ids, turns)]
        stopped = await asyncio.gather(*(room.cancel_message(one, ADA) for one in ids))
        await laps()
        return all(running), stopped == turns, len(room._tasks), len(room._ends)

    found = in_session(ScriptedAgent("a ", NEVER), script=script, max_running_each=500)
    assert found == (True, True, 0, 0)


def test_a_reader_that_is_slow() -> None:
    """It holds up neither the agent nor another reader."""

    async def script(room: Room, session_id: str) -> Any:
        turn = await room.send_message(session_id, message(), ADA)
        with room.reading(turn):
            slow = await turn.read(0, most=1)
            fast = 0
            while fast < 1000:
                fast += len(await turn.read(fast))
            await room.cancel_message(session_id, ADA)
            return len(slow), fast >= 1000, len(await turn.read(1, most=512)) == 512

    assert in_session(EndlessAgent(), script=script) == (1, True, True)


def test_deleting_while_turns_begin() -> None:
    """A session is deleted with what runs in it."""

    async def script(room: Room, session_id: str) -> Any:
        service = SessionService(room.store, room._catalogue, room)
        turn = await room.send_message(session_id, message(), ADA)
        await service.delete_session(ADA, session_id)
        with pytest.raises(NotFound):
            await service.get_session(ADA, session_id)
        with pytest.raises(NotFound):
            await service.update_session(ADA, session_id, UpdateSessionRequest(title="t"))
        return turn.state

    assert in_session(ScriptedAgent(NEVER), script=script) == "cancelled"


def test_deleting_while_a_message_waits() -> None:
    """The one in line is refused, or is deleted with the rest; nothing of it is left."""

    async def script(room: Room, session_id: str) -> Any:
        service = SessionService(room.store, room._catalogue, room)
        await room.send_message(session_id, message("1"), ADA)
        waiting = asyncio.ensure_future(room.send_message(session_id, message("2"), ADA))
        await until(lambda: room._running._lines)
        await service.delete_session(ADA, session_id)
        [refused] = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(refused, (NotFound, Turn))
        with pytest.raises(NotFound):
            await service.get_session(ADA, session_id)
        await laps()
        return len(room._tasks), room._running._lines

    found = in_session(ScriptedAgent(NEVER), script=script, most_waiting=1)
    assert found == (0, {})
