"""Every example runs as it stands, as often as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatserver_sdk.testing import running_server
from snippets import environment_for, run_python

EXAMPLES = Path(__file__).parents[2] / "examples"

SAYS = {
    "admin_and_audit.py": ["2 administrator(s): dev@localhost, grace@example.com", "admin.removed"],
    "basic_chat.py": ["models: echo, eliza", "eliza: CAN YOU THINK OF A SPECIFIC EXAMPLE"],
    "conversation.py": ["the whole dialogue:", "     user: Perhaps she is right."],
    "error_handling.py": [
        "field 'messages'",
        "field 'temperature'",
        "'model_not_found'",
        "status 401",
        "could not be reached",
    ],
    "message_formats.py": ["a text: 'Hello!'", r"a content in parts: 'Hello,\nyou two!'"],
    "operating/look_after.py": [
        "ready: yes",
        "audit log: as it was written",
        "exported: # A trip to Ulm",
        "figure: chatserver_turns_running 0.0",
    ],
    "resume_session.py": ["fingerprint: ", "0      user: I am writing a play.", "3 assistant: "],
    "session_chat.py": [
        "file: notes.txt 10 bytes",
        "  finished: stop",
        "stopped: True",
        "who joins reads: One",
        "it ended as: cancelled",
        "status: archived",
    ],
    "streaming.py": ["each the moment it is said.", "finish reason: stop", "one: These"],
    "structured_output.py": [
        "'The login page is down', urgent: True, labels: ['web', 'login']",
        "the answer does not fit Ticket: ",
        "the answer is not JSON",
        "the model said: I would rather not.",
    ],
    "testing_your_app.py": ["test_the_quota_is_used_up PASSED", "3 passed"],
}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """A development server, as the examples ask for."""
    with running_server(dev=True) as server:
        yield server.base_url


def test_every_example_is_run() -> None:
    """No example is forgotten here."""
    found = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    assert found == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_runs_twice(name: str, server_url: str) -> None:
    """It says what it is about, without a warning, and leaves nothing in its own way."""
    for _ in range(2):
        ran = run_python(str(EXAMPLES / name), environment=environment_for(server_url))
        assert (ran.status, ran.errors) == (0, "")
        for text in SAYS[name]:
            assert text in ran.output


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_tells_how_to_run_it(name: str) -> None:
    """Its docstring names the command that starts it."""
    assert f"python examples/{name}" in (EXAMPLES / name).read_text("utf-8").split('"""')[1]
