"""The pytest plugin: its fixtures here, and pytest runs of users in interpreters of their own."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chatserver_sdk import ChatServerClient, UnauthorizedError
from chatserver_sdk.testing import (
    DONE,
    RunningServer,
    ScriptedAgent,
    WireServer,
    delta,
    event_stream,
)

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "chatserver_sdk",
    "chatserver_sdk._lazy",
    "chatserver_sdk._version",
    "chatserver_sdk.testing",
    "chatserver_sdk.testing.pytest_plugin",
}
HEAVY = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "requests", "urllib3", "marshmallow"}


@dataclass(frozen=True)
class Ran:
    """How a run of pytest ended, what it printed, and the modules that it had loaded."""

    status: int
    output: str
    loaded: frozenset[str]


class User:
    """A user who has the package installed, with tests in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        installed = folder / "installed" / "chatserver_sdk-0.dist-info"
        installed.mkdir(parents=True)
        entry = config["options.entry_points"]["pytest11"]
        metadata = "Metadata-Version: 2.1\nName: chatserver-sdk\nVersion: 0\n"
        (installed / "METADATA").write_text(metadata)
        (installed / "entry_points.txt").write_text(f"[pytest11]{entry}\n")

    def run(self, *arguments: str, **files: str) -> Ran:
        """Run pytest in a folder with these modules."""
        tests = self._folder / "tests"
        tests.mkdir(exist_ok=True)
        (tests / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        for name, text in files.items():
            (tests / f"{name}.py").write_text(textwrap.dedent(text))
        # Of what is installed for pytest, only our plugin, by the name of its entry point.
        wanted = ["-p", "chatserver_sdk", "-p", "no:cacheprovider", *arguments]
        program = f"import sys, pytest; print(pytest.main({wanted!r}).value, *sys.modules)"
        path = os.pathsep.join([str(self._folder / "installed"), str(ROOT)])
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path}
        environment.pop("PYTEST_ADDOPTS", None)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tests,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        output, _, last = done.stdout.rstrip().rpartition("\n")
        status, *loaded = last.split()
        return Ran(int(status), output + done.stderr, frozenset(loaded))


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Somebody who has installed the package."""
    return User(tmp_path)


def test_a_raw_server(wire_server: WireServer) -> None:
    """`wire_server` is a WireServer that runs."""
    wire_server.answers(event_stream(delta("Hello"), DONE))
    with ChatServerClient(base_url=wire_server.base_url) as client:
        assert list(client.create_completion("m", "x", stream=True)) == ["Hello"]


def test_a_chat_server(chat_server: RunningServer, chat_client: ChatServerClient) -> None:
    """`chat_server` has the agents that ship; `chat_client` is its administrator."""
    assert [model.id for model in chat_client.list_models().data] == ["echo", "eliza"]
    assert chat_client.base_url == chat_server.base_url
    assert len(chat_client.list_admins().admins) == 1
    with ChatServerClient("somebody-elses", chat_server.base_url) as stranger:
        with pytest.raises(UnauthorizedError):
            stranger.list_models()


def test_servers_of_ones_own(
    start_chat_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """`start_chat_server` starts as many as one likes, with agents and options."""
    first = start_chat_server(ScriptedAgent("helper", "yes"), api_key="mine")
    second = start_chat_server(db=str(tmp_path / "chat.db"), aliases={"gpt-4": "echo"})
    with first.client() as one, second.client() as other:
        assert first.api_key == "mine"
        assert one.create_completion("helper", "x").choices[0].message.content == "yes"
        assert other.create_completion("gpt-4", "x").choices[0].message.content == "x"
    assert (tmp_path / "chat.db").exists()


def test_collecting_loads_nothing(user: User) -> None:
    """Every run of pytest loads the plugin: it costs five small modules of ours and no other."""
    ran = user.run("--co", "-q", test_mine="def test_mine(chat_client): pass")

    assert ran.status == 0 and "test_mine.py::test_mine" in ran.output
    assert {name for name in ran.loaded if name.startswith("chatserver_sdk")} == OURS
    assert ran.loaded & HEAVY == set()


def test_a_raw_server_loads_no_server(user: User) -> None:
    """Tests of a client need nothing of the `server` extra, nor even requests."""
    ran = user.run(test_mine="def test_mine(wire_server): assert wire_server.base_url")
    assert ran.status == 0 and ran.loaded & HEAVY == set()


def test_the_fixtures_are_listed(user: User) -> None:
    """`pytest --fixtures` says what each of them is."""
    output = user.run("--fixtures", test_mine="").output
    for name in ("wire_server", "chat_server [session scope]", "chat_client", "start_chat_server"):
        assert f"\n{name} -- " in output


LEFTOVERS = """
    import pytest
    from chatserver_sdk import APIConnectionError, ChatServerClient
    from chatserver_sdk.testing import ScriptedAgent

    seen = []

    def test_first(start_chat_server, chat_server, chat_client, wire_server):
        started = start_chat_server(ScriptedAgent("helper", "yes"))
        seen.extend([chat_server.base_url, started.base_url, wire_server.base_url])

    def test_second(chat_server, chat_client):
        assert chat_server.base_url == seen[0]
        chat_client.list_models()
        for base_url in seen[1:]:
            with ChatServerClient(base_url=base_url) as client:
                with pytest.raises(APIConnectionError):
                    client.list_models()
"""


def test_what_is_started_is_stopped(user: User) -> None:
    """At the end of the test, or of the run for `chat_server`; with every warning an error."""
    ran = user.run(test_mine=LEFTOVERS)
    assert ran.status == 0, ran.output
    assert "2 passed" in ran.output


def test_fixtures_of_the_users_own_win(user: User) -> None:
    """A name that somebody has taken already stays theirs."""
    own = "import pytest\n@pytest.fixture\ndef chat_client(): return 'mine'"
    ran = user.run(
        conftest=own, test_mine="def test_mine(chat_client): assert chat_client == 'mine'"
    )
    assert ran.status == 0, ran.output


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "sqlalchemy", "platformdirs"])
@pytest.mark.parametrize("fixture", ["chat_server", "chat_client", "start_chat_server"])
def test_without_the_server_extra(user: User, fixture: str, missing: str) -> None:
    """The test does not pass, nor is it skipped: it says what to install, in one line."""
    ran = user.run(
        "-q",
        conftest=f"import sys; sys.modules['{missing}'] = None",
        test_mine=f"""
            from chatserver_sdk.testing import ScriptedAgent, WireServer
            def test_mine({fixture}): pass
        """,
    )
    sentence = f"a chat server in a test needs {missing}: pip install 'chatserver-sdk[server]'"
    assert ran.status == 1 and sentence in ran.output
    assert "1 error" in ran.output and "Traceback" not in ran.output


def test_a_mistake_of_our_own_is_no_missing_extra(user: User) -> None:
    """Where a module of the package itself is missing, no installing helps."""
    ran = user.run(
        conftest="import sys; sys.modules['chatserver_sdk.server'] = None",
        test_mine="def test_mine(chat_server): pass",
    )
    assert ran.status == 1 and "ModuleNotFoundError: import of chatserver_sdk.server" in ran.output
    assert "pip install" not in ran.output
