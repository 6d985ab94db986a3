"""An agent's part in a turn: it speaks, the turn's log takes down what it says, within bounds."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from copy import copy

from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import (
    Event,
    TextDelta,
    ThoughtDelta,
    TurnCompleted,
    TurnFailed,
    Usage,
    encode_event,
)

from .outcome import Outcome
from .turn import COMPLETED, FAILED, STATE_AFTER, Turn

_log = logging.getLogger(__name__)

# An agent that never waits would keep the loop to itself, and the interpreter's lock: a thread
# that waits for the lock, as the store's does, wins it in a pause and hardly ever in a mere yield.
_EVENTS_PER_SLICE = 32
_EVENTS_PER_PAUSE = 1024
_PAUSE = 0.001
# What an agent thinks counts as well. Words may be empty, so there is a bound on both.
_LONGEST_ANSWER = 8_000_000
_MOST_EVENTS = 500_000
# Of an exception in the log; a negative number of frames is the innermost ones.
_LONGEST_CHAIN = 5
_MOST_FRAMES = -20


async def run_agent(turn: Turn, agent: Agent, question: Question) -> Outcome:
    """Let the agent speak; how it ended, whatever it does. Only CancelledError is let through."""
    try:
        async with aclosing(agent.answer(question)) as saying:
            return await _listen(turn, saying)
    except (Exception, SystemExit) as exc:
        # An agent is anybody's code: what it raises ends its turn and nothing else. What it says
        # may repeat what people said, so the log has its kind and its places only.
        _log.error("agent %s failed in turn %s: %s", agent.name, turn.id, _wordless(exc))
        return Outcome(TurnFailed("the agent failed; its answer ends here"), FAILED)


def _wordless(exc: BaseException | None) -> str:
    """The kinds and places of an exception and of what it came from."""
    lines: list[str] = []
    for _ in range(_LONGEST_CHAIN):
        if exc is None:
            break
        lines += [type(exc).__name__, *traceback.format_tb(exc.__traceback__, _MOST_FRAMES)]
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return "\n".join(line.rstrip() for line in lines)


async def _listen(turn: Turn, saying: AsyncIterator[str | Event]) -> Outcome:
    usage: UsageInfo | None = None
    async for said in saying:
        if turn.is_ending:
            # It was ended without this agent, which did not stop when it was told to.
            break
        event = TextDelta(_sound(said)) if isinstance(said, str) else _event(said)
        if isinstance(event, TextDelta) or isinstance(event, ThoughtDelta):
            turn.length += len(event.text)
        elif isinstance(event, Usage):
            usage = event.usage
            continue
        elif event.is_terminal:
            usage = usage or getattr(event, "usage", None)
            return Outcome(event, STATE_AFTER[type(event)], usage)
        if turn.length > _LONGEST_ANSWER or len(turn.log) >= _MOST_EVENTS:
            return Outcome(TurnFailed("the answer is too long", "answer_too_long"), FAILED)
        turn.emit(event)
        if event.seq % _EVENTS_PER_SLICE == 0:
            await asyncio.sleep(0 if event.seq % _EVENTS_PER_PAUSE else _PAUSE)
    return Outcome(TurnCompleted(), COMPLETED, usage)


def _event(said: Event) -> Event:
    """What an agent said. Raises what there is to say against writing it as JSON."""
    # A copy: an agent may say one object in many turns, and each turn numbers its own.
    event = copy(said)
    if isinstance(event, TextDelta):
        event.text = _sound(event.text)
        return event
    json.dumps(encode_event(event), ensure_ascii=False, allow_nan=False).encode()
    return event


def _sound(text: str) -> str:
    """A text that can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half an emoji, as some upstream servers cut their pieces: the rest of the text is good.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
