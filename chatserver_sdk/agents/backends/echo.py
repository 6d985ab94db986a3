"""echo: says what the user said. For trying out streams, clients and tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from chatserver_sdk.agents.agent import Agent, InvalidQuestion, Question
from chatserver_sdk.models.events import Event

_LONGEST_DELAY = 60.0
_MOST_PIECES = 20_000

# A word takes the blanks behind it along, so that the pieces add up to the text exactly.
_WORD = re.compile(r"\S+\s*|\s+")


class EchoAgent(Agent):
    """Answers with the text of the user's last message, exactly, word by word (20,000 words and
    more without a delay: several at a time).

    The request variable `delay` (seconds, 0 to 60) is waited before each word but the first.
    """

    name = "echo"
    description = "Says what you said, word by word."

    def check(self, question: Question) -> None:
        _delay(question)

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        delay = _delay(question)
        words = _WORD.findall(question.text)
        # An event costs a hundred times a word: very many words without a pause go together.
        together = 1 if delay else 1 + len(words) // _MOST_PIECES
        for place in range(0, len(words), together):
            if place and delay:
                await asyncio.sleep(delay)
            yield "".join(words[place : place + together])


def _delay(question: Question) -> float:
    delay = question.variables.get("delay", 0)
    is_number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
    # NaN is refused too: it is not between any two numbers.
    if not is_number or not 0 <= delay <= _LONGEST_DELAY:
        raise InvalidQuestion("delay must be a number of seconds from 0 to 60", "variables.delay")
    return float(delay)
