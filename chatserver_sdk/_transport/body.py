"""ByteBody: an answer's bytes as they arrive, within their time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Literal

import requests
import urllib3

from chatserver_sdk.exceptions import APIConnectionError, APITimeoutError, TransportError

from .timeouts import Timeout
from .watchdog import watchdog

_READ_SIZE = 65536


class ByteBody:
    """The body of an answer that is still arriving. begun_at: when its call was."""

    def __init__(
        self, response: requests.Response, timeout: Timeout, url: str, begun_at: float
    ) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._timeout = timeout
        self._url = url
        self._last_event = time.monotonic()
        self._total_due = math.inf if timeout.total is None else begun_at + timeout.total
        self._drain_due = math.inf
        self._expired: Literal["idle", "total"] | None = None
        self._is_over = False
        watchdog.watch(self)

    def iter_bytes(self) -> Iterator[bytes]:
        """The bytes, the moment they arrive. Raises TransportError when they are cut, or late."""
        # iter_content() fills its buffer first, which holds tokens back on bodies that are not
        # chunked; read1() returns what one recv() gave.
        read1 = self._response.raw.read1
        try:
            while chunk := read1(_READ_SIZE, decode_content=True):
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as exc:
            # The last two: another thread closed the file underneath. The socket's own time-out
            # and the watchdog may both be first.
            timed_out = isinstance(exc, urllib3.exceptions.ReadTimeoutError)
            late = "idle" if timed_out else self._expired
            if late is not None:
                raise self._late(late) from exc
            raise APIConnectionError(f"the connection to {self._url} broke off") from exc
        if self._expired is not None:
            raise self._late(self._expired)

    def check_total(self) -> None:
        """Raise APITimeoutError where the whole time went by before the first byte."""
        if time.monotonic() >= self._total_due:
            self.close()
            raise self._late("total")

    def note_event(self) -> None:
        """An event has come: the idle time starts anew."""
        self._last_event = time.monotonic()

    def drain_for(self, seconds: float) -> None:
        """Nothing more is needed: the end may take so long (a tick of the watchdog at least)."""
        self._drain_due = time.monotonic() + seconds

    def due(self) -> float:
        """When the watchdog is to end the read."""
        if self._is_over:
            return math.inf
        idle = self._timeout.idle
        idle_due = math.inf if idle is None else self._last_event + idle
        return min(idle_due, self._total_due, self._drain_due)

    def expire(self) -> None:
        """End the read; the watchdog says that it is time."""
        self._is_over = True
        if self._drain_due == math.inf:
            self._expired = "total" if self._total_due <= time.monotonic() else "idle"
        self.shut()

    def shut(self) -> None:
        """End a read that another thread is waiting in, at once."""
        try:
            self._response.raw.shutdown()
        except (OSError, ValueError, RuntimeError, TypeError):
            # Closed already or at this moment, or back in the pool: there is no read to end.
            return

    def close(self) -> None:
        """Give the connection back; safe to call twice."""
        self._is_over = True
        self._response.close()

    def _late(self, kind: Literal["idle", "total"]) -> TransportError:
        if kind == "idle":
            message = f"the stream from {self._url} was silent for {self._timeout.idle:g} s"
        else:
            message = f"the answer of {self._url} took longer than {self._timeout.total:g} s"
        return APITimeoutError(message, kind=kind)
