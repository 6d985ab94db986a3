"""Cursors: where a list was left, as opaque text that only the same list takes back. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidRequest

# A cursor of ours is much shorter.
_LONGEST = 512
# In microseconds since 1970 this is the year 9999.
_LARGEST = 253_370_764_800 * 10**6


def encode_cursor(name: str, filters: Mapping[str, Any], key: list[Any]) -> str:
    """The cursor behind the entry with this key, in the list of this name, filtered like this."""
    content = json.dumps([_mark(name, filters), *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode()


def decode_cursor(
    name: str, filters: Mapping[str, Any], text: str, kinds: tuple[type[Any], ...]
) -> list[Any] | None:
    """The key in a cursor, of values of these types; None for the empty one, where lists begin.

    Raises InvalidRequest for what is no cursor of this list.
    """
    if not text:
        return None
    try:
        mark, *key = _content(text)
    except (ValueError, TypeError, RecursionError):
        raise _refused() from None
    if mark != _mark(name, filters) or [type(value) for value in key] != list(kinds):
        raise _refused()
    if not all(map(_is_storable, key)):
        raise _refused()
    return list(key)


def _is_storable(value: Any) -> bool:
    """Whether a database takes it, and it can be a time in microseconds, a number or an id."""
    if isinstance(value, int):
        return 0 <= value < _LARGEST
    return isinstance(value, str) and value.isascii() and len(value) <= 64


def _content(text: str) -> Any:
    if len(text) > _LONGEST:
        raise ValueError("too long")
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))


def _mark(name: str, filters: Mapping[str, Any]) -> str:
    """What tells a list from others; nothing can be read from it."""
    described = json.dumps([name, filters], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()[:12]


def _refused() -> InvalidRequest:
    return InvalidRequest(
        "cursor must be empty, or the next_cursor of this list with the same filters",
        "invalid_cursor",
        "cursor",
    )
