"""`chatserver serve` as an operator meets it: starting, refusing to start, and its first key."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import sqlite3
import stat
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from chatserver_process import (
    BOUND,
    COMMAND,
    ChatserverProcess,
    clean_environment,
    first_to_end,
    in_use,
)
from chatserver_sdk import ChatServerClient, ForbiddenError, UnauthorizedError
from chatserver_sdk.engine import KeyRing
from chatserver_sdk.server import Settings, Started, process, serve as serving
from chatserver_sdk.storage import StoreUnavailable, open_store
from chatserver_sdk.testing import running_server

KEY = re.compile(r"csk_[0-9a-f]{8}_[\w-]{43}")
Serve = Callable[..., ChatserverProcess]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home directory of whoever runs the server."""
    return tmp_path / "home"


@pytest.fixture
def serve(home: Path) -> Iterator[Serve]:
    """Starts `chatserver serve` on a free port; what still runs at the end is killed."""
    with ExitStack() as running:

        def start(*arguments: str, terminal: bool = False, **more: str) -> ChatserverProcess:
            environment = clean_environment(home, **more)
            command = ("serve", "--port", "0", *arguments)
            server = ChatserverProcess(*command, environment=environment, terminal=terminal)
            return running.enter_context(server)

        yield start


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def hash_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).hexdigest().encode()


def bytes_of_store(database: Path) -> bytes:
    """Everything that is on disk of a store, its write-ahead log included."""
    files = [database, *database.parent.glob(f"{database.name}-*")]
    return b"".join(path.read_bytes() for path in files)


def names_of_store(database: Path) -> list[str]:
    return sorted(path.name for path in database.parent.glob(f"{database.name}*"))


def assert_administrators_key(url: str, key: str) -> None:
    with ChatServerClient(key, url) as client:
        assert [admin.email for admin in client.list_admins().admins] == ["admin@localhost"]


def test_ready_line(serve: Serve) -> None:
    """The line has one form, and the server answers once it is there."""
    server = serve("--db", ":memory:")
    url = server.wait_until_ready()
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", url)
    assert server.output.splitlines()[1:] == [f"chatserver ready at {url}"]
    with urllib.request.urlopen(f"{url}/health", timeout=BOUND) as answer:
        assert answer.status == 200
    assert server.end() == 0
    assert server.errors == ""


def test_host_and_port(serve: Serve) -> None:
    """It listens where it is told to, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = serve("--db", ":memory:", "--host", "localhost", "--port", str(port))
    assert server.wait_until_ready() in (f"http://127.0.0.1:{port}", f"http://[::1]:{port}")
    assert server.end() == 0


def test_first_key_through_a_pipe(serve: Serve, tmp_path: Path) -> None:
    """The key goes into a file of its owner's alone, and only its hash into the database."""
    database = tmp_path / "chat.db"
    server = serve("--db", str(database))
    url = server.wait_until_ready()
    key_file = Path(server.wait_for("API key is in ").rpartition(" is in ")[2])
    assert key_file == tmp_path / "chat.db.admin-key"
    assert mode_of(key_file) == 0o600
    key = key_file.read_text().strip()
    assert KEY.fullmatch(key)
    assert_administrators_key(url, key)
    assert hash_of(key) in bytes_of_store(database)
    assert key.encode() not in bytes_of_store(database)
    assert server.end() == 0
    assert key not in server.output + server.errors
    assert key.encode() not in bytes_of_store(database)


def test_first_key_is_made_once(serve: Serve, tmp_path: Path) -> None:
    """The second start makes no key and says nothing of one; the first one still counts."""
    database = tmp_path / "chat.db"
    first = serve("--db", str(database))
    first.wait_until_ready()
    assert first.end() == 0
    key = (tmp_path / "chat.db.admin-key").read_text().strip()
    second = serve("--db", str(database))
    assert_administrators_key(second.wait_until_ready(), key)
    assert second.end() == 0
    assert "key" not in second.output + second.errors


def test_first_key_on_a_terminal(serve: Serve, tmp_path: Path) -> None:
    """Somebody who looks on sees the key once; there is no file, and no second time."""
    database = tmp_path / "chat.db"
    first = serve("--db", str(database), terminal=True)
    url = first.wait_until_ready()
    (key,) = KEY.findall(first.output)
    assert_administrators_key(url, key)
    assert first.end() == 0
    assert names_of_store(database) == ["chat.db", "chat.db.lock"]
    assert key.encode() not in bytes_of_store(database)
    second = serve("--db", str(database), terminal=True)
    assert_administrators_key(second.wait_until_ready(), key)
    assert second.end() == 0
    assert "key" not in second.output


