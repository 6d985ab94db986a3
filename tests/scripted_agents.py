"""Agents for tests of the engine: they wait at gates, and tell when their answers are over.

What needs neither has the public one, `chatserver_sdk.testing.ScriptedAgent`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.models.events import Event


class Gate:
    """Holds an agent up until it is opened, from whichever thread; `reached` says that it waits."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let everybody pass, now and later."""
        with self._lock:
            self._is_open = True
            for loop, opened in self._waiting:
                loop.call_soon_threadsafe(opened.set)

    async def passed(self) -> None:
        """Wait until it is open."""
        waiting = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.append(waiting)
            if self._is_open:
                waiting[1].set()
        self.reached.set()
        try:
            await waiting[1].wait()
        finally:
            with self._lock:
                self._waiting.remove(waiting)


Step = str | Event | Gate | BaseException


class ScriptedAgent(Agent):
    """Says its steps: a text or an event is said, a gate waited at, an exception raised.

    questions: what it was asked. ended: how many of its answers are over, in whichever way.
    over: set when the first of them is.
    """

    description = "Says what a test has written down."

    def __init__(self, *steps: Step, name: str = "scripted") -> None:
        self.name = name
        self.questions: list[Question] = []
        self.ended = 0
        self.over = threading.Event()
        self._steps = steps

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        self.questions.append(question)
        try:
            for step in self._steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, Gate):
                    await step.passed()
                else:
                    yield step
        finally:
            self.ended += 1
            self.over.set()


class EndlessAgent(Agent):
    """Says words for ever, without ever waiting for anything."""

    name = "endless"
    description = "Never stops."

    def __init__(self, word: str = "again ") -> None:
        self.over = threading.Event()
        self._word = word

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        try:
            while True:
                yield self._word
        finally:
            self.over.set()


class StubbornAgent(Agent):
    """Says a word and then takes no notice of being stopped, until its gate is opened."""

    name = "stubborn"
    description = "Does not stop."

    def __init__(self) -> None:
        self.gate = Gate()

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        yield "no "
        while True:
            try:
                await self.gate.passed()
                return
            except asyncio.CancelledError:
                continue
