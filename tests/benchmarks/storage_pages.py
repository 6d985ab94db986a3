"""Measures pages of the store's lists at several depths, by cursor and by OFFSET.

    python tests/benchmarks/storage_pages.py [--sessions N] [--messages N] [--entries N]
        [--db FILE] [--short]

Makes a database with so many rows (or takes FILE as an earlier run has left it) and prints one
JSON object: milliseconds for a page, the best and the median of some, at 0 %, 50 % and 99 % of the
list's depth.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from chatserver_sdk.storage import audit, chain, open_store, sessions
from chatserver_sdk.storage.engines import reading_engine
from chatserver_sdk.storage.location import url_of
from chatserver_sdk.storage.tables import sessions as session_table

PAGE = 50
DEPTHS = (0.0, 0.5, 0.99)
# The user whose list is the long one; the others share what is left.
LONG = "user 0"
_START = 1_767_225_600_000_000
_SECOND = 1_000_000


def fill(path: Path, *, many: int, messages: int, entries: int) -> None:
    """Make a store with so many rows; half of the sessions are one user's."""
    open_store(str(path)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        connection.execute("BEGIN")
        users = max(1, many // 100)
        connection.executemany(
            "INSERT INTO users VALUES (?, ?, ?, ?)",
            ((f"user {number}", 0, _START, _START) for number in range(users)),
        )
        for table, rows in (
            ("sessions", _sessions(many, users)),
            ("messages", _messages(messages, many)),
            ("audit_entries", _entries(entries)),
        ):
            _insert(connection, table, rows)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows, None)
    if first is None:
        return
    names = ", ".join(first)
    places = ", ".join(f":{name}" for name in first)
    insert = f"INSERT INTO {table} ({names}) VALUES ({places})"
    connection.execute(insert, first)
    connection.executemany(insert, rows)


def _id(kind: int, number: int) -> str:
    # Spread like random ids, and the same at every run.
    mixed = (number * 0x9E3779B97F4A7C15) % 2**64
    return f"{kind:08x}-{mixed >> 48:04x}-4{mixed >> 36 & 0xFFF:03x}-8000-{number:012x}"


def _sessions(many: int, users: int) -> Iterator[dict[str, Any]]:
    for number in range(many):
        owner = LONG if number % 2 == 0 else f"user {number % users}"
        at = _START + number * _SECOND
        yield {
            "id": _id(1, number),
            "user_id": owner,
            "protocol": "chatserver",
            "title": f"conversation {number}",
            "model": "echo",
            "agent_type": "echo",
            "status": "active",
            "created_at": at,
            "updated_at": at,
            "last_message_at": at,
            "message_count": 5,
            "tokens_in": 10,
            "tokens_out": 20,
            "metadata": "{}",
        }


def _messages(count: int, many: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        role = "user" if number // many % 2 == 0 else "assistant"
        yield {
            "id": _id(2, number),
            "session_id": _id(1, number % many),
            "message_index": number // many,
            "role": role,
            "author": "user" if role == "user" else "ai",
            "kind": "text",
            "content": '"what somebody says in about as many words as people do"',
            "metadata": "{}",
            "tokens": 11,
            "created_at": _START + number,
        }


def _entries(count: int) -> Iterator[dict[str, Any]]:
    last = chain.NOTHING
    for number in range(1, count + 1):
        draft = chain.Draft(
            number,
            _START + number * _SECOND,
            f"admin{number % 20}@example.com",
            None,
            ("admin.added", "admin.removed", "key.created")[number % 3],
            "admin",
            f"somebody{number % 1000}@example.com",
            "{}",
        )
        last = chain.hash_of(last, draft)
        yield {**vars(draft), "hash": last}


def milliseconds(work: Callable[[], Any], times: int) -> dict[str, float]:
    """The best and the median of some runs."""
    work()
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begun) * 1000)
    return {"best": round(min(spent), 3), "median": round(statistics.median(spent), 3)}


def measure(connection: Connection, *, many: int, entries: int, times: int) -> dict[str, Any]:
    """Each list at each depth: the page behind a cursor, and the same page by OFFSET."""
    found: dict[str, Any] = {}
    for depth in DEPTHS:
        label = f"at {depth:.0%}"
        mine = many // 2
        place = _place(connection, int(mine * depth))
        page = int(mine * depth) // PAGE + 1
        below = max(1, entries - int(entries * depth) + 1)
        found[f"sessions, cursor, {label}"] = milliseconds(
            lambda: sessions.list_from(connection, LONG, place, most=PAGE), times
        )
        found[f"sessions, OFFSET, {label}"] = milliseconds(
            lambda: sessions.list_sessions(connection, LONG, page=page, page_size=PAGE), times
        )
        found[f"audit, cursor, {label}"] = milliseconds(
            lambda: audit.list_entries(connection, limit=PAGE, below=below), times
        )
        found[f"audit by action, cursor, {label}"] = milliseconds(
            lambda: audit.list_entries(
                connection,
                limit=PAGE,
                below=below,
                filters=audit.AuditFilters(action="key.created"),
            ),
            times,
        )
        found[f"audit, OFFSET, {label}"] = milliseconds(
            lambda: audit.list_entries(connection, limit=PAGE, offset=int(entries * depth)), times
        )
        number = int((many - 1) * depth)
        found[f"messages of a session, {label}"] = milliseconds(
            lambda: sessions.list_messages(connection, _id(1, number), last=PAGE), times
        )
    return found


def _place(connection: Connection, rank: int) -> tuple[datetime, str] | None:
    """The session that so many of the long list come before."""
    if rank == 0:
        return None
    columns = session_table.c
    number = rank * 2
    found = connection.execute(
        select(columns.created_at, columns.id)
        .where(columns.user_id == LONG, columns.created_at <= _latest(connection, number))
        .order_by(columns.created_at.desc(), columns.id.desc())
        .limit(1)
    ).one()
    return found.created_at, found.id


def _latest(connection: Connection, number: int) -> datetime:
    columns = session_table.c
    newest = connection.scalar(
        select(columns.created_at)
        .where(columns.user_id == LONG)
        .order_by(columns.created_at.desc())
        .limit(1)
    )
    assert newest is not None
    return newest - timedelta(seconds=number)


def main() -> None:
    """Make the rows, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--messages", type=int, default=5_000_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    if given.short:
        given.sessions, given.messages, given.entries = 2000, 10_000, 2000
    with tempfile.TemporaryDirectory() as folder:
        path = given.db or Path(folder) / "store.db"
        if not path.exists():
            begun = time.perf_counter()
            fill(path, many=given.sessions, messages=given.messages, entries=given.entries)
            print(f"rows made in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        engine = reading_engine(url_of(str(path)))
        assert engine is not None
        with engine.connect() as connection:
            found = measure(
                connection,
                many=given.sessions,
                entries=given.entries,
                times=5 if given.short else 30,
            )
        engine.dispose()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
