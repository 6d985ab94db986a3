"""The script that runs the specification's code finds what does not run."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import spec_blocks

ASKS = "```python\nfrom chatserver_sdk import ChatServerClient\n\nprint('asked')\n```\n"


def test_a_document_whose_blocks_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block is run, named by its line, and counted."""
    document = tmp_path / "document.md"
    document.write_text(ASKS * 8)
    assert spec_blocks.main([str(document), "--port", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "line 2: ok"
    assert lines[-1] == "8 of 8 blocks ran"


def test_a_block_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure is told with what the block said, and is the script's exit status."""
    document = tmp_path / "document.md"
    document.write_text(ASKS * 7 + "```python\nprint(1 / 0)\n```\n")
    assert spec_blocks.main([str(document), "--port", "0"]) == 1
    output = capsys.readouterr().out
    assert "ZeroDivisionError" in output
    assert output.endswith("7 of 8 blocks ran\n")


def test_a_document_with_too_few_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A document of which half has gone missing is no success."""
    document = tmp_path / "document.md"
    document.write_text(ASKS * 7)
    assert spec_blocks.main([str(document), "--port", "0"]) == 1
    assert "holds 7 Python blocks" in capsys.readouterr().out


def test_a_taken_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a server of its own nothing is run: the one that answers may be another's."""
    document = tmp_path / "document.md"
    document.write_text(ASKS * 8)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert spec_blocks.main([str(document), "--port", port]) == 1
    assert "there was no server" in capsys.readouterr().out
