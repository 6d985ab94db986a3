"""The lock that keeps a second server off a store: whom it stops, and whom it does not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chatserver_sdk.storage import StoreUnavailable, open_store
from chatserver_sdk.storage.lock import exclusive

HOLDER = """
import sys
from chatserver_sdk.storage.lock import exclusive
with exclusive(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def assert_refused(location: str, path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught, exclusive(location):
        raise AssertionError("it was not refused")
    assert str(caught.value) == (
        f"the database {path} is in use by another chatserver; give this one its own with --db"
    )


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock by now."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_one_at_a_time(tmp_path: Path) -> None:
    """Who has the lock keeps others off by whatever name they call the file; then it is free."""
    path, link = tmp_path / "new" / "chat.db", tmp_path / "link.db"
    link.symlink_to(path)
    with exclusive(str(path)):
        assert stat.S_IMODE((tmp_path / "new" / "chat.db.lock").stat().st_mode) == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["chat.db.lock"]
        assert_refused(str(path), path)
        assert_refused(f"sqlite:///{path}", path)
        assert_refused(str(link), link)
    with exclusive(str(path)):
        pass
    assert [each.name for each in path.parent.iterdir()] == ["chat.db.lock"]


def test_of_another_process(tmp_path: Path) -> None:
    """Another process's lock counts as well, and dies with it, however that ends."""
    path = tmp_path / "chat.db"
    with holder(path) as other:
        assert_refused(str(path), path)
        other.kill()
        other.wait()
        with exclusive(str(path)):
            pass


def test_a_refusal_leaves_the_lock_alone(tmp_path: Path) -> None:
    """A refused attempt in the holder's own process does not free it for other processes."""
    path = tmp_path / "chat.db"
    with exclusive(str(path)):
        assert_refused(str(path), path)
        command = [sys.executable, "-c", HOLDER, str(path)]
        done = subprocess.run(command, input="", capture_output=True, text=True)
    assert done.returncode != 0 and "in use by another chatserver" in done.stderr


def test_other_tools_may_look(tmp_path: Path) -> None:
    """Opening a store takes no lock and needs none."""
    path = str(tmp_path / "chat.db")
    with exclusive(path):
        open_store(path).close()


def test_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases in memory are nobody else's: there is nothing to lock."""
    monkeypatch.chdir(tmp_path)
    with exclusive(":memory:"), exclusive(":memory:"):
        assert os.listdir() == []


def test_no_file_to_lock(tmp_path: Path) -> None:
    """Where no file can be the store will be refused; no lock is left beside it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text").touch()
    with exclusive(str(tmp_path / "folder")), exclusive(str(tmp_path / "folder/text/chat.db")):
        assert [path.name for path in tmp_path.rglob("*")] == ["folder", "text"]


def test_a_lock_that_cannot_be_had(tmp_path: Path) -> None:
    """What is in the way is said, and is not another server."""
    (tmp_path / "chat.db.lock").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be locked: unable to open"):
        with exclusive(str(tmp_path / "chat.db")):
            raise AssertionError("it was locked")
    with pytest.raises(StoreUnavailable, match="file's path"), exclusive("mysql://host/db"):
        raise AssertionError("it was locked")
    (tmp_path / "text").touch()
    with pytest.raises(StoreUnavailable, match="cannot be opened: "):
        with exclusive(str(tmp_path / "text" / "new" / "chat.db")):
            raise AssertionError("it was locked")
