"""A store of each kind; the suite is the same for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import (
    empty_postgres_url as empty_postgres_url,
    postgres as postgres,
    postgres_url as postgres_url,
)
from store_records import Db


@pytest.fixture(params=["file", "memory", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    """An empty store: a SQLite file, a database in memory, one of a PostgreSQL server."""
    if request.param == "postgres":
        location = request.getfixturevalue("postgres_url")
    else:
        location = str(tmp_path / "store.db") if request.param == "file" else ":memory:"
    db = Db.open(location)
    yield db
    db.close()


@pytest.fixture(params=["file", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made that several processes can use."""
    if request.param == "postgres":
        return str(request.getfixturevalue("empty_postgres_url"))
    return str(tmp_path / "store.db")


@pytest.fixture
def sqlite_db(tmp_path: Path) -> Iterator[Db]:
    """An empty store in a SQLite file."""
    db = Db.open(str(tmp_path / "store.db"))
    yield db
    db.close()
