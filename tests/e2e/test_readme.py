"""The README is true: its Python runs, and the commands that it names exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from chatserver_process import BOUND, COMMAND, dev_server
from markdown import read_blocks
from snippets import Snippet, complaint_about, run_snippet, snippets_of

README = Path(__file__).parents[2] / "README.md"

_SCRIPTS = sysconfig.get_path("scripts")
_SHELL_WORDS = {"cd", "export", "source", "."}


def python_snippets() -> list[Snippet]:
    return snippets_of(read_blocks(README.read_text("utf-8"), "python"))


def promised_tests() -> list[str]:
    """The tests that the README says hold a promise."""
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", README.read_text("utf-8"))))


def commands() -> list[tuple[str, ...]]:
    """The words of each command in the bash blocks, whatever it is chained to."""
    blocks = read_blocks(README.read_text("utf-8"), "bash", "sh", "shell", "console")
    return sorted({command for block in blocks for command in _commands_in(block.text)})


def _commands_in(script: str) -> Iterator[tuple[str, ...]]:
    script = re.sub(r"(?m)^\$ |(^|\s)#.*$", "", script).replace("\\\n", " ")
    lexer = shlex.shlex(script, posix=True, punctuation_chars="&|;\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    for is_between, words in groupby(lexer, key=lambda word: set(word) <= set("&|;\n")):
        command = tuple(word for word in words if not re.match(r"[A-Z_]+=", word))
        if command and not is_between:
            yield command


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """The server that the README tells its reader to start."""
    with dev_server() as url:
        yield url


def test_there_is_code_to_run() -> None:
    """A README without code blocks would pass everything below."""
    assert python_snippets()
    assert commands()
    assert len(promised_tests()) > 10


@pytest.mark.parametrize(
    "snippet", [pytest.param(each, id=f"line {each.line}") for each in python_snippets()]
)
def test_python_block_runs(snippet: Snippet, server_url: str) -> None:
    """Each block runs in a fresh interpreter, without a warning, and what it prints is there."""
    assert complaint_about(snippet, run_snippet(snippet, server_url)) is None


@pytest.mark.parametrize("promised", promised_tests())
def test_each_promise_has_its_test(promised: str) -> None:
    """A test that was renamed holds no promise."""
    path, _, name = promised.partition("::")
    code = (README.parent / path).read_text("utf-8")
    assert f"def {name or 'test_'}" in code


@pytest.mark.parametrize(("wanted", "complains"), [("hello", False), ("goodbye", True)])
def test_a_block_of_tests_is_run_by_pytest(wanted: str, complains: bool) -> None:
    """Tests that were only defined would pass whatever they say."""
    asks = 'chat_client.create_completion("echo", "hello").choices[0].message.content'
    code = f"import chatserver_sdk\ndef test_it(chat_client):\n    assert {asks} == {wanted!r}\n"
    snippet = Snippet(1, code)
    assert bool(complaint_about(snippet, run_snippet(snippet, "http://127.0.0.1:9"))) == complains


@pytest.mark.parametrize("command", [pytest.param(each, id=" ".join(each)) for each in commands()])
def test_command_exists(command: tuple[str, ...]) -> None:
    """A chatserver command takes the options that stand there; the others can be found."""
    name = command[0].rpartition("/")[2]
    if name == "chatserver":
        helped = subprocess.run(
            [COMMAND, *command[1:], "--help"], capture_output=True, text=True, timeout=BOUND
        )
        assert helped.returncode == 0, helped.stderr
        assert helped.stdout.startswith(f"Usage: {' '.join(['chatserver', *command[1:2]])}")
    else:
        assert name in _SHELL_WORDS or shutil.which(name, path=_SCRIPTS) or shutil.which(name)
