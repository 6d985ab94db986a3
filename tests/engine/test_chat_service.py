"""Questions and their answers as turns: stored before they are said, one at a time, anybody's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from engine_room import ADA, ADMIN, NOBODY, Room, everything, in_room, kinds, laps
from scripted_agents import EndlessAgent, Gate, ScriptedAgent

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import (
    Catalogue,
    Forbidden,
    InvalidRequest,
    PlatformService,
    UnknownModel,
)
from chatserver_sdk.models import ChatCompletionRequest, Message, MessageRole, Principal, UsageInfo
from chatserver_sdk.models.events import (
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
    Usage,
    WidgetShown,
    WidgetUpdated,
    encode_log,
)
from chatserver_sdk.storage import Conflict, NotFound, tables

UNKNOWN = "0a1b2c3d-0000-4000-8000-00000000abcd"


def test_a_whole_turn() -> None:
    """What a turn says, from its start to its end, and what is stored of it."""

    async def work(room: Room) -> Any:
        turn = await room.say("two words")
        return await everything(turn), await room.history(turn), turn

    events, (question, answer), turn = in_room(EchoAgent(), work=work)

    assert kinds(events) == [
        "turn_started",
        "text_delta",
        "text_delta",
        "message_stored",
        "usage",
        "turn_completed",
    ]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[3].message == answer and events[5].usage == UsageInfo(2, 2, 4)
    assert (question.text, answer.text, answer.message_index) == ("two words", "two words", 1)
    assert answer.metadata == {"turn_id": turn.id, "finish_reason": "stop"}
    assert (answer.tokens, turn.state, turn.usage) == (2, "completed", UsageInfo(2, 2, 4))


def test_a_question_is_stored_before_its_agent_runs() -> None:
    """When asking returns, the question is in the history; the agent may not have begun."""
    gate = Gate()

    async def work(room: Room) -> list[str]:
        return await room.texts(await room.say("hello"))

    assert in_room(ScriptedAgent(gate, "x"), work=work) == ["hello"]


@pytest.mark.parametrize("place", ["file", "memory"])
def test_an_answer_is_stored_before_its_end_is_said(tmp_path: Path, place: str) -> None:
    """Whoever reads the last event finds the answer in the history, every single time."""
    db = ":memory:" if place == "memory" else str(tmp_path / "store.db")

    async def work(room: Room) -> None:
        turns = [await room.say(f"question {number}") for number in range(40)]

        async def check(turn: Any, number: int) -> None:
            end = await turn.end()
            assert isinstance(end, TurnCompleted)
            assert await room.texts(turn) == [f"question {number}"] * 2

        await asyncio.gather(*(check(turn, number) for number, turn in enumerate(turns)))

    in_room(EchoAgent(), work=work, db=db)


EVERY_EVENT = [
    TextDelta("text"),
    ThoughtDelta("thought"),
    ToolCall("c1", "look", '{"a": 1}'),
    ToolCallDelta(0, "more"),
    ToolResult("c1", "found", "look"),
    WidgetShown("w1", "form", {"field": [1, None]}),
    WidgetUpdated("w1", {"field": "🙂"}),
    ModeChanged("expert"),
    ExpertJoined("e1"),
    ExpertLeft("e1"),
]


def test_every_kind_of_event_is_passed_on_and_kept() -> None:
    """What an agent says reaches the readers in its order, and the stored log is the same."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        events = await everything(turn)
        return events, (await room.rows(tables.turn_logs))[0].events

    events, stored = in_room(ScriptedAgent(*EVERY_EVENT), work=work)

    said = [{**event.to_dict(), "seq": 0, "at": None} for event in events[1:-3]]
    assert said == [event.to_dict() for event in EVERY_EVENT]
    assert stored == encode_log(events)


def test_one_event_object_in_many_turns() -> None:
    """An agent may say the same object again and again; each turn numbers its own."""
    agent = ScriptedAgent(EVERY_EVENT[5], TextDelta("a"), EVERY_EVENT[5], TurnCompleted("length"))

    async def work(room: Room) -> Any:
        turns = [await room.say("x") for _ in range(3)]
        return [[e.seq for e in await everything(turn)] for turn in turns]

    assert in_room(agent, work=work) == [[1, 2, 3, 4, 5, 6, 7]] * 3
    assert EVERY_EVENT[5].seq == 0


OWN = UsageInfo(100, 200, 300)


