"""echo says exactly what was said, word by word, and takes a delay that is a sensible number."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk.agents import InvalidQuestion, Question
from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.models import Message, MessageRole


def say(text: Any, **variables: Any) -> list[Any]:
    """The pieces that echo answers with to a user's message."""
    question = Question([Message(MessageRole.USER, text)], variables=variables)

    async def listen() -> list[Any]:
        return [piece async for piece in EchoAgent().answer(question)]

    return asyncio.run(listen())


@given(st.text())
def test_any_text_comes_back_exactly(text: str) -> None:
    """Whatever the text is, the pieces add up to it, and none of them is empty."""
    pieces = say(text)

    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("one", ["one"]),
        ("one two", ["one ", "two"]),
        ("  one\n\ttwo ", ["  ", "one\n\t", "two "]),
        (" \n ", [" \n "]),
        ("a\u00a0b\u2003c", ["a\u00a0", "b\u2003", "c"]),
        ([{"type": "text", "text": "in"}, {"type": "text", "text": "parts"}], ["in\n", "parts"]),
        (None, []),
    ],
)
def test_word_by_word(text: Any, pieces: list[str]) -> None:
    """A piece is a word with the blanks behind it."""
    assert say(text) == pieces


def test_very_many_words() -> None:
    """They go several at a time, and still add up exactly; with a delay each goes alone."""
    text = "a " * 100_000

    pieces = say(text)

    assert "".join(pieces) == text
    assert 10_000 < len(pieces) <= 20_000


def test_only_the_users_last_message_counts() -> None:
    """What the assistant, the system or the user said before is not repeated."""
    messages = [
        Message(MessageRole.USER, "first"),
        Message(MessageRole.USER, "second"),
        Message(MessageRole.ASSISTANT, "third"),
        Message(MessageRole.SYSTEM, "fourth"),
    ]

    assert Question(messages).text == "second"
    assert Question(messages[2:]).text == ""


@pytest.mark.parametrize("delay", [0, 0.0, -0.0, 1e-9, 1, 59.999, 60, 60.0])
def test_good_delays(delay: float) -> None:
    """Every number from 0 to 60 is taken."""
    EchoAgent().check(Question([], variables={"delay": delay}))


@pytest.mark.parametrize(
    "delay",
    [
        *(True, False, None, "", "1", [], [1], {}),
        *(-1, -1e-9, 60.001, 61, 10**400, -(10**400)),
        *(math.nan, math.inf, -math.inf),
    ],
    ids=lambda value: str(value)[:12],
)
def test_bad_delays(delay: Any) -> None:
    """Anything else is refused, with the field at fault, before the agent says a word."""
    with pytest.raises(InvalidQuestion, match="0 to 60") as caught:
        EchoAgent().check(Question([], variables={"delay": delay}))

    assert caught.value.param == "variables.delay"
    with pytest.raises(InvalidQuestion):
        say("hello", delay=delay)


def test_a_delay_is_waited_between_words() -> None:
    """The first word comes at once, the next one not before its time."""

    async def listen() -> tuple[Any, bool]:
        question = Question([Message(MessageRole.USER, "a b")], variables={"delay": 60})
        answer = EchoAgent().answer(question)
        first = await asyncio.wait_for(anext(answer), 30)
        second = asyncio.ensure_future(answer.asend(None))
        for _ in range(10):
            await asyncio.sleep(0)
        is_there = second.done()
        second.cancel()
        return first, is_there

    assert asyncio.run(listen()) == ("a ", False)


def test_a_short_delay_loses_nothing() -> None:
    """A delayed answer is the same answer."""
    assert say("a b  c", delay=1e-6) == ["a ", "b  ", "c"]
