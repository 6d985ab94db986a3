"""The README and the guides are true: their Python and their commands run, what they name exists."""

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

from chatserver_process import BOUND, COMMAND, ChatserverProcess, clean_environment, dev_server
from chatserver_sdk import __version__
from markdown import Block, read_blocks
from snippets import Snippet, complaint_about, run_snippet, snippets_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "examples").rglob("README.md"))]

# The certificate that documents call server.pem.
_CERTIFICATE = ROOT / "tests" / "client" / "certificates" / "server.pem"
_SCRIPTS = sysconfig.get_path("scripts")
_SHELL_WORDS = {"cd", "export", "source", "."}
# What a document does with a store; the rest installs, serves, or takes long.
_ON_A_STORE = ("keys", "audit", "db")


def python_snippets() -> Iterator[tuple[Path, Snippet]]:
    for document in DOCUMENTS:
        for snippet in snippets_of(read_blocks(document.read_text("utf-8"), "python")):
            yield document, snippet


def shell_blocks(document: Path) -> list[Block]:
    return read_blocks(document.read_text("utf-8"), "bash", "sh", "shell", "console")


def promised_tests() -> list[str]:
    """The tests that the README says hold a promise."""
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", README.read_text("utf-8"))))


def commands() -> list[tuple[str, ...]]:
    """The words of each command in the bash blocks, whatever it is chained to."""
    blocks = [block for document in DOCUMENTS for block in shell_blocks(document)]
    return sorted({command for block in blocks for command in _commands_in(block.text)})


def served() -> list[tuple[str, ...]]:
    """What follows `chatserver serve`, wherever documents say so."""
    return [command[2:] for command in commands() if command[:2] == ("chatserver", "serve")]


def is_on_a_store(block: Block) -> bool:
    """Whether all that a block does is done to a store."""
    words = [command[:2] for command in _commands_in(block.text)]
    return all(word[0] == "chatserver" and word[1] in _ON_A_STORE for word in words)


def _commands_in(script: str) -> Iterator[tuple[str, ...]]:
    script = re.sub(r"(?m)^\$ |(^|\s)#.*$", "", script).replace("\\\n", " ")
    lexer = shlex.shlex(script, posix=True, punctuation_chars="&|;\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    for is_between, words in groupby(lexer, key=lambda word: set(word) <= set("&|;\n")):
        command = tuple(word for word in words if not re.match(r"[A-Z_]+=", word))
        if command and not is_between:
            yield command


def _named(document: Path, line: int) -> str:
    return f"{document.relative_to(ROOT)} line {line}"


def _links(document: Path) -> Iterator[tuple[str, str]]:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            yield path, anchor


def _anchors(document: Path) -> set[str]:
    """What its headings are called in links."""
    lines = re.findall(r"(?m)^#+ (.+)$", document.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """The server that the README tells its reader to start."""
    with dev_server() as url:
        yield url


def test_there_is_code_to_run() -> None:
    """Documents without code blocks would pass everything below."""
    assert len(DOCUMENTS) > 1 and {document for document, _ in python_snippets()} == set(DOCUMENTS)
    assert all(any(map(is_on_a_store, shell_blocks(document))) for document in DOCUMENTS)
    assert commands() and len(served()) > 3
    assert len(promised_tests()) > 20


@pytest.mark.parametrize(
    ("document", "snippet"),
    [pytest.param(*each, id=_named(each[0], each[1].line)) for each in python_snippets()],
)
def test_python_block_runs(
    document: Path, snippet: Snippet, server_url: str, tmp_path: Path
) -> None:
    """Each block runs in a fresh interpreter, without a warning, and what it prints is there."""
    assert complaint_about(snippet, run_snippet(snippet, server_url, tmp_path)) is None


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_shell_blocks_on_a_store_run(document: Path, tmp_path: Path) -> None:
    """One after the other, as a reader does, on a throw-away store; nothing complains."""
    environment = clean_environment(tmp_path / "home")
    environment["PATH"] = f"{_SCRIPTS}:{environment['PATH']}"
    create = ["chatserver", "keys", "create", "--name", "root", "--role", "admin"]
    for store in ([], ["--db", "chat.db"]):
        subprocess.run(
            [*create, *store],
            env=environment,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=BOUND,
        )
    for block in filter(is_on_a_store, shell_blocks(document)):
        ran = subprocess.run(
            ["bash", "-eu", "-c", block.text],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=BOUND,
        )
        assert ran.returncode == 0, f"{_named(document, block.line)}\n{ran.stderr}"
        assert ran.stdout and "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", served(), ids=" ".join)
def test_each_server_starts(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What documents start answers, and ends when it is told to."""
    shutil.copy(_CERTIFICATE, tmp_path / "server.pem")
    environment = clean_environment(tmp_path / "home")
    with ChatserverProcess(
        "serve", *arguments, "--port", "0", environment=environment, folder=tmp_path
    ) as server:
        assert server.wait_until_ready().startswith(
            "https" if "--tls-cert" in arguments else "http:"
        )
        assert server.end() == 0, server.errors


@pytest.mark.parametrize("promised", promised_tests())
def test_each_promise_has_its_test(promised: str) -> None:
    """A test that was renamed holds no promise."""
    path, _, name = promised.partition("::")
    code = (README.parent / path).read_text("utf-8")
    assert f"def {name or 'test_'}" in code


def test_the_latest_change_is_this_version() -> None:
    """A version of which nobody is told what it brings is not given out."""
    changes = README.read_text("utf-8").partition("### Changes")[2]
    assert changes.lstrip().startswith(f"**{__version__}** ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """To a file that is there, and to a heading in it."""
    for path, anchor in _links(document):
        target = (document.parent / path) if path else document
        assert target.exists(), path
        assert not anchor or anchor in _anchors(target), anchor


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