@pytest.mark.parametrize(
    ("steps", "reason", "usage"),
    [
        ([Usage(OWN), "a b"], "stop", OWN),
        (["a b", Usage(UsageInfo(1, 1, 2)), Usage(OWN)], "stop", OWN),
        (["a b", TurnCompleted("length")], "length", UsageInfo(1, 2, 3)),
        (["a b", TurnCompleted("stop", OWN)], "stop", OWN),
        (["a b", Usage(OWN), TurnCompleted("tool_calls", UsageInfo(1, 1, 2))], "tool_calls", OWN),
    ],
)
def test_what_an_agent_says_of_its_end_counts(steps: Any, reason: str, usage: UsageInfo) -> None:
    """Its own token counts and its own reason stand in the events, the history and the figures."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        end = await turn.end()
        detail = await room.get_session(ADMIN, turn.session_id, "ada")
        return end, detail, turn

    end, detail, turn = in_room(ScriptedAgent(*steps), work=work)

    assert (end.finish_reason, end.usage, turn.usage) == (reason, usage, usage)
    assert detail.messages[1].metadata["finish_reason"] == reason
    assert detail.session.tokens_total == usage.prompt_tokens + usage.completion_tokens


def test_what_stands_behind_the_end_is_not_said() -> None:
    """After its own last event an agent is closed."""
    agent = ScriptedAgent("a", TurnCompleted(), "b")

    async def work(room: Room) -> str:
        turn = await room.say("x")
        await turn.end()
        return turn.text

    assert (in_room(agent, work=work), agent.ended) == ("a", 1)


def test_an_empty_answer_is_an_answer() -> None:
    """Who says nothing has answered with nothing."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        return kinds(await everything(turn)), await room.texts(turn)

    assert in_room(ScriptedAgent(), work=work) == (
        ["turn_started", "message_stored", "usage", "turn_completed"],
        ["x", ""],
    )


def test_one_turn_of_a_session_at_a_time() -> None:
    """While an answer is given the session is busy, and others are not; afterwards it is free."""
    gate = Gate()

    async def work(room: Room) -> Any:
        first = await room.say("one", session_id=UNKNOWN)
        with pytest.raises(Conflict) as caught:
            await room.say("two", session_id=UNKNOWN)
        elsewhere = await room.say("three")
        gate.open()
        await asyncio.gather(first.end(), elsewhere.end())
        second = await room.say("two", session_id=UNKNOWN)
        await second.end()
        return caught.value.code, await room.texts(second)

    code, texts = in_room(ScriptedAgent(gate, "a"), work=work)
    assert (code, texts) == ("turn_in_progress", ["one", "a", "two", "a"])


def test_cancelling_keeps_what_was_said() -> None:
    """When cancelling returns the turn has ended; what had been said stands in the history."""
    gate = Gate()
    agent = ScriptedAgent("half ", gate, "never")

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        await turn.read(1)
        await room.cancel(turn)
        state, log = turn.state, kinds(turn.log)
        await laps()
        await room.cancel(turn)
        again = await room.say("y", session_id=turn.session_id)
        await room.cancel(again)
        return state, log, await room.history(turn), (await room.rows(tables.turns))[0].state

    state, log, history, stored = in_room(agent, work=work)

    assert (state, stored, log[-1]) == ("cancelled", "cancelled", "turn_cancelled")
    assert [message.text for message in history][:3] == ["x", "half ", "y"]
    assert history[1].metadata["finish_reason"] == "cancelled" and agent.ended == 2


def test_cancelling_before_a_word_leaves_no_answer() -> None:
    """Nothing said is nothing stored, and the session goes on."""

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        await room.cancel(turn)
        return turn.log[-1], await room.texts(turn)

    end, texts = in_room(ScriptedAgent(Gate()), work=work)
    assert isinstance(end, TurnCancelled) and texts == ["x"]


def test_an_endless_agent_leaves_room_for_others() -> None:
    """One that never waits does not keep the loop to itself, and can be stopped."""
    endless = EndlessAgent("x")

    async def work(room: Room) -> Any:
        turn = await room.say("x")
        room.model = "echo"
        answered = await room.say("hello")
        await answered.end()
        await room.cancel(turn)
        return turn.state, answered.text, endless.over.is_set()

    assert in_room(endless, EchoAgent(), work=work) == ("cancelled", "hello", True)


def test_without_a_user_nothing_is_stored_but_counted() -> None:
    """No session, no message, no turn; one request and its tokens in the figures."""

    async def work(room: Room) -> Any:
        turn = await room.say("a b c", user=None)
        events = kinds(await everything(turn))
        empty = [await room.rows(table) for table in (tables.sessions, tables.turns, tables.users)]
        platform = PlatformService(room.store, Catalogue([]), room.tally)
        stats = await platform.stats()
        return turn.is_stored, events, empty, (stats.total_requests, stats.total_tokens)

    stored, events, empty, figures = in_room(EchoAgent(), work=work)

    assert not stored and "message_stored" not in events
    assert empty == [[], [], []] and figures == (1, 6)


