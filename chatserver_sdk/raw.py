"""RawResponse: what came over the wire, for whoever needs more than a model or an exception says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RawResponse"]


# The first version that does what `is_able` says.
_ABLE = (0, 2)


def says_ours(headers: Mapping[str, str]) -> bool:
    """Whether these are the headers of a chat server of ours."""
    return "X-Chatserver" in headers


def is_able(headers: Mapping[str, str]) -> bool:
    """Whether they are those of one that honours idempotency keys, lets streams be taken up again
    and pages by cursors; older ones are asked as others are."""
    version = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?", headers.get("X-Chatserver", ""))
    return version is not None and (int(version[1]), int(version[2] or 0)) >= _ABLE


@dataclass(frozen=True)
class RawResponse:
    """A server's answer, without the request: the request holds the key.

    headers: found whatever the case of a name. content: the body, decompressed (empty for a
    stream, whose body is read as it arrives). request_id: what to give to whoever runs the
    server: its own id for the request, or the one that was sent with it.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    request_id: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether a chat server of ours gave it; others are asked in other ways."""
        return says_ours(self.headers)

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body's JSON value. Raises ValueError where it is none."""
        return json.loads(self.content)
