"""Call: one logical call, the same over all its retries; and how one attempt at it ended."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from chatserver_sdk.exceptions import BadRequestError, ChatServerError

from .addresses import with_query
from .deadline import Interrupt
from .retries import Ending
from .settings import Settings

if TYPE_CHECKING:
    pass

_KEYED = frozenset({"POST", "PATCH"})
_WITH_BODY = _KEYED | {"PUT"}


class Encoded(NamedTuple):
    """A body that is bytes already, and what they are."""

    content: bytes
    kind: str


@dataclass(frozen=True)
class Call:
    """What is sent, within which limits. due: when its whole time is over, by time.monotonic()."""

    method: str
    path: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    settings: Settings
    is_stream: bool
    begun_at: float = field(default_factory=time.monotonic)
    interrupt: Interrupt | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        is_stream: bool = False,
    ) -> Call:
        """A call with everything that the settings add. Raises BadRequestError."""
        has_body = body is not None or method in _WITH_BODY
        kind = body.kind if isinstance(body, Encoded) else "application/json"
        content = _encode(body, settings.body) if has_body else None
        sent = {
            "Accept": "text/event-stream" if is_stream else "application/json",
            # Minted once: a server that knows the key does the work of all attempts once.
            **({"Idempotency-Key": str(uuid.uuid4())} if method in _KEYED else {}),
            **({"Content-Type": kind} if content is not None else {}),
            "X-Request-Id": uuid.uuid4().hex,
            **(headers or {}),
        }
        return cls(
            method,
            path,
            with_query(settings.wire_url + path, query, settings.query),
            _joined(sent, settings.headers),
            content,
            settings,
            is_stream,
        )

    def __str__(self) -> str:
        # Without the query, which may say who asks.
        return f"{self.method} {self.path.partition('?')[0]} (request id {self.request_id})"

    @property
    def due(self) -> float:
        """When its whole time is over, by time.monotonic()."""
        total = self.settings.timeout.total
        return math.inf if total is None else self.begun_at + total

    @property
    def answer_due(self) -> float:
        """When the answer must have begun, beginning now."""
        connect, patience = self.settings.timeout.connect, self.patience
        if connect is None or patience is None:
            return math.inf
        return time.monotonic() + connect + patience

    @property
    def patience(self) -> float | None:
        """How long an answer may take to begin, and to go on."""
        timeout = self.settings.timeout
        return timeout.idle if self.is_stream else timeout.read

    @property
    def body_limit(self) -> float:
        """Seconds that the body of a whole answer may take."""
        read, idle = self.settings.timeout.read, self.settings.timeout.idle
        return math.inf if read is None else max(read, idle or read)

    @property
    def request_id(self) -> str:
        """What we call it, to the server too."""
        return self.headers["X-Request-Id"]

    @property
    def has_key(self) -> bool:
        """Whether a server that honours such keys does its work only once."""
        return "Idempotency-Key" in self.headers

    def time_left(self, limit: float | None) -> float | None:
        """The limit, or what is left of the whole time if that is less."""
        left = self.due - time.monotonic()
        if limit is None:
            return None if left == math.inf else max(left, 0.001)
        return max(min(limit, left), 0.001)


@dataclass(frozen=True)
class Failure:
    """An attempt that brought no success."""

    error: ChatServerError
    ending: Ending


def _joined(sent: dict[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The caller's own headers win, however they spell the names."""
    names = {name.lower(): name for name in sent}
    for name, value in extra.items():
        sent[names.get(name.lower(), name)] = value
    return sent


def _encode(body: Any, extra: Mapping[str, Any]) -> bytes | None:
    if body is None and not extra:
        return None
    if isinstance(body, Encoded):
        if extra:
            raise BadRequestError("extra_body cannot join a file", param="extra_body")
        return body.content
    try:
        plain = {} if body is None else body.to_dict() if hasattr(body, "to_dict") else body
        if extra and not isinstance(plain, Mapping):
            raise BadRequestError("extra_body can only join an object", param="extra_body")
        whole = {**plain, **extra} if isinstance(plain, Mapping) else plain
        return json.dumps(whole, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadRequestError(f"the request cannot be written as JSON: {exc}") from exc
