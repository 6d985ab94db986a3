"""The generation of the keys: a number that is another one whenever a key may do something else.

Who remembers keys asks for it before each use, so that a revocation counts at once, whichever
process it was made in.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, select, update

from .tables import key_generation

_CURRENT = select(key_generation.c.value)
# Not through SQLAlchemy, which takes twenty times as long: this stands in each request's way.
_QUERY = "SELECT value FROM key_generation"


def current(connection: Connection) -> int:
    """The generation."""
    return connection.scalar(_CURRENT) or 0


def advance(connection: Connection) -> None:
    """What is remembered of keys does not hold any longer, once this is committed."""
    connection.execute(update(key_generation).values(value=key_generation.c.value + 1))


class Watch:
    """Reads the generation of a SQLite file, in less than 2 us, without waiting for anybody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def current(self) -> int | None:
        """The generation, from what is committed; None where it cannot be read at the moment."""
        try:
            row = self._open().execute(_QUERY).fetchone()
        except sqlite3.Error:
            # Whoever asks the store itself is told what is in the way.
            self.close()
            return None
        return None if row is None else int(row[0])

    def close(self) -> None:
        """Give the file back; the next question opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection.execute("PRAGMA query_only=ON")
        return self._connection
