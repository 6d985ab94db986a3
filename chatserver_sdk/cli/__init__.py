"""The `chatserver` command. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys


def main() -> None:
    """What the console script runs."""
    try:
        from .commands import chatserver
    except ModuleNotFoundError as exc:
        sys.exit(_missing(exc))
    chatserver(prog_name="chatserver")


def _missing(exc: ModuleNotFoundError) -> str:
    if exc.name is None or exc.name.startswith("chatserver_sdk"):
        raise exc
    return f"chatserver needs {exc.name}: pip install 'chatserver-sdk[all]'"
