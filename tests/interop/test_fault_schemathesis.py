"""The server asked by schemathesis, which makes requests up from the OpenAPI document.

No answer is a failure of the server's, and each has a status, a type and a body that the document
says may come.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from chatserver_sdk.testing import RunningServer, running_server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
# What it may take at all; nothing is measured.
PATIENCE = 3600


def check(python: Path, server: RunningServer, home: Path, *options: str) -> str:
    """What schemathesis reports, once it has found nothing."""
    command = [str(python.with_name("schemathesis")), "run", f"{server.base_url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {server.api_key}", "--no-color"]
    command += ["--checks", ",".join(CHECKS), "--request-timeout", "60", *options]
    kept = {"PATH": os.environ["PATH"], "HOME": str(home)}
    # In a folder of its own: it leaves a database of examples behind.
    done = subprocess.run(
        command, cwd=home, env=kept, capture_output=True, text=True, timeout=PATIENCE
    )
    report = done.stdout + done.stderr
    assert done.returncode == 0, report.replace(server.api_key, "KEY")[-20_000:]
    return report


@pytest.mark.parametrize("mode", ["file", "memory"])
def test_what_the_document_allows(schemathesis_python: Path, tmp_path: Path, mode: str) -> None:
    """A few made-up requests for each route, good ones and bad ones, and chains of them."""
    db = str(tmp_path / "chat.db") if mode == "file" else ":memory:"
    with running_server(db=db) as server:
        report = check(schemathesis_python, server, tmp_path, "--max-examples", "5", "--seed", "7")
    # All routes were there, and hundreds of requests to them.
    assert re.search(r"Selected: (\d+)/\1\n +Tested: \1\n", report)
    assert int(re.findall(r"(\d+) passed", report)[-1]) > 500


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
def test_what_the_document_allows_at_length(
    schemathesis_python: Path, tmp_path: Path, seed: int
) -> None:
    """Many more, each time others."""
    options = ("--max-examples", "200", "--seed", str(seed), "--continue-on-failure")
    with running_server(db=str(tmp_path / "chat.db")) as server:
        check(schemathesis_python, server, tmp_path, *options)