def test_a_session_is_its_users() -> None:
    """Somebody else's session cannot be continued, with or without a name."""

    async def work(room: Room) -> None:
        turn = await room.say("mine", user="ada")
        await turn.end()
        for user in ("bob", None):
            with pytest.raises(NotFound, match=turn.session_id):
                await room.say("yours", user=user, session_id=turn.session_id)
        free = await room.say("hello", user=None, session_id=UNKNOWN)
        assert (await turn.end(), free.session_id) == (turn.log[-1], UNKNOWN)
        assert await room.texts(turn) == ["mine", "mine"]

    in_room(EchoAgent(), work=work)


def test_what_the_agent_sees() -> None:
    """The conversation so far with the question at its end, at most so much of it."""
    agent = ScriptedAgent("a")

    async def work(room: Room) -> Any:
        for number in range(3):
            turn = await room.say(f"q{number}", session_id=UNKNOWN)
            await turn.end()

    in_room(agent, work=work, context_size=4)

    seen = [[message.text for message in question.messages] for question in agent.questions]
    assert seen == [["q0"], ["q0", "a", "q1"], ["a", "q1", "a", "q2"]]
    assert [question.user_texts[-1] for question in agent.questions] == ["q0", "q1", "q2"]


@pytest.mark.parametrize("sends_everything", [True, False])
def test_both_ways_of_continuing(sends_everything: bool) -> None:
    """Who sends the whole transcript and who sends only the news have the same history."""

    async def work(room: Room) -> list[str]:
        sent: list[Message] = []
        for text in ("one", "two", "two"):
            sent = [*(sent if sends_everything else []), Message(MessageRole.USER, text)]
            turn = await room.send(sent, session_id=UNKNOWN)
            await turn.end()
            sent.append(Message(MessageRole.ASSISTANT, turn.text))
        return await room.texts(turn)

    expected = ["one", "one", "two", "two", "two", "two"]
    assert in_room(EchoAgent(), work=work) == expected


def test_a_transcript_without_a_question_is_refused() -> None:
    """Nothing new is nothing to answer, and nothing is stored."""

    async def work(room: Room) -> Any:
        turn = await room.say("one", session_id=UNKNOWN)
        await turn.end()
        sent = [Message(MessageRole.USER, "one"), Message(MessageRole.ASSISTANT, "one")]
        with pytest.raises(InvalidRequest) as caught:
            await room.send(sent, session_id=UNKNOWN)
        return caught.value.code, await room.texts(turn)

    assert in_room(EchoAgent(), work=work) == ("nothing_new", ["one", "one"])


def test_reading_is_for_those_who_may() -> None:
    """A user's key reads its user's history; an administrator's everybody's."""

    async def work(room: Room) -> None:
        turn = await room.say("hello", user=None, by=ADA)
        await turn.end()
        for by, user in ((ADA, "bob"), (NOBODY, "ada")):
            with pytest.raises(Forbidden):
                await room.list_sessions(by, user, page=1, page_size=10)
            with pytest.raises(Forbidden):
                await room.get_session(by, turn.session_id, user)
        for by in (ADA, ADMIN):
            detail = await room.get_session(by, turn.session_id, "ada")
            assert [message.text for message in detail.messages] == ["hello", "hello"]

    in_room(EchoAgent(), work=work)


def test_pages_say_whether_there_are_more() -> None:
    """On each page the total is the same, and only the last one is the last."""

    async def work(room: Room) -> Any:
        for _ in range(5):
            await (await room.say("x")).end()
        return [await room.list_sessions(ADMIN, "ada", page=n, page_size=2) for n in range(1, 5)]

    pages = in_room(EchoAgent(), work=work)

    assert [len(page.sessions) for page in pages] == [2, 2, 1, 0]
    assert [page.has_more for page in pages] == [True, True, False, False]
    assert {(page.total, page.page_size) for page in pages} == {(5, 2)}


def test_nobody_answers_under_an_unknown_name() -> None:
    """A model that is not there is refused before anything is stored."""

    async def work(room: Room) -> Any:
        request = ChatCompletionRequest("nope", [Message(MessageRole.USER, "x")], user="ada")
        with pytest.raises(UnknownModel) as caught:
            await room.ask(request, Principal("p", ADMIN.role))
        return caught.value.code, caught.value.param, await room.rows(tables.users)

    assert in_room(EchoAgent(), work=work) == ("model_not_found", "model", [])
