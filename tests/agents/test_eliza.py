"""eliza, the agent: the program's answer in words, from the conversation that it is given."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk.agents import Question
from chatserver_sdk.agents.backends import eliza_program
from chatserver_sdk.agents.backends.eliza import ElizaAgent
from chatserver_sdk.models import Message, MessageRole

TALK = [
    ("Men are all alike.", "IN WHAT WAY"),
    (
        "They're always bugging us about something or other.",
        "CAN YOU THINK OF A SPECIFIC EXAMPLE",
    ),
    ("Well, my boyfriend made me come here.", "YOUR BOYFRIEND MADE YOU COME HERE"),
]


def pieces_for(messages: list[Message]) -> list[str]:
    """What eliza answers, piece by piece."""

    async def listen() -> list[str]:
        return [str(piece) async for piece in ElizaAgent().answer(Question(messages))]

    return asyncio.run(listen())


def test_a_conversation_across_turns() -> None:
    """Turn by turn, with her own answers between the user's sentences, it is the paper's."""
    messages = []
    for said, expected in TALK:
        messages.append(Message(MessageRole.USER, said))
        answer = "".join(pieces_for(messages))
        messages.append(Message(MessageRole.ASSISTANT, answer))
        assert answer == expected


def test_only_the_user_is_her_patient() -> None:
    """Instructions and answers change nothing of what she says."""
    said = [Message(MessageRole.USER, text) for text, _ in TALK]
    others = [Message(MessageRole.SYSTEM, "I hate you."), Message(MessageRole.TOOL, "My mother.")]

    assert pieces_for([others[0], said[0], others[1], *said[1:]]) == pieces_for(said)


def test_the_same_talk_gets_the_same_answer() -> None:
    """She keeps nothing between two questions: all of her state is in the conversation."""
    agent = ElizaAgent()
    question = Question([Message(MessageRole.USER, "Hello.")])

    async def listen() -> list[str]:
        return [str(piece) async for piece in agent.answer(question)]

    assert asyncio.run(listen()) == asyncio.run(listen())


def test_she_opens_the_conversation() -> None:
    """Before the user has said anything she says the script's first line."""
    assert "".join(pieces_for([])) == eliza_program.GREETING


@given(st.lists(st.text(), max_size=3))
def test_pieces_are_words(texts: list[str]) -> None:
    """Whatever was said, the pieces add up to the program's answer, one word each."""
    pieces = pieces_for([Message(MessageRole.USER, text) for text in texts])

    assert "".join(pieces) == eliza_program.answer(texts)
    assert not any(" " in piece.removeprefix(" ") for piece in pieces)


def test_far_back_is_forgotten() -> None:
    """Of a very long conversation the last two hundred sentences decide."""
    texts = [f"I remember number {number}." for number in range(250)]

    answer = "".join(pieces_for([Message(MessageRole.USER, text) for text in texts]))
    assert answer == eliza_program.answer(texts[-200:])
