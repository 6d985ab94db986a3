"""A store with keys of an earlier version is brought up to date, and its keys go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from store_records import NOW, Db

from chatserver_sdk.models import Role
from chatserver_sdk.storage import generation, keys, migration


def test_keys_of_an_earlier_version(tmp_path: Path) -> None:
    """They open the door as before, and are listed without what nobody noted then."""
    path = tmp_path / "store.db"
    make_earlier(path)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO principals VALUES ('p', 'a@x', NULL, 'Ada', 1)")
    connection.execute("INSERT INTO admins VALUES ('p', 1, NULL)")
    columns = "id, principal_id, hash, prefix, name, role, created_at"
    connection.execute(
        f"INSERT INTO api_keys ({columns}) VALUES ('k', 'p', 'h', 'csk_1', 'old', 'admin', 1)"
    )
    connection.commit()
    connection.close()

    db = Db.open(str(path))
    found = db.read(keys.find_principal, "h", NOW)
    (listed,) = db.read(keys.list_keys, most=9)
    seen = db.read(generation.current)
    db.close()

    assert found is not None and (found.role, found.key_id) == (Role.ADMIN, "k")
    assert (listed.id, listed.name, listed.created_by, listed.expires_at) == (
        "k",
        "old",
        None,
        None,
    )
    assert seen == 1


def make_earlier(path: Path) -> None:
    """A database at the revision before."""
    engine: Any = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(migration.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    engine.dispose()
