"""Which messages of a request are new: swept over all small conversations, and played out."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk.engine import InvalidRequest
from chatserver_sdk.engine.transcript import choose_new
from chatserver_sdk.models import FunctionCall, Message, MessageRole, ToolCall

USER, OTHER = Message(MessageRole.USER, "x"), Message(MessageRole.USER, "y")
ASSISTANT, SYSTEM = Message(MessageRole.ASSISTANT, "x"), Message(MessageRole.SYSTEM, "x")
ALPHABET = (USER, OTHER, ASSISTANT, SYSTEM)
ANSWERED = [USER, ASSISTANT]


def spoken(messages: Any) -> list[Message]:
    """The messages, system messages aside."""
    return [message for message in messages if message.role != MessageRole.SYSTEM]


def instructions(messages: Any) -> int:
    """How many of them are system messages; in the sweep all of those are equal."""
    return len(messages) - len(spoken(messages))


def is_transcript(stored: Any, sent: Any) -> bool:
    """What the README says a transcript is."""
    said = spoken(stored)
    return ASSISTANT in said and spoken(sent)[: len(said)] == said


def test_every_small_conversation() -> None:
    """All that three stored and four sent messages of four kinds can be."""
    seen: Counter[str] = Counter()
    for stored_size, sent_size in product(range(4), range(1, 5)):
        for stored in product(ALPHABET, repeat=stored_size):
            for sent in product(ALPHABET, repeat=sent_size):
                seen[check(stored, sent)] += 1

    assert set(seen) == {"new", "transcript", "nothing"} and min(seen.values()) > 50


def check(stored: Any, sent: Any) -> str:
    """Hold one case against the rule; which part of the rule it was."""
    if not is_transcript(stored, sent):
        assert choose_new(stored, sent) == list(sent)
        return "new"
    behind = spoken(sent)[len(spoken(stored)) :]
    tail = sent[last_place(sent, len(spoken(stored))) :]
    if not tail and spoken(stored)[-1] == ASSISTANT:
        with pytest.raises(InvalidRequest) as caught:
            choose_new(stored, sent)
        assert (caught.value.code, caught.value.param) == ("nothing_new", "messages")
        return "nothing"
    new = choose_new(stored, sent)
    head = sent[: len(sent) - len(tail)]
    unknown = max(instructions(head) - instructions(stored), 0)
    assert spoken(new) == behind
    assert instructions(new) == unknown + instructions(tail)
    assert new[len(new) - len(tail) :] == list(tail)
    return "transcript"


def last_place(sent: Any, count: int) -> int:
    """The place behind so many messages, system messages aside."""
    places = [place for place, message in enumerate(sent) if message.role != MessageRole.SYSTEM]
    return places[count - 1] + 1


TEXTS = st.text(alphabet="ab", max_size=2)


@given(
    turns=st.lists(
        st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS, st.booleans()),
        min_size=1,
        max_size=6,
    ),
    system=st.none() | TEXTS,
)
def test_both_kinds_of_client_store_the_same(
    turns: list[tuple[list[str], str, bool]], system: str | None
) -> None:
    """Who sends the whole transcript each time and who sends only what is new: one history.

    The third of a turn says whether it is asked again after it failed (from the second turn on:
    before the first answer there is nothing to tell a transcript by).
    """
    head = [] if system is None else [Message(MessageRole.SYSTEM, system)]
    by_transcript: list[Message] = []
    by_news: list[Message] = []
    client = list(head)
    for number, (texts, answer, fails_first) in enumerate(turns):
        question = [Message(MessageRole.USER, text) for text in texts]
        client += question
        for _ in range(2 if fails_first and number else 1):
            by_transcript += choose_new(by_transcript, client)
        by_news += choose_new(by_news, question if number else [*head, *question])
        for history in (client, by_transcript, by_news):
            history.append(Message(MessageRole.ASSISTANT, answer))

    assert by_transcript == by_news == client


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("text", [{"type": "text", "text": "text"}]),
        ("a\nb", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
    ],
)
def test_text_parts_are_their_text(one: Any, same: Any) -> None:
    """A client that sends parts where another one sends a text says the same."""
    for stored, sent in ((one, same), (same, one)):
        past = [Message(MessageRole.USER, stored), ASSISTANT]
        again = [Message(MessageRole.USER, sent), ASSISTANT, OTHER]
        assert choose_new(past, again) == [OTHER]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "None",
        [{"type": "text"}],
        [{"type": "text", "text": 1}],
        [{"type": "image_url", "text": "x"}],
        ["x"],
        [{"type": "text", "text": "x"}, {"type": "image_url"}],
        "X",
        "x ",
    ],
)
def test_what_is_not_the_same(content: Any) -> None:
    """Anything but the same words is another message, so nothing is a transcript."""
    sent = [Message(MessageRole.USER, content), ASSISTANT, OTHER]

    assert choose_new(ANSWERED, sent) == sent


def test_a_developer_is_a_system() -> None:
    """OpenAI's newer word for the same role makes no difference."""
    developer = Message(MessageRole.DEVELOPER, "x")

    assert choose_new([SYSTEM, *ANSWERED], [developer, *ANSWERED, OTHER]) == [OTHER]
    assert choose_new([developer, *ANSWERED], [SYSTEM, *ANSWERED, OTHER]) == [OTHER]


def test_new_instructions_at_the_head() -> None:
    """A transcript whose instructions were changed brings them along."""
    changed = Message(MessageRole.SYSTEM, "changed")

    new = choose_new([SYSTEM, *ANSWERED], [changed, *ANSWERED, OTHER])
    twice = choose_new([SYSTEM, *ANSWERED], [SYSTEM, SYSTEM, *ANSWERED, OTHER])

    assert (new, twice) == ([changed, OTHER], [SYSTEM, OTHER])


def test_tool_calls_tell_messages_apart() -> None:
    """Two calls of different tools are two messages, though neither holds a word."""

    def calling(name: str) -> Message:
        return Message(MessageRole.ASSISTANT, None, tool_calls=[ToolCall("c", FunctionCall(name))])

    answered = Message(MessageRole.TOOL, "found", tool_call_id="c")
    stored = [USER, calling("find"), answered]

    assert choose_new(stored, [*stored, OTHER]) == [OTHER]
    other = [USER, calling("look"), answered, OTHER]
    assert choose_new(stored, other) == other
    elsewhere = [*stored[:2], Message(MessageRole.TOOL, "found", tool_call_id="d"), OTHER]
    assert choose_new(stored, elsewhere) == elsewhere
