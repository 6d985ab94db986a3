"""The store: a database that is written by one thread and read by several.

What can be asked of it stands in the modules beside this one, as verbs: functions that take a
connection first. `await store.write(turns.begin, plan)` runs one in the next transaction,
`await store.read(sessions.get_session, id)` one on a reader.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from . import migration
from .errors import StoreUnavailable
from .writer import Writer, translated

P = ParamSpec("P")
R = TypeVar("R")

_READERS = 4
_BUSY_SECONDS = 5
_dumps = partial(json.dumps, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Store:
    """Verbs in, values out. Close it when done; closing finishes what was submitted."""

    def __init__(self, writing: Engine, reading: Engine | None) -> None:
        self._writing = writing
        self._reading = reading
        self._writer = Writer(writing)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    async def write(
        self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """What the verb gives, once it is committed.

        Raises what the verb refuses with, and StoreUnavailable when the database fails.
        """
        return await asyncio.wrap_future(self._writer.submit(_bound(verb, args, kwargs)))

    async def read(
        self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """What the verb gives, from the state that was last committed. Raises as write() does."""
        work = _bound(verb, args, kwargs)
        if self._reading is None:
            # A database in memory is one connection's own: its writer reads as well.
            return await asyncio.wrap_future(self._writer.submit(work))
        try:
            reading = self._readers.submit(self._read, work)
        except RuntimeError as exc:
            raise StoreUnavailable("the store is closed") from exc
        return await asyncio.wrap_future(reading)

    def waiting(self) -> int:
        """How many jobs wait for the writer."""
        return self._writer.waiting()

    def watch_commits(self, on_commit: Callable[[float, int], None]) -> None:
        """Have each transaction's seconds and jobs told, in the writer's thread."""
        self._writer.on_commit = on_commit

    def close(self) -> None:
        """Finish what was submitted, then close the database. Blocks."""
        self._writer.close()
        self._readers.shutdown()
        self._writing.dispose()
        if self._reading is not None:
            self._reading.dispose()

    def _read(self, work: Callable[[Connection], R]) -> R:
        assert self._reading is not None
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except SQLAlchemyError as exc:
            raise translated(exc) from exc


def open_store(location: str) -> Store:
    """The store at a path, a `sqlite:///` URL or `:memory:`, made or brought up to date.

    Raises StoreUnavailable with a sentence that says what is in the way.
    """
    if location == ":memory:":
        writing = _sqlite_engine(URL.create("sqlite"), immediate=True, poolclass=StaticPool)
        reading = None
    else:
        url = _url_of(location)
        writing = _sqlite_engine(url, immediate=True)
        reading = _sqlite_engine(url, immediate=False, pool_size=_READERS)
    try:
        _bring_up_to_date(writing, location)
    except StoreUnavailable:
        writing.dispose()
        raise
    return Store(writing, reading)


def _bring_up_to_date(engine: Engine, location: str) -> None:
    try:
        with engine.begin() as connection:
            migration.upgrade(connection)
    except migration.FromTheFuture as exc:
        raise StoreUnavailable(f"{location}: {exc}") from exc
    except SQLAlchemyError as exc:
        reason = getattr(exc, "orig", None) or exc
        raise StoreUnavailable(f"the database {location} cannot be used: {reason}") from exc


def file_of(location: str) -> Path | None:
    """The file of the store at a location, made or not; None for `:memory:`.

    Raises StoreUnavailable for what is no location.
    """
    if location == ":memory:":
        return None
    return Path(_resolved(location).database or "").absolute()


def make_folder(path: Path) -> None:
    """See to it that a store's file has a folder. Raises StoreUnavailable."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise _cannot_be_opened(path, exc) from exc


def _url_of(location: str) -> URL:
    """Where a database file is, which is there from now on."""
    url = _resolved(location)
    assert url.database is not None
    _make_private(Path(url.database))
    return url


def _resolved(location: str) -> URL:
    if "://" in location:
        return _parsed(location)
    # Not by way of a URL's text, in which "%" and "?" mean something.
    return URL.create("sqlite", database=_expanded(location))


def _parsed(location: str) -> URL:
    try:
        url = make_url(location)
    except (ArgumentError, ValueError) as exc:
        raise StoreUnavailable("the database's URL cannot be read") from exc
    # No host, no options, no driver of its own.
    is_plain = url == URL.create(url.drivername, database=url.database)
    is_ours = is_plain and url.drivername in ("sqlite", "sqlite+pysqlite")
    if not is_ours or url.database in (None, "", ":memory:"):
        raise StoreUnavailable("the database must be a file's path, sqlite:///PATH or :memory:")
    return url


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as exc:
        raise StoreUnavailable(f"the database {path} cannot be opened: {exc}") from exc


def _make_private(path: Path) -> None:
    """A conversation is nobody else's business: the file is its owner's alone."""
    make_folder(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except (OSError, ValueError) as exc:
        raise _cannot_be_opened(path, exc) from exc


def _cannot_be_opened(path: Path, exc: OSError | ValueError) -> StoreUnavailable:
    reason = getattr(exc, "strerror", None) or exc
    return StoreUnavailable(f"the database {path} cannot be opened: {reason}")


def _sqlite_engine(url: URL, *, immediate: bool, **options: Any) -> Engine:
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
        connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that upgrades a read lock may deadlock.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _switch_to_wal(connection: Any) -> None:
    # Where two processes switch one new file at the same moment SQLite does not wait, whatever
    # its busy_timeout.
    give_up_at = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


def _bound(
    verb: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Connection], R]:
    return lambda connection: verb(connection, *args, **kwargs)
