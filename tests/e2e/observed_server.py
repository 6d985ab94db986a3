"""A server in a process of its own that says what it costs: memory, tasks, files, turns.

As a script it serves the database it is given, with agents that tests need. Lines that come in
are orders: `figures` has them said as JSON, `open` lets the agent `held` go on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple

KEY = "the-key-of-the-observer"
# What `flood` says: a line so many times.
LINE = "0123456789abcdef" * 63 + " the line\n"
LINES = 6000


class Figures(NamedTuple):
    """What a server costs at one moment, garbage aside.

    memory: bytes that are resident. objects: Python's, those that a collector knows.
    """

    memory: int
    tasks: int
    files: int
    turns: int
    objects: int


class ObservedServer:
    """The process. As a context manager it is gone when the block ends."""

    def __init__(self, db: str, **settings: Any) -> None:
        command = [sys.executable, __file__, db, json.dumps(settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.url = self._hear()["url"]

    def __enter__(self) -> ObservedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._process:
            self._process.terminate()

    def figures(self) -> Figures:
        """What it costs now."""
        return Figures(**self._order("figures"))

    def rested(self) -> Figures:
        """What it costs as soon as it has let go of every turn."""
        for _ in range(20_000):
            if (now := self.figures()).turns == 0:
                return now
        raise AssertionError(f"turns stay in memory: {now}")

    def open(self) -> None:
        """Let all that `held` waits with be said."""
        self._order("open")

    def _order(self, what: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def measure() -> dict[str, int]:
    """The figures of this process, asked for inside its loop."""
    from chatserver_sdk.engine import Turn

    gc.collect()
    known = gc.get_objects()
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": resident * resource.getpagesize(),
        "tasks": len(asyncio.all_tasks()),
        "files": len(os.listdir("/proc/self/fd")),
        "turns": sum(isinstance(one, Turn) for one in known),
        "objects": len(known),
    }


def main(db: str, settings: dict[str, Any]) -> None:
    """Serve until a signal comes."""
    from chatserver_sdk.agents import Agent, Question
    from chatserver_sdk.models.events import Event
    from chatserver_sdk.server import Settings, Started, process, serve

    gate = asyncio.Event()

    class Held(Agent):
        name = "held"
        description = "Says a word, and another one when it is let."

        async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
            yield "first "
            await gate.wait()
            yield "second"

    class Flood(Agent):
        name = "flood"
        description = "Says very much."

        async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
            for _ in range(LINES):
                yield LINE

    def obey(loop: asyncio.AbstractEventLoop) -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(carry_out, line.strip())

    def carry_out(order: str) -> None:
        if order == "open":
            gate.set()
            gate.clear()
        print(json.dumps(measure() if order == "figures" else {}), flush=True)

    def on_start(started: Started) -> None:
        print(json.dumps({"url": started.url}), flush=True)
        loop = asyncio.get_running_loop()
        threading.Thread(target=obey, args=(loop,), daemon=True).start()

    chosen = Settings(port=0, db=db, bootstrap_key=KEY, grace=0.5, **settings)
    process.run(serve(chosen, on_start, agents=[Held(), Flood()]))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
