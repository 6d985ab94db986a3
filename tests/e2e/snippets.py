"""Running the Python blocks of a document, each in an interpreter of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chatserver_process import BOUND
from markdown import Block

# Where the documents' code expects the server.
DOCUMENTED_URL = "http://localhost:3284"

# Our plugin and no other, whatever is installed: as where the package is.
_PYTEST = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "chatserver_sdk.testing.pytest_plugin",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
}


@dataclass(frozen=True)
class Snippet:
    """A block as it is run: the line it stands on, and its code."""

    line: int
    code: str


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it said."""

    status: int
    output: str
    errors: str


def snippets_of(blocks: Sequence[Block]) -> list[Snippet]:
    """The blocks as programs: one without imports of its own has those of the first block."""
    imports = _imports(blocks[0].text) if blocks else ""
    return [
        Snippet(block.line, block.text if _imports(block.text) else f"{imports}\n{block.text}")
        for block in blocks
    ]


def run_snippet(snippet: Snippet, url: str, folder: Path | None = None) -> Ran:
    """Run it against the server at `url`; one that defines tests is run by pytest.

    folder: where it runs.
    """
    code = snippet.code.replace(DOCUMENTED_URL, url)
    if "\ndef test_" not in code:
        return run_python("-c", code, environment=environment_for(url), folder=folder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "test_snippet.py")
        path.write_text(code, "utf-8")
        command = ["-m", "pytest", f"--rootdir={folder}", "-W", "error", str(path)]
        return run_python(*command, environment=environment_for(url))


def complaint_about(snippet: Snippet, ran: Ran) -> str | None:
    """What is wrong with how it went; None if nothing is."""
    if ran.status != 0:
        return f"exit status {ran.status}\n{ran.output}{ran.errors}"
    if ran.errors:
        return f"it complained\n{ran.errors}"
    if "print(" in snippet.code and not ran.output.strip():
        return "it prints, and nothing came out"
    return None


def environment_for(url: str) -> dict[str, str]:
    """An environment that leads a client to the server at `url`, and brings no key along."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CHATSERVER_")}
    return {**kept, **_PYTEST, "CHATSERVER_BASE_URL": url}


def run_python(*arguments: str, environment: Mapping[str, str], folder: Path | None = None) -> Ran:
    """Run a fresh interpreter in which every warning is an error."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def _imports(code: str) -> str:
    nodes = [
        node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    return "\n".join(ast.unparse(node) for node in nodes)