def test_bootstrap_key_of_a_store_with_keys(serve: Serve, tmp_path: Path) -> None:
    """A key that an old store does not know is not used, which is said; its own is known."""
    database = str(tmp_path / "chat.db")
    with running_server(db=database, api_key="the-first-one-that-counts"):
        pass
    known = serve("--db", database, CHATSERVER_BOOTSTRAP_KEY="the-first-one-that-counts")
    assert_administrators_key(known.wait_until_ready(), "the-first-one-that-counts")
    assert known.end() == 0
    assert known.errors == ""
    server = serve("--db", database, CHATSERVER_BOOTSTRAP_KEY="another-one")
    assert_administrators_key(server.wait_until_ready(), "the-first-one-that-counts")
    assert server.end() == 0
    assert server.errors == "CHATSERVER_BOOTSTRAP_KEY is not used: the store has keys of its own.\n"


def test_bootstrap_key(serve: Serve, tmp_path: Path) -> None:
    """A key from the environment is the administrator's, and is neither shown nor kept."""
    key = "a-key-of-the-operators-own-choice"
    database = tmp_path / "chat.db"
    server = serve("--db", str(database), CHATSERVER_BOOTSTRAP_KEY=key)
    assert_administrators_key(server.wait_until_ready(), key)
    assert server.end() == 0
    assert "key" not in server.output + server.errors
    assert names_of_store(database) == ["chat.db", "chat.db.lock"]
    assert hash_of(key) in bytes_of_store(database)
    assert key.encode() not in bytes_of_store(database)


def test_short_bootstrap_key(serve: Serve) -> None:
    """A key that can be guessed is taken, with a warning that does not repeat it."""
    server = serve("--db", ":memory:", CHATSERVER_BOOTSTRAP_KEY="hunter2")
    assert_administrators_key(server.wait_until_ready(), "hunter2")
    assert server.end() == 0
    assert "short" in server.errors and "hunter2" not in server.errors


def test_key_file_of_a_store_in_memory(serve: Serve, home: Path) -> None:
    """The key of a store that is gone is gone with it."""
    server = serve("--db", ":memory:")
    url = server.wait_until_ready()
    key_file = Path(server.wait_for("API key is in ").rpartition(" is in ")[2])
    assert key_file.parent == home / "data" / "chatserver"
    assert mode_of(key_file) == 0o600
    assert_administrators_key(url, key_file.read_text().strip())
    assert server.end() == 0
    assert list(key_file.parent.iterdir()) == []


def test_two_servers_on_one_new_file(serve: Serve, tmp_path: Path) -> None:
    """Started at once, one of them has the file, with one key; the other one says whose it is."""
    database = tmp_path / "chat.db"
    servers = [serve("--db", str(database)) for _ in range(2)]
    # Whoever is refused ends by itself, and what it was told is the first to come to an end.
    refused = first_to_end(servers)
    assert refused.wait() == 1
    assert refused.output == ""
    assert refused.errors == f"Error: {in_use(database)}\n"
    (server,) = [each for each in servers if each is not refused]
    url = server.wait_until_ready()
    assert [path.name for path in tmp_path.glob("*key*")] == ["chat.db.admin-key"]
    assert_administrators_key(url, (tmp_path / "chat.db.admin-key").read_text().strip())
    assert server.end() == 0


def test_key_file_whose_name_is_taken(serve: Serve, tmp_path: Path) -> None:
    """Whatever else bears the file's name, the key is somewhere, and it is said where."""
    (tmp_path / "chat.db.admin-key").mkdir()
    server = serve("--db", str(tmp_path / "chat.db"))
    url = server.wait_until_ready()
    key_file = Path(server.wait_for("API key is in ").rpartition(" is in ")[2])
    assert_administrators_key(url, key_file.read_text().strip())
    assert server.end() == 0


def test_key_file_that_cannot_be_made(serve: Serve, tmp_path: Path) -> None:
    """Where the key cannot be kept none is made, and the next start may have one."""
    database = tmp_path / f"{'x' * 240}.db"
    server = serve("--db", str(database))
    assert server.wait() == 1
    assert server.errors.startswith("Error: the first key cannot be kept in ")
    assert server.errors.endswith("File name too long\n")
    on_terminal = serve("--db", str(database), terminal=True)
    assert_administrators_key(on_terminal.wait_until_ready(), *KEY.findall(on_terminal.output))
    assert on_terminal.end() == 0


def test_another_process_is_faster(tmp_path: Path) -> None:
    """A key that another program's has forestalled is dropped, and not said to be any."""
    database = str(tmp_path / "chat.db")
    handle = process.Handle()
    dropped: list[str] = []

    def keep(key: str) -> Callable[[], None]:
        with closing(open_store(database)) as store, ThreadPoolExecutor(1) as other:
            assert other.submit(asyncio.run, KeyRing(store).create_first("theirs")).result()
        return lambda: dropped.append(key)

    def stop(started: Started) -> None:
        assert started.key is None
        handle.stop()

    process.run(serving(Settings(port=0, db=database), stop, keep_key=keep, handle=handle))
    assert len(dropped) == 1


