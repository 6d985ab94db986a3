"""eliza: Weizenbaum's program of 1966 as an agent, so that a conversation means something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from chatserver_sdk.agents.agent import Agent, Question
from chatserver_sdk.models.events import Event

from . import eliza_program

# What she has heard before decides which of her answers comes next; further back than this it
# makes no difference that anybody would notice.
_REMEMBERED = 200


class ElizaAgent(Agent):
    """A psychotherapist who answers with questions; knows one script, DOCTOR."""

    name = "eliza"
    description = "Weizenbaum's psychotherapist of 1966. Tell her your problem."

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        said = eliza_program.answer(question.user_texts[-_REMEMBERED:])
        for number, word in enumerate(said.split(" ")):
            yield word if number == 0 else f" {word}"
            # The others on this loop get their turn between two words.
            await asyncio.sleep(0)
