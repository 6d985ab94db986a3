"""Runs every Python block of the SDK's specification, as it stands, against a real server.

    python tests/e2e/spec_blocks.py PATH_TO_chatserver-sdk.md [--port 3284]

One line a block; the exit status is 0 if all of them ran.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chatserver_process import dev_server
from markdown import read_blocks
from snippets import Snippet, complaint_about, run_snippet, snippets_of

# Seven fences, one of which was never closed and holds two pieces.
_FEWEST = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("document", type=Path)
    parser.add_argument("--port", type=int, default=3284, help="the code itself says 3284")
    options = parser.parse_args(arguments)
    snippets = snippets_of(read_blocks(options.document.read_text("utf-8"), "python"))
    if len(snippets) < _FEWEST:
        print(f"{options.document} holds {len(snippets)} Python blocks, fewer than {_FEWEST}")
        return 1
    try:
        with dev_server(options.port) as url:
            # By the name that the code itself uses, and not by the address.
            url = url.replace("127.0.0.1", "localhost")
            failed = sum(not _runs(snippet, url) for snippet in snippets)
    except AssertionError as exc:
        print(f"there was no server to run them against: {exc}")
        return 1
    print(f"{len(snippets) - failed} of {len(snippets)} blocks ran")
    return 1 if failed else 0


def _runs(snippet: Snippet, url: str) -> bool:
    complaint = complaint_about(snippet, run_snippet(snippet, url))
    print(
        f"line {snippet.line}: {'ok' if complaint is None else f'failed: {complaint}'}", flush=True
    )
    return complaint is None


if __name__ == "__main__":
    sys.exit(main())
