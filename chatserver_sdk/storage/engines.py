"""The engines of a store: how each database is connected to, and how a transaction begins.

On both, one transaction writes at a time, whoever's it is, and a reader sees one state all along.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from .errors import StoreUnavailable
from .location import is_postgres, make_private

READERS = 4
BUSY_SECONDS = 5

# The first half of our advisory locks' keys, "chat"; the second is the schema's, so that two
# servers may share a database.
_LOCK_CLASS = 0x63686174
WRITING = f"pg_advisory_xact_lock({_LOCK_CLASS}, hashtext('writing ' || current_schema()))"
SERVING = f"pg_advisory_lock({_LOCK_CLASS}, hashtext('serving ' || current_schema()))"

# What libpq takes where the URL says nothing else. A network that swallows packets is noticed.
_OPTIONS: dict[str, Any] = {
    "connect_timeout": BUSY_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "chatserver",
    "client_encoding": "utf8",
}

_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
).encode


def writing_engine(url: URL) -> Engine:
    """The engine of the writer, which has one connection. Raises StoreUnavailable."""
    if is_postgres(url):
        return _postgres_engine(url, _begin_writing, pool_size=1)
    if url.database is None:
        return _sqlite_engine(url, "BEGIN IMMEDIATE", poolclass=StaticPool)
    make_private(Path(url.database))
    # A writer takes its lock at once: one that upgrades a read lock may deadlock.
    return _sqlite_engine(url, "BEGIN IMMEDIATE")


def reading_engine(url: URL) -> Engine | None:
    """The engine of the readers; None in memory, where the one connection does both."""
    if is_postgres(url):
        level = "REPEATABLE READ"
        engine = _postgres_engine(url, None, pool_size=READERS, isolation_level=level)
        return engine.execution_options(postgresql_readonly=True)
    return None if url.database is None else _sqlite_engine(url, "BEGIN", pool_size=READERS)


def lone_engine(url: URL) -> Engine:
    """The engine of a PostgreSQL connection outside transactions. Raises StoreUnavailable."""
    return _postgres_engine(url, None, pool_size=1, isolation_level="AUTOCOMMIT")


def _postgres_engine(url: URL, begin: Any, **options: Any) -> Engine:
    try:
        from .postgres_text import lossless
    except ImportError as exc:
        raise StoreUnavailable(
            "PostgreSQL needs psycopg: pip install 'chatserver-sdk[postgres]'"
        ) from exc
    engine = create_engine(
        url,
        json_serializer=_dumps,
        connect_args={name: _OPTIONS[name] for name in _OPTIONS if name not in url.query},
        hide_parameters=True,
        # A server that was restarted is found out before anything is asked of it.
        pool_pre_ping=True,
        max_overflow=0,
        **options,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        lossless(connection)
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {BUSY_SECONDS * 1000}")
        connection.commit()

    if begin is not None:
        event.listen(engine, "begin", begin)
    return engine


def _begin_writing(connection: Connection) -> None:
    # What BEGIN IMMEDIATE is to SQLite: whoever writes next waits here, and then sees all of it.
    connection.exec_driver_sql(f"SELECT {WRITING}")


def _sqlite_engine(url: URL, begin: str, **options: Any) -> Engine:
    engine = create_engine(
        url,
        json_serializer=_dumps,
        connect_args={"check_same_thread": False},
        # Parameters are what people said; they do not belong into a message that is logged.
        hide_parameters=True,
        **options,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The sqlite3 module would begin transactions by itself, and only at the first change;
        # without that, "begin" below decides.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _switch_to_wal(connection: Any) -> None:
    # Where two processes switch one new file at the same moment SQLite does not wait, whatever
    # its busy_timeout.
    give_up_at = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
