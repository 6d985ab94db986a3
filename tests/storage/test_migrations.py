"""The steps that make the tables: from nothing to the newest revision, and no further."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from store_records import Db

from chatserver_sdk.storage import StoreUnavailable, migration, open_store


def test_an_empty_database_is_brought_to_head(db: Db) -> None:
    """A new store is at the newest revision."""
    assert db.read(migration.current) == migration.HEAD


def test_a_newer_versions_database_is_refused(tmp_path: Path) -> None:
    """It is left as it is, and the sentence says what to install."""
    path = tmp_path / "store.db"
    open_store(str(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    with pytest.raises(StoreUnavailable) as caught:
        open_store(str(path))

    said = str(caught.value)

    assert str(path) in said and "9999" in said and "install a newer" in said


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    """A database whose tables are not ours is refused and not changed."""
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sessions (mine TEXT)")
    connection.close()

    with pytest.raises(StoreUnavailable, match="already exists"):
        open_store(str(path))
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connected:
        names = connected.execute(text("SELECT name FROM sqlite_master")).scalars().all()
    engine.dispose()
    assert names == ["sessions"]
