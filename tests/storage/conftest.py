"""A store of each kind; the suite is the same for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_records import Db


@pytest.fixture(params=["file", "memory"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    """An empty store: a SQLite file, or a database in memory."""
    db = Db.open(str(tmp_path / "store.db") if request.param == "file" else ":memory:")
    yield db
    db.close()
