"""What an operator does to a store that no server is using: bring it up to date, check it.

Nothing here is a verb: these take a location, and block.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from . import check, migration
from .engines import reading_engine, writing_engine
from .errors import StoreUnavailable
from .location import MEMORY, file_of, name_of, url_of
from .lock import exclusive
from .store import open_store
from .writer import translated


@dataclass(frozen=True)
class Upgraded:
    """before, after: the revisions. backup: the copy of a SQLite file as it was before."""

    before: str | None
    after: str
    backup: Path | None = None


def current(location: str) -> tuple[str | None, bool]:
    """The revision of the database, and whether that is the newest; nothing is changed.

    Raises StoreUnavailable.
    """
    with _reading(location) as connection:
        revision = migration.current(connection)
    return revision, revision == migration.HEAD


def upgrade(location: str) -> Upgraded:
    """Bring the database up to date; a SQLite file is copied first where there is anything to do.

    Raises StoreUnavailable, also while a server has the store.
    """
    _check_kept(location)
    with exclusive(location):
        path = file_of(location)
        before, is_head = (None, False)
        if path is None or path.exists():
            before, is_head = current(location)
        backup = None
        if path is not None and path.exists() and not is_head:
            backup = _back_up(path, before)
        open_store(location).close()
    return Upgraded(before, migration.HEAD, backup)


def find_differences(location: str) -> list[check.Difference]:
    """Every kept figure that is not what the stored rows come to; the first 1,000 of more.

    It may run beside a server. Raises StoreUnavailable.
    """
    with _reading(location) as connection:
        _check_head(connection, location)
        return check.find(connection)


def repair(location: str) -> list[check.Difference]:
    """Mend every difference; the first 1,000 of those that there were.

    Raises StoreUnavailable, also while a server has the store.
    """
    _check_kept(location)
    with exclusive(location), _writing(location) as connection:
        _check_head(connection, location)
        found = check.find(connection)
        check.mend(connection)
        return found


def _check_kept(location: str) -> None:
    if location == MEMORY:
        raise StoreUnavailable("a database in memory is gone when its server ends; name one")


def _check_head(connection: Connection, location: str) -> None:
    revision = migration.current(connection)
    if revision != migration.HEAD:
        raise StoreUnavailable(
            f"the database {name_of(location)} is at revision {revision or 'none'}, this version"
            f" of chatserver-sdk at {migration.HEAD}; run `chatserver db upgrade` first"
        )


@contextmanager
def _reading(location: str) -> Iterator[Connection]:
    _check_kept(location)
    path = file_of(location)
    if path is not None and not path.is_file():
        raise StoreUnavailable(f"there is no database {path}")
    engine = reading_engine(url_of(location))
    assert engine is not None
    with _using(engine, location), engine.connect() as connection:
        yield connection


@contextmanager
def _writing(location: str) -> Iterator[Connection]:
    path = file_of(location)
    if path is not None and not path.is_file():
        raise StoreUnavailable(f"there is no database {path}")
    engine = writing_engine(url_of(location))
    with _using(engine, location), engine.begin() as connection:
        yield connection


@contextmanager
def _using(engine: Engine, location: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as exc:
        failure = translated(exc, f"the database {name_of(location)} cannot be used")
        raise failure from failure.__cause__
    finally:
        engine.dispose()


def _back_up(path: Path, revision: str | None) -> Path:
    """A copy of the database beside it, of what is committed, also where that is in its log."""
    moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    copy = path.with_name(f"{path.name}.backup-{revision or 'none'}-{moment}")
    try:
        # Made by nobody else, and for nobody else.
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            # One file, not one and its log.
            target.execute("PRAGMA journal_mode=DELETE")
    except (OSError, sqlite3.Error) as exc:
        raise StoreUnavailable(f"{copy} cannot be written, and nothing was changed: {exc}") from exc
    return copy
