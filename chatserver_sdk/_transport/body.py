"""ByteBody: an answer's bytes as they arrive, within their time."""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import requests

from chatserver_sdk.exceptions import APIConnectionError, APITimeoutError, TransportError
from chatserver_sdk.raw import RawResponse

from .call import Call
from .deadline import shut
from .exchange import raw_of
from .failures import FOREIGN, is_late, out_of_time
from .tracing import Trace
from .watchdog import watchdog

_READ_SIZE = 65536


class ByteBody:
    """The body of an answer that is still arriving."""

    def __init__(self, response: requests.Response, call: Call, trace: Trace) -> None:
        self.raw: RawResponse = raw_of(response, call)
        self.trace = trace
        self._response = response
        self._call = call
        self._idle = call.settings.timeout.idle
        # Only waiting counts as silence: whoever takes long over a word has not lost the server.
        self._waits_since = time.monotonic()
        self._silence = 0.0
        self._drain_due = math.inf
        self._expired: Literal["idle", "total"] | None = None
        self._is_over = False
        self._pid = os.getpid()
        self.watcher: weakref.ref[Any] | None = None
        watchdog.watch(self)

    @property
    def shown_call(self) -> str:
        """The call in the words of the log."""
        return str(self._call)

    @property
    def extra_body(self) -> Mapping[str, Any]:
        """What the caller's options added to the request, or changed in it."""
        return self._call.settings.body

    def iter_bytes(self) -> Iterator[bytes]:
        """The bytes, the moment they arrive. Raises TransportError when they are cut, or late."""
        try:
            while chunk := self._read():
                yield chunk
        except FOREIGN as exc:
            # The socket's own time-out and the watchdog may both be first.
            late = "idle" if is_late(exc) else self._expired
            if late is not None:
                raise self._late(late) from exc
            where = self._call.settings.shown_url
            raise APIConnectionError(
                f"the connection to {where} broke off", request_id=self.raw.request_id
            ) from exc
        if self._expired is not None:
            raise self._late(self._expired)

    def _read(self) -> bytes:
        self._waits_since = begun = time.monotonic()
        # iter_content() fills its buffer first, which holds tokens back on bodies that are not
        # chunked; read1() returns what one recv() gave.
        chunk: bytes = self._response.raw.read1(_READ_SIZE, decode_content=True)
        self._waits_since = math.inf
        self._silence += time.monotonic() - begun
        return chunk

    def note_event(self) -> None:
        """An event has come: the idle time starts anew."""
        self._silence = 0.0

    def drain_for(self, seconds: float) -> None:
        """Nothing more is needed: the end may take so long (a tick of the watchdog at least)."""
        self._drain_due = time.monotonic() + seconds

    def due(self) -> float:
        """When the watchdog is to end the read."""
        if self._is_over:
            return math.inf
        idle_due = (
            math.inf if self._idle is None else self._waits_since + self._idle - self._silence
        )
        return min(idle_due, self._call.due, self._drain_due)

    def expire(self) -> None:
        """End the read; the watchdog says that it is time."""
        self._is_over = True
        if self._drain_due == math.inf:
            self._expired = "total" if self._call.due <= time.monotonic() else "idle"
        self.shut()

    def shut(self) -> None:
        """End a read that another thread is waiting in, at once."""
        # In a forked child the socket is still the parent's, who reads on.
        if os.getpid() == self._pid:  # pragma: no branch - the child is not measured
            shut(self._response.raw)

    def close(self) -> None:
        """Give the connection back; safe to call twice."""
        self._is_over = True
        if os.getpid() == self._pid:  # pragma: no branch - the same
            self._response.close()

    def abandon(self) -> None:
        """Close it, for whoever reads it too: the client is closed."""
        reader = self.watcher() if self.watcher is not None else None
        if reader is not None:
            # It may be waiting for another connection, where only it can be stopped.
            reader.close()
        self.shut()
        self.close()

    def _late(self, kind: Literal["idle", "total"]) -> TransportError:
        # Without a limit for silence it is the whole time's; the socket's clock may be ahead of ours.
        if kind == "total" or self._idle is None or time.monotonic() >= self._call.due:
            return out_of_time(self._call)
        return APITimeoutError(
            f"the stream from {self._call.settings.shown_url} was silent for {self._idle:g} s",
            kind="idle",
            request_id=self.raw.request_id,
        )
