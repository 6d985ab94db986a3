"""How records become lines, whatever is in them."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from chatserver_sdk.server.logs import JsonLines, TextLines


def record(message: str, *args: object, **options: Any) -> logging.LogRecord:
    """A record of a logger of ours."""
    return logging.LogRecord("a.b", logging.ERROR, "file", 1, message, args, **options)


def failure() -> Any:
    """What a record knows of an exception."""
    try:
        raise ValueError("two\nlines")
    except ValueError:
        return sys.exc_info()


@pytest.mark.parametrize("text", ["x\ny", "x\r\ny", 'quo"te', "\x00", "ü ☂", "x" * 10_000])
def test_one_line_each(text: str) -> None:
    """No text can make a second line, or break an object."""
    made = record("%s", text, exc_info=None)
    line = JsonLines().format(made)
    assert "\n" not in line and json.loads(line)["message"] == text
    assert "\n" not in TextLines().format(made) and "\r" not in TextLines().format(made)


def test_tracebacks() -> None:
    """Inside the object, or behind the line."""
    made = record("it failed", exc_info=failure())
    assert "ValueError: two\nlines" in json.loads(JsonLines().format(made))["exception"]
    first, *others = TextLines().format(made).splitlines()
    assert first.endswith("ERROR   a.b: it failed")
    assert others[0].startswith("Traceback") and others[-1] == "lines"
