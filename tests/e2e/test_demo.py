"""`chatserver demo` shows everything, and is gone afterwards."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from chatserver_process import ChatserverProcess, clean_environment

PARTS = {
    "the models": ["list_models()", "echo", "eliza"],
    "a completion": ["Men are all alike.", "IN WHAT WAY", "tokens read"],
    "a streamed text": ["These words come back one at a time, each the moment it is said."],
    "the fingerprint": ["fingerprint ", "session_id=first.system_fingerprint", "recorded under"],
    "the history": ["get_session(", "YOUR BOYFRIEND MADE YOU COME HERE", "assistant"],
    "statistics": ["get_platform_stats()", "requests today", "healthy"],
    "the audit log": ["get_audit_log()", "admin.added", "admin.removed", "grace@example.com"],
}


def left_in(home: Path) -> set[str]:
    """What is below a home directory, beside the folders that were there before."""
    return {str(path.relative_to(home)) for path in home.rglob("*")} - {"data", "tmp"}


def test_demo_through_a_pipe(tmp_path: Path) -> None:
    """Each part is shown, in plain text, and no file is left behind."""
    with ChatserverProcess("demo", environment=clean_environment(tmp_path)) as demo:
        assert demo.wait() == 0, demo.errors
        assert demo.errors == ""
        for part, texts in PARTS.items():
            assert [text for text in texts if text not in demo.output] == [], part
        assert "\x1b" not in demo.output
    assert left_in(tmp_path) == set()


def test_demo_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal it is drawn in colours."""
    with ChatserverProcess("demo", environment=clean_environment(tmp_path), terminal=True) as demo:
        assert demo.wait() == 0, demo.errors
        assert demo.errors == ""
        assert "\x1b[" in demo.output
        assert "All of it works." in demo.output
    assert left_in(tmp_path) == set()


# Each is printed behind a call, and well before the next: an interrupt while a connection is
# being made would leave its socket to the collector, which is a warning, and an error here.
@pytest.mark.parametrize("text", ["what it does", "These words"])
def test_demo_that_is_interrupted(tmp_path: Path, text: str) -> None:
    """Ctrl-C ends it wherever it is, with a word and the status that says so."""
    with ChatserverProcess("demo", environment=clean_environment(tmp_path)) as demo:
        demo.wait_for(text)
        assert demo.end(signal.SIGINT) == 130
        assert demo.errors == ""
        assert demo.output.endswith("stopped\n")
    assert left_in(tmp_path) == set()


def test_demo_into_a_pipe_that_closes(tmp_path: Path) -> None:
    """A reader that goes away, as `head` does, is no reason for a traceback."""
    with ChatserverProcess("demo", environment=clean_environment(tmp_path)) as demo:
        demo.wait_for("chatserver demo")
        demo.hang_up()
        assert demo.wait() != 0
        assert "Traceback" not in demo.errors
    assert left_in(tmp_path) == set()
