"""The `chatserver` command. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys


def main() -> None:
    """What the console script runs."""
    try:
        from .commands import chatserver

        # A command imports what it needs when it runs.
        chatserver(prog_name="chatserver")
    except ModuleNotFoundError as exc:
        sys.exit(_missing(exc))


def _missing(exc: ModuleNotFoundError) -> str:
    if exc.name is None or exc.name.startswith("chatserver_sdk"):
        raise exc
    return f"chatserver needs {exc.name.partition('.')[0]}: pip install 'chatserver-sdk[all]'"