def test_a_key_that_cannot_be_stored(tmp_path: Path) -> None:
    """Where the store fails, the key is dropped as well."""
    database = tmp_path / "chat.db"
    dropped: list[str] = []

    def keep(key: str) -> Callable[[], None]:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("DROP TABLE api_keys")
        return lambda: dropped.append(key)

    settings = Settings(port=0, db=str(database))
    with pytest.raises(StoreUnavailable):
        process.run(serving(settings, lambda started: None, keep_key=keep))
    assert len(dropped) == 1


def test_default_database(serve: Serve, home: Path) -> None:
    """Without --db there is a file in the user's data directory, for nobody else to read."""
    server = serve()
    with ChatServerClient("csk_wrong", server.wait_until_ready()) as stranger:
        with pytest.raises(UnauthorizedError):
            stranger.list_models()
    folder = home / "data" / "chatserver"
    assert mode_of(folder) == 0o700
    assert {mode_of(path) for path in folder.iterdir()} == {0o600}
    assert server.end() == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "chatserver.db",
        "chatserver.db.admin-key",
        "chatserver.db.lock",
    ]


def test_development_mode(serve: Serve, home: Path) -> None:
    """It says loudly what it is, takes any key but not none, and has a database of its own."""
    server = serve("--dev", terminal=True)
    url = server.wait_until_ready()
    assert server.errors.startswith("DEVELOPMENT MODE")
    assert "key" not in server.output
    with ChatServerClient("whatever", url) as client:
        client.get_platform_stats()
        client.session.headers["Host"] = "chat.example.com"
        with pytest.raises(ForbiddenError):
            client.list_models()
    with ChatServerClient("", url) as stranger, pytest.raises(UnauthorizedError):
        stranger.list_models()
    assert server.end() == 0
    database = home / "data" / "chatserver" / "chatserver-dev.db"
    assert sorted(database.parent.iterdir()) == [database, Path(f"{database}.lock")]


def test_a_taken_port(serve: Serve) -> None:
    """A second server on one port is refused, in words that name the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve("--db", ":memory:", "--port", str(port))
        assert server.wait() == 1
    assert server.errors == (
        f"Error: cannot listen on 127.0.0.1:{port}: Address already in use;"
        " choose another port with --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--db", "{home}"], "the database {home} cannot be opened: Is a directory"),
        (["--db", "{home}/text/x.db"], "{home}/text/x.db cannot be opened: Not a directory"),
        (
            ["--db", "{home}/text"],
            "the database {home}/text cannot be used: file is not a database",
        ),
        (["--db", "mysql://x/y"], "must be a file's path, sqlite:///PATH, postgresql://"),
        (["--alias", "gpt"], "'gpt' must look like NAME=AGENT"),
        (["--alias", "gpt="], "'gpt=' must look like NAME=AGENT"),
        (["--alias", "gpt=nobody"], "stands for 'nobody', and there is no such agent; there are"),
        (["--dev", "--host", "0.0.0.0"], "listens on loopback only, not on 0.0.0.0"),
        (["--host", "no.such.host.invalid"], "choose another address with --host"),
        (["--host", "a..b"], "cannot listen on a..b:0: that is no host;"),
        (["--port", "65536"], "65536 is not in the range"),
        (["--nonsense"], "'--nonsense'"),
    ],
)
def test_refusals(home: Path, arguments: list[str], sentence: str) -> None:
    """What is in the way is said in one sentence, without a traceback, and ends the start."""
    environment = clean_environment(home)
    (home / "text").write_text("This is no database.")
    given = [argument.format(home=home) for argument in arguments]
    command = [COMMAND, "serve", "--port", "0", *given]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BOUND)
    assert ran.returncode != 0
    assert ran.stdout == ""
    # Where click finds the fault itself, two lines on the usage come first.
    *usage, error = ran.stderr.splitlines()
    assert error.startswith("Error: ") and sentence.format(home=home) in error
    assert usage == [] or usage[0].startswith("Usage: chatserver serve")


def test_a_key_that_no_header_can_hold(serve: Serve) -> None:
    """A bootstrap key with blanks is refused, and not repeated."""
    server = serve("--db", ":memory:", CHATSERVER_BOOTSTRAP_KEY="two words")
    assert server.wait() == 1
    assert server.errors.startswith("Error: CHATSERVER_BOOTSTRAP_KEY must be")
    assert "two words" not in server.errors
