"""running_server on a file that is used again: which key it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatserver_sdk import ConfigurationError
from chatserver_sdk.testing import running_server

KEY = "a-key-of-the-testers-own-choice"


def test_the_same_key_again(tmp_path: Path) -> None:
    """A key of one's own is a new store's first, and an old one's that knows it."""
    database = str(tmp_path / "chat.db")
    for _ in range(2):
        with running_server(db=database, api_key=KEY) as server, server.client() as client:
            assert server.api_key == KEY
            assert len(client.list_admins().admins) == 1


@pytest.mark.parametrize("key", [None, "another-key"])
def test_a_key_that_the_store_does_not_know(tmp_path: Path, key: str | None) -> None:
    """It would be refused at every request, so the start is; the file is free again."""
    database = str(tmp_path / "chat.db")
    with running_server(db=database, api_key=KEY):
        pass
    with pytest.raises(ConfigurationError, match="has keys already and does not know this one"):
        with running_server(db=database, api_key=key):
            raise AssertionError("it started")
    with running_server(db=database, api_key=KEY):
        pass


def test_development_mode_takes_any_key(tmp_path: Path) -> None:
    """There a key is never unknown."""
    database = str(tmp_path / "chat.db")
    with running_server(db=database, api_key=KEY):
        pass
    with running_server(db=database, dev=True) as server, server.client() as client:
        client.get_platform_stats()
