"""A process that is killed in the middle of its work loses nothing that it was told is stored."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_records import NOW, Db, planned

from chatserver_sdk.storage import sessions, tables, turns

WRITER = """
import asyncio, sys
sys.path[:0] = {here!r}
from store_records import Db, all_new, ended, planned
from chatserver_sdk.storage import turns

async def converse(store, number):
    while True:
        plan = planned(f"question {{number}}")
        begun = await store.write(turns.begin, plan, all_new)
        print("asked", plan.session.id, flush=True)
        await store.write(turns.finish, ended(plan, begun))
        print("answered", plan.session.id, flush=True)

async def main():
    store = Db.open(sys.argv[1]).store
    await asyncio.gather(*(converse(store, number) for number in range(8)))

asyncio.run(main())
"""


def kill_after(location: str, lines: int) -> list[list[str]]:
    """What a writer was told is stored before it was killed with SIGKILL."""
    script = WRITER.format(here=[str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, "-c", script, location], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        # What was in the pipe when it died was acknowledged as well; the last line may be cut.
        acknowledged += process.stdout.readlines()
    assert process.returncode == -9
    return [line.split() for line in acknowledged if line.endswith("\n")]


@pytest.mark.parametrize("lines", [1, 2, 17, 150])
def test_what_was_acknowledged_is_there(location: str, lines: int) -> None:
    """After `kill -9`, every question and answer that was reported stored is read back whole."""
    acknowledged = kill_after(location, lines)
    db = Db.open(location)

    for what, session_id in acknowledged:
        detail = db.read(sessions.get_session, session_id, "ada")
        texts = [message.text for message in detail.messages]
        assert texts[0].startswith("question") and detail.session.message_count == len(texts)
        assert what == "asked" or texts[1:] == ["yes"]
    assert len(acknowledged) >= lines

    running = tables.turns.select().where(tables.turns.c.state == "running")
    unfinished = db.read(lambda connection: connection.execute(running).all())
    assert db.write(turns.interrupt_running, NOW) == len(unfinished) <= 8
    for turn in unfinished:
        db.ask(planned("again", session_id=turn.session_id))
    db.close()
    if "://" in location:
        return
    connection = sqlite3.connect(location)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
