"""The lock by which a server has a store's file to itself, for as long as it runs.

Opening a store takes no lock: other tools may look into it beside a running server.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .errors import StoreUnavailable
from .store import file_of, make_folder

# Of two that ask at the same moment each may find the other in its way; one gets it soon after.
_WAIT_SECONDS = 1.0


@contextmanager
def exclusive(location: str) -> Iterator[None]:
    """Keep other servers off a store's file while the block runs. `:memory:` needs no lock.

    Raises StoreUnavailable where another server has it.
    """
    path = file_of(location)
    if path is not None:
        make_folder(path)
    # What cannot be a store is refused by whoever opens it, and needs no file beside it.
    if path is None or path.is_dir() or not path.parent.is_dir():
        yield
        return
    with closing(_locked(path)):
        yield


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
        return (
            f"the database {path} is in use by another chatserver;"
            " give this one its own with --db"
        )
    return f"the database {path} cannot be locked: {exc}"
