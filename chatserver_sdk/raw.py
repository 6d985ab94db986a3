"""RawResponse: what came over the wire, for whoever needs more than a model or an exception says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RawResponse"]


def says_ours(headers: Mapping[str, str]) -> bool:
    """Whether these are the headers of a chat server of ours."""
    return "X-Chatserver" in headers


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
