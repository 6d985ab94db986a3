"""`chatserver` itself: its ways in, and what it says where something is not installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import chatserver_sdk
from chatserver_process import BOUND, COMMAND, clean_environment
from snippets import Ran, run_python

# An interpreter in which one module cannot be found, whatever is installed.
WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from chatserver_sdk.cli import main
main()
"""


def run_without(module: str, *arguments: str) -> Ran:
    return run_python("-c", WITHOUT, module, *arguments, environment=os.environ)


def test_version() -> None:
    """Both ways in are the same command."""
    ran = run_python("-m", "chatserver_sdk.cli", "--version", environment=os.environ)
    script = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, timeout=BOUND)
    assert ran.output == script.stdout == f"chatserver, version {chatserver_sdk.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], ["demo", "serve"]), (["serve"], ["--dev", "--alias NAME=AGENT"]), (["demo"], ["client"])],
)
def test_help(arguments: list[str], words: list[str]) -> None:
    """Help names what there is, with -h as well."""
    for option in ("--help", "-h"):
        command = [COMMAND, *arguments, option]
        helped = subprocess.run(command, capture_output=True, text=True, timeout=BOUND)
        assert (helped.returncode, helped.stderr) == (0, "")
        assert [word for word in words if word not in helped.stdout] == []


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("click", ["--help"]),
        ("rich", ["demo"]),
        ("uvicorn", ["serve", "--db", ":memory:"]),
        ("sqlalchemy", ["serve", "--db", ":memory:"]),
    ],
)
def test_what_is_not_installed(module: str, arguments: list[str]) -> None:
    """A missing extra is named with the command that installs it."""
    ran = run_without(module, *arguments)
    assert ran.status == 1
    assert ran.errors == f"chatserver needs {module}: pip install 'chatserver-sdk[all]'\n"


def test_a_part_of_ours_that_is_missing() -> None:
    """A module of this package that cannot be found is a defect, and no missing extra."""
    ran = run_without("chatserver_sdk.cli.commands")
    assert ran.status == 1
    assert "ModuleNotFoundError" in ran.errors


def test_help_needs_no_home(tmp_path: Path) -> None:
    """Asking for help leaves nothing behind."""
    environment = clean_environment(tmp_path)
    subprocess.run([COMMAND, "serve", "--help"], env=environment, stdout=subprocess.DEVNULL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
