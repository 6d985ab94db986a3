"""ScriptedAgent: an agent that answers what a test has written down, and knows what it was asked.

It runs in a real server (`running_server(agents=[...])`); a client sees it as any other model.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.models.events import (
    Event,
    ThoughtDelta,
    ToolCall,
    TurnCompleted,
    TurnFailed,
)

from .answers import Pause

_LOOK_AGAIN_SECONDS = 0.005


@dataclass(frozen=True)
class Thought:
    """What the agent thinks; a client finds it as `reasoning_content`.

    text: some more of it.
    """

    text: str


@dataclass(frozen=True)
class ToolUse:
    """The agent asks for a tool; an answer that holds one ends for the reason `tool_calls`.

    name: which tool. arguments: an object, or JSON text, which is sent as it is, right or wrong.
    id: what the tool's answer names as `tool_call_id`; by default call_1, call_2 and so on.
    Raises ConfigurationError for arguments that JSON has no words for.
    """

    name: str
    arguments: Mapping[str, Any] | str = "{}"
    id: str | None = None

    def __post_init__(self) -> None:
        try:
            self.json()
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(
                f"the arguments of the tool {self.name!r} cannot be written as JSON: {exc}"
            ) from exc

    def json(self) -> str:
        """The arguments as they are sent."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Failure:
    """The answer fails here; the client raises what belongs to the status, also within a stream.

    What follows in the answer is not said, and nothing of it is stored.
    message: the sentence for users. status: 400 to 599. code: the word for programs.
    Raises ConfigurationError for another status.
    """

    message: str
    status: int = 500
    code: str = "agent_failed"

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ConfigurationError(f"a failure has a status of 400 to 599, not {self.status}")


AgentStep = str | Thought | ToolUse | Pause | Failure | Event | BaseException
_Ready = str | Event | Pause | BaseException
_STEPS = (str, Thought, ToolUse, Pause, Failure, Event, BaseException)


class ScriptedAgent(Agent):
    """An agent that gives its answers one after the other, the last one to all that follows.

    An answer is a text, or a list of steps: pieces of text, Thought, ToolUse, Pause, Failure, and
    the events of `chatserver_sdk.models.events` (a WidgetShown, a ToolResult, a Usage, ...), each
    of which is said as it is. An exception is raised, as by a bug of the agent's own. A lone step
    is an answer too.

        agent = ScriptedAgent("helper", "Hello!", ["One ", Pause(0.1), "two"], Failure("No more"))
        with running_server(agents=[agent]) as server, server.client() as client:
            client.create_completion("helper", "Good morning")

    It may be asked from several threads, and several things at once.
    questions: what it was asked, in order; each is there before its answer begins.
    Raises ConfigurationError for a name or an answer that is missing, or that is no step.
    """

    description = "Answers what a test has written down."

    def __init__(self, name: str, *answers: AgentStep | Iterable[AgentStep]) -> None:
        if not name or not answers:
            raise ConfigurationError("a ScriptedAgent needs its name, then at least one answer")
        self.name = name
        self.questions: list[Question] = []
        self._answers = [_steps_of(answer) for answer in answers]
        self._call_numbers = itertools.count(1)
        self._lock = threading.Lock()

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        """What the script has for this question."""
        for step in self._take(question):
            if isinstance(step, Pause):
                await _wait(step.until)
            elif isinstance(step, BaseException):
                # It may be raised many times, and would gather the traceback of each.
                raise step.with_traceback(None)
            else:
                yield step

    def __repr__(self) -> str:
        return f"<ScriptedAgent {self.name!r}>"

    def _take(self, question: Question) -> list[_Ready]:
        """Remember the question; the answer that it is given."""
        with self._lock:
            place = min(len(self.questions), len(self._answers) - 1)
            self.questions.append(question)
            return list(self._ready(self._answers[place]))

    def _ready(self, steps: Iterable[AgentStep]) -> Iterator[_Ready]:
        calls = 0
        for step in steps:
            if isinstance(step, ToolUse):
                call_id = step.id or f"call_{next(self._call_numbers)}"
                yield ToolCall(call_id, step.name, step.json(), index=calls)
                calls += 1
            elif isinstance(step, Thought):
                yield ThoughtDelta(step.text)
            elif isinstance(step, Failure):
                yield TurnFailed(step.message, step.code, step.status)
            else:
                yield step
        if calls:
            yield TurnCompleted("tool_calls")


def _steps_of(answer: AgentStep | Iterable[AgentStep]) -> tuple[AgentStep, ...]:
    if isinstance(answer, _STEPS):
        return (answer,)
    steps: Any = (answer,)
    if isinstance(answer, Iterable) and not isinstance(answer, (bytes, Mapping)):
        steps = tuple(answer)
    for step in steps:
        if not isinstance(step, _STEPS):
            raise ConfigurationError(
                f"an agent's answer is a text or a list of steps; a {type(step).__name__} is none"
            )
    return tuple(steps)


async def _wait(until: float | threading.Event) -> None:
    if not isinstance(until, threading.Event):
        await asyncio.sleep(until)
        return
    # A thread that waits for the Event would outlive an answer that is cancelled.
    while not until.is_set():
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
