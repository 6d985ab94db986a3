"""The lock by which a server has a store to itself, for as long as it runs.

Opening a store takes no lock: other tools may look into it beside a running server.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from .engines import SERVING, lone_engine
from .errors import StoreInUse, StoreUnavailable
from .location import file_of, is_postgres, make_folder, name_of, url_of
from .writer import translated

_log = logging.getLogger(__name__)

# Of two that ask at the same moment each may find the other in its way; one gets it soon after.
_WAIT_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"
# For so long another server may have had a lock that was lost before this one knows.
_LOOK_SECONDS = 2.0
_PATIENCE = 5.0


class Hold:
    """A store that is this process's; the system lets nobody else have it meanwhile."""

    def look(self) -> None:
        """Make sure that it is still so. Raises StoreInUse where another server has it now."""

    @contextmanager
    def watched(self, on_loss: Callable[[StoreInUse], object]) -> Iterator[None]:
        """Within the block, say once, in whichever thread, that another server has the store."""
        yield


class _DatabaseHold(Hold):
    """An advisory lock, which the database ends with the connection that took it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._connection: Connection | None = None

    def look(self) -> None:
        """As of Hold; a lock that was lost is taken again. Raises StoreUnavailable meanwhile."""
        if self._connection is not None:
            try:
                self._connection.exec_driver_sql("SELECT 1").all()
                return
            except SQLAlchemyError:
                _log.warning("the lock on the database %s was lost with its connection", self._name)
                self.let_go()
        self.take()

    def take(self) -> None:
        """Have it. Raises StoreInUse and StoreUnavailable."""
        with _said_of(self._name):
            self._connection = self._engine.connect()
        try:
            with _said_of(self._name):
                wait = f"SET lock_timeout = {int(_WAIT_SECONDS * 1000)}"
                self._connection.exec_driver_sql(wait)
                self._connection.exec_driver_sql(f"SELECT {SERVING}")
        except BaseException:
            self.let_go()
            raise

    def let_go(self) -> None:
        """Have it no longer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not back into a pool, where it would keep the lock.
            connection.invalidate()
            connection.close()

    @contextmanager
    def watched(self, on_loss: Callable[[StoreInUse], object]) -> Iterator[None]:
        """As of Hold: the connection is looked at every few seconds."""
        over = threading.Event()
        watch = threading.Thread(
            target=self._watch, args=(over, on_loss), name="store-lock", daemon=True
        )
        watch.start()
        try:
            yield
        finally:
            over.set()
            # A database that hangs is not to keep the process.
            watch.join(_PATIENCE)

    def _watch(self, over: threading.Event, on_loss: Callable[[StoreInUse], object]) -> None:
        while not over.wait(_LOOK_SECONDS):
            try:
                self.look()
            except StoreInUse:
                taken = f"another chatserver has taken the database {self._name}"
                on_loss(StoreInUse(f"{taken} while this one had lost it; this one stops"))
                return
            except StoreUnavailable as exc:
                _log.error("the lock on the database cannot be taken again yet: %s", exc)


@contextmanager
def exclusive(location: str) -> Iterator[Hold]:
    """Keep other servers off a store while the block runs. `:memory:` needs no lock.

    Raises StoreInUse where another server has it, and StoreUnavailable.
    """
    url = url_of(location)
    if is_postgres(url):
        with _locked_database(url, name_of(location)) as hold:
            yield hold
        return
    path = file_of(location)
    if path is not None:
        make_folder(path)
    # What cannot be a store is refused by whoever opens it, and needs no file beside it.
    if path is None or path.is_dir() or not path.parent.is_dir():
        yield Hold()
        return
    with closing(_locked(path)):
        yield Hold()


@contextmanager
def _locked_database(url: URL, name: str) -> Iterator[Hold]:
    engine = lone_engine(url)
    hold = _DatabaseHold(engine, name)
    try:
        hold.take()
        yield hold
    finally:
        hold.let_go()
        engine.dispose()


@contextmanager
def _said_of(name: str) -> Iterator[None]:
    """What SQLAlchemy raises in the block, in our words."""
    try:
        yield
    except SQLAlchemyError as exc:
        if getattr(exc.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise StoreInUse(_in_use(name)) from None
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
        raise _refusal(path, exc) from exc
    return connection


def _refusal(path: Path, exc: Exception) -> StoreUnavailable:
    # Not sqlite_errorcode, which Python 3.10 does not have.
    if isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc):
        return StoreInUse(_in_use(str(path)))
    return StoreUnavailable(f"the database {path} cannot be locked: {exc}")


def _in_use(name: str) -> str:
    return f"the database {name} is in use by another chatserver; give this one its own with --db"
