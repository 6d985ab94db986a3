"""The lock by which a server has a store to itself, for as long as it runs.

Opening a store takes no lock: other tools may look into it beside a running server.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from .engines import SERVING, lone_engine
from .errors import StoreUnavailable
from .location import file_of, is_postgres, make_folder, name_of, url_of
from .writer import translated

# Of two that ask at the same moment each may find the other in its way; one gets it soon after.
_WAIT_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"


@contextmanager
def exclusive(location: str) -> Iterator[None]:
    """Keep other servers off a store while the block runs. `:memory:` needs no lock.

    Raises StoreUnavailable where another server has it.
    """
    url = url_of(location)
    if is_postgres(url):
        with _locked_database(url, name_of(location)):
            yield
        return
    path = file_of(location)
    if path is not None:
        make_folder(path)
    # What cannot be a store is refused by whoever opens it, and needs no file beside it.
    if path is None or path.is_dir() or not path.parent.is_dir():
        yield
        return
    with closing(_locked(path)):
        yield


@contextmanager
def _locked_database(url: URL, name: str) -> Iterator[None]:
    """A connection of its own holds an advisory lock, which the server ends with the connection."""
    engine = lone_engine(url)
    try:
        with _connected(engine, name) as connection:
            _take(connection, name)
            yield
    finally:
        engine.dispose()


@contextmanager
def _connected(engine: Engine, name: str) -> Iterator[Connection]:
    with _said_of(name):
        connection = engine.connect()
    try:
        yield connection
    finally:
        # Not back into a pool, where it would keep the lock.
        connection.invalidate()
        connection.close()


def _take(connection: Connection, name: str) -> None:
    with _said_of(name):
        connection.exec_driver_sql(f"SET lock_timeout = {int(_WAIT_SECONDS * 1000)}")
        connection.exec_driver_sql(f"SELECT {SERVING}")


@contextmanager
def _said_of(name: str) -> Iterator[None]:
    """What SQLAlchemy raises in the block, in our words."""
    try:
        yield
    except SQLAlchemyError as exc:
        if getattr(exc.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise StoreUnavailable(_in_use(name)) from None
        failure = translated(exc, f"the database {name} cannot be used")
        raise failure from failure.__cause__


def _locked(path: Path) -> sqlite3.Connection:
    """A connection that holds the lock until it is closed; the system ends it with the process.

    The lock's file stays: were it removed, two servers could each lock a file of that name.
    """
    connection: sqlite3.Connection | None = None
    try:
        # One file may have several names; with all of them it is the same store.
        beside = f"{path.resolve()}.lock"
        connection = sqlite3.connect(
            beside, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        # Nothing is ever written, so no journal need lie beside the file.
        connection.execute("PRAGMA journal_mode=MEMORY")
        connection.execute("BEGIN EXCLUSIVE")
        # By its name: on POSIX, to open and close a file drops this process's locks on it.
        os.chmod(beside, 0o600)
    except (OSError, ValueError, sqlite3.Error) as exc:
        if connection is not None:
            connection.close()
        raise StoreUnavailable(_sentence(path, exc)) from exc
    return connection


def _sentence(path: Path, exc: Exception) -> str:
    # Not sqlite_errorcode, which Python 3.10 does not have.
    if isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc):
        return _in_use(str(path))
    return f"the database {path} cannot be locked: {exc}"


def _in_use(name: str) -> str:
    return f"the database {name} is in use by another chatserver; give this one its own with --db"
