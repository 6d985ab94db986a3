"""A store with keys of an earlier version is brought up to date, and its keys go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from store_records import NOW, Db, make_database

from chatserver_sdk.models import Role
from chatserver_sdk.storage import generation, keys


def test_keys_of_an_earlier_version(tmp_path: Path) -> None:
    """They open the door as before, and are listed without what nobody noted then."""
    path = tmp_path / "store.db"
    make_database(path, "0002")
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
