"""Measures durable turns: a question and its answer, each on disk before it is acknowledged.

    python tests/benchmarks/storage_turns.py [--turns N] [--callers N] [--short]
    python tests/benchmarks/storage_turns.py ours|aiosqlite    one side alone

64 callers ask at the same time: through the store, and through SQLAlchemy's asyncio engine over
aiosqlite, which runs the same statements with the same durability, a transaction each, in an
environment of its own. Prints one JSON object: turns a second, the 99th percentile of a write, and
the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from chatserver_sdk.models import (
    ChatMessageRecord,
    ChatSessionSummary,
    Message,
    MessageRole,
    UsageInfo,
)
from chatserver_sdk.models.events import TextDelta
from chatserver_sdk.storage import open_store, turns

Write = Callable[..., Awaitable[Any]]

_SAID = [Message(MessageRole.USER, "what is the time, and what is the weather like today?")]
_ANSWER = "I have no clock and no window, so you have to tell me both of them yourself. " * 2
_USAGE = UsageInfo(10, 30, 40)


def _all_new(stored: Any, sent: Any) -> list[Message]:
    return list(sent)


def _plan(session_id: str, user: str) -> turns.TurnPlan:
    now = datetime.now(timezone.utc)
    session = ChatSessionSummary(session_id, user, now, now, model="echo", agent_type="echo")
    return turns.TurnPlan(str(uuid4()), session, "p", _SAID, 200, now)


def _end(plan: turns.TurnPlan, begun: turns.BegunTurn) -> turns.TurnEnd:
    answer = ChatMessageRecord(
        id=str(uuid4()),
        message_index=begun.next_index,
        role=MessageRole.ASSISTANT,
        created_at=plan.now,
        content=_ANSWER,
        metadata={"finish_reason": "stop"},
        tokens=30,
    )
    return turns.TurnEnd(
        plan.turn_id,
        plan.session.id,
        "completed",
        datetime.now(timezone.utc),
        finish_reason="stop",
        usage=_USAGE,
        answer=answer,
        log=[TextDelta(_ANSWER)],
    )


async def _converse(write: Write, number: int, many: int, spent: list[float]) -> None:
    """Turns of one caller, four to a session."""
    for place in range(many):
        if place % 4 == 0:
            session_id = str(uuid4())
        plan = _plan(session_id, f"user {number}")
        begun_at = time.perf_counter()
        begun = await write(turns.begin, plan, _all_new)
        asked_at = time.perf_counter()
        await write(turns.finish, _end(plan, begun))
        spent += [asked_at - begun_at, time.perf_counter() - asked_at]


async def measure(write: Write, *, many: int, callers: int) -> dict[str, float]:
    """Turns a second, and how long a write takes its caller in milliseconds."""
    warming: list[float] = []
    await asyncio.gather(*(_converse(write, n, 4, warming) for n in range(callers)))
    spent: list[float] = []
    each = max(4, many // callers)
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_converse(write, n, each, spent) for n in range(callers)))
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    spent.sort()
    return {
        "turns a second": round(each * callers / took),
        "turns a CPU second": round(each * callers / used),
        "p50 of a write, ms": round(spent[len(spent) // 2] * 1000, 2),
        "p99 of a write, ms": round(spent[len(spent) * 99 // 100] * 1000, 2),
    }


async def ours(path: str, **sizes: int) -> dict[str, float]:
    """Through the store."""
    store = open_store(path)
    try:
        return await measure(store.write, **sizes)
    finally:
        store.close()


async def aiosqlite(path: str, **sizes: int) -> dict[str, float]:
    """Through SQLAlchemy's asyncio engine: one connection, which is what serves it best."""
    from sqlalchemy import event
    from sqlalchemy.ext.asyncio import create_async_engine

    open_store(path).close()
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=1, max_overflow=0, pool_timeout=600
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    async def write(verb: Any, *arguments: Any) -> Any:
        async with engine.begin() as connection:
            return await connection.run_sync(verb, *arguments)

    try:
        return await measure(write, **sizes)
    finally:
        await engine.dispose()


def main() -> None:
    """Measure one side, or both and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", nargs="?", choices=["ours", "aiosqlite"])
    parser.add_argument("--turns", type=int, default=20_000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    many = 256 if given.short else given.turns
    if given.side is None:
        print(json.dumps(_both(many, given.callers), indent=2))
        return
    side = {"ours": ours, "aiosqlite": aiosqlite}[given.side]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "store.db")
        print(json.dumps(asyncio.run(side(path, many=many, callers=given.callers))))


def _both(many: int, callers: int) -> dict[str, Any]:
    from peers import python_with_aiosqlite

    # Fewer of the slower, which has nothing that comes with their number.
    found = {
        "store": _alone(sys.executable, "ours", many, callers),
        "aiosqlite": _alone(python_with_aiosqlite(), "aiosqlite", many // 10, callers),
    }
    ratio = found["store"]["turns a second"] / found["aiosqlite"]["turns a second"]
    return {**found, "times as many": round(ratio, 1)}


def _alone(python: str, side: str, many: int, callers: int) -> dict[str, float]:
    command = [python, __file__, side, "--turns", str(many), "--callers", str(callers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
