"""The store: a database that is written by one thread and read by several.

What can be asked of it stands in the modules beside this one, as verbs: functions that take a
connection first. `await store.write(turns.begin, plan)` runs one in the next transaction,
`await store.read(sessions.get_session, id)` one on a reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from . import migration, turns
from .engines import READERS, reading_engine, writing_engine
from .errors import StoreUnavailable
from .location import name_of, url_of
from .writer import Together, Verb, Writer, translated

P = ParamSpec("P")
R = TypeVar("R")


# Ends first: whoever begins a turn after another one's end may do so.
_TOGETHER: dict[Verb, Together] = {
    turns.finish: turns.finish_all,
    turns.begin: turns.begin_all,
}


class Store:
    """Verbs in, values out. Close it when done; closing finishes what was submitted."""

    def __init__(self, writing: Engine, reading: Engine | None) -> None:
        self._writing = writing
        self._reading = reading
        self._writer = Writer(writing, _TOGETHER)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @property
    def file(self) -> Path | None:
        """The SQLite file, which other processes may write as well; None where there is none."""
        url = None if self._reading is None else self._reading.url
        if url is None or url.get_backend_name() != "sqlite" or not url.database:
            return None
        return Path(url.database).absolute()

    @property
    def is_private(self) -> bool:
        """Whether nobody but this object can write it: a database in memory."""
        return self._reading is None

    async def write(
        self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """What the verb gives, once it is committed.

        Raises what the verb refuses with, and StoreUnavailable when the database fails.
        """
        if kwargs:
            return await self._writer.call(partial(verb, **kwargs), *args)
        return await self._writer.call(verb, *args)

    async def read(
        self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """What the verb gives, from the state that was last committed. Raises as write() does."""
        work = _bound(verb, args, kwargs)
        if self._reading is None:
            # A database in memory is one connection's own: its writer reads as well.
            return await self._writer.call(work)
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
        except Exception as exc:
            failure = translated(exc)
            if failure is exc:
                raise
            raise failure from failure.__cause__


def open_store(location: str) -> Store:
    """The store at a path, a `sqlite:///` or `postgresql://` URL or `:memory:`, made or brought up
    to date.

    Raises StoreUnavailable with a sentence that says what is in the way.
    """
    url = url_of(location)
    writing = writing_engine(url)
    try:
        _bring_up_to_date(writing, name_of(location))
    except StoreUnavailable:
        writing.dispose()
        raise
    return Store(writing, reading_engine(url))


def _bring_up_to_date(engine: Engine, name: str) -> None:
    try:
        # Whoever else starts now waits for this transaction, and finds the tables as they are.
        with engine.begin() as connection:
            migration.upgrade(connection)
    except migration.Unsuitable as exc:
        raise StoreUnavailable(f"{name}: {exc}") from exc
    except SQLAlchemyError as exc:
        failure = translated(exc, f"the database {name} cannot be used")
        raise failure from failure.__cause__


def _bound(
    verb: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Connection], R]:
    return lambda connection: verb(connection, *args, **kwargs)
