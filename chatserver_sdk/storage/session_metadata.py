"""How much a session's metadata may hold: every list and every look at the session carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import Refused

LONGEST = 64 * 1024


class MetadataTooLong(Refused):
    """A session's metadata would be longer than it may be."""

    def __init__(self) -> None:
        super().__init__(f"a session's metadata must not be longer than {LONGEST} bytes as JSON")


def check_length(metadata: Mapping[str, Any]) -> None:
    """Raises MetadataTooLong, and ValueError or RecursionError for what JSON cannot write."""
    written = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if len(written) > LONGEST or len(written.encode()) > LONGEST:
        raise MetadataTooLong()
