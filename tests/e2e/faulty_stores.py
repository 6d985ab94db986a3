"""Stores that fail while a server uses them: a disk without room, a database that others hold."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

_PIECE = b"\0" * 4096


class Fault(Protocol):
    """Something that is in the way from begin() to end().

    is_gradual: some of what comes may still be taken.
    """

    is_gradual: bool

    def begin(self, server_pid: int) -> None:
        """Have the store of this server fail."""

    def end(self) -> None:
        """Take it out of the way."""


class FileTooLong:
    """No file of the server's may grow beyond so many bytes, as where a quota ends."""

    is_gradual = True

    def __init__(self, size: int) -> None:
        self._size = size
        self._pid = 0
        self._before = (0, 0)

    def begin(self, server_pid: int) -> None:
        self._pid = server_pid
        self._before = resource.prlimit(server_pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server_pid, resource.RLIMIT_FSIZE, (self._size, self._before[1]))

    def end(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._before)


class DiskFull:
    """The rest of a small disk is taken by another file."""

    is_gradual = True

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def begin(self, server_pid: int) -> None:
        with open(self._ballast, "wb", buffering=0) as file, suppress(OSError):
            while file.write(_PIECE) == len(_PIECE):
                continue

    def end(self) -> None:
        self._ballast.unlink()


class FileLocked:
    """Another process holds the SQLite file for itself."""

    is_gradual = False

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def begin(self, server_pid: int) -> None:
        self._connection = sqlite3.connect(self._database, isolation_level=None, timeout=60)
        self._connection.execute("BEGIN EXCLUSIVE")

    def end(self) -> None:
        assert self._connection is not None
        with closing(self._connection):
            self._connection.execute("ROLLBACK")


class TablesLocked:
    """Another session holds the tables of a PostgreSQL database."""

    is_gradual = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def begin(self, server_pid: int) -> None:
        self._connection = psycopg.connect(self._url)
        query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        names = [sql.Identifier(name) for (name,) in self._connection.execute(query)]
        lock = sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE")
        self._connection.execute(lock.format(sql.SQL(", ").join(names)))

    def end(self) -> None:
        assert self._connection is not None
        with closing(self._connection):
            self._connection.rollback()


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of 16 MB at the folder, as long as the block lasts; False where none may be made."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(folder)]
    can_be = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield can_be
    finally:
        if can_be:
            subprocess.run(["umount", str(folder)], check=True)
