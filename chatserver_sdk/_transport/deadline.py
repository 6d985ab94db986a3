"""Deadline: ends an attempt whose whole time is over, wherever it waits."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .watchdog import watchdog

if TYPE_CHECKING:
    from .connections import Attempt


# Closed already or at this moment, or back in the pool: there is no read to end.
_GONE = (OSError, ValueError, RuntimeError, TypeError, AttributeError)


def shut(raw: Any) -> None:
    """End a read of this urllib3 response that another thread is waiting in, at once."""
    with suppress(*_GONE):
        raw.shutdown()
        return
    with suppress(*_GONE):
        # urllib3 cannot end TLS within TLS, as through a proxy of https; the socket below can.
        socket.socket.shutdown(raw._fp.fp.raw._sock.socket, socket.SHUT_RD)


# Bytes a second: as much as a body must bring on average, behind the time that it has anyway.
_SLOWEST = 1000


class Deadline:
    """A `with` block that is cut short when its time is over.

    due: by time.monotonic(). answer_due: the same until the answer begins, whose headers may drip
    in without ever letting a read run out of time.
    """

    def __init__(self, due: float, attempt: Attempt, answer_due: float = math.inf) -> None:
        self.has_passed = False
        self._due = min(due, answer_due)
        self._due_later = due
        self._attempt = attempt
        self._response: Any = None
        self._body_due = math.inf
        self._is_over = False
        self._lock = threading.Lock()

    def note_response(self, response: Any, body_limit: float = math.inf) -> None:
        """From here on, what is waited for is this answer's body, which may drip in as well."""
        self._response = response
        self._body_due = time.monotonic() + body_limit
        was_watched = self._due < math.inf
        self.note_progress(0)
        if self._due < math.inf and not was_watched:
            watchdog.watch(self)

    def note_progress(self, size: int) -> None:
        """So many bytes of the body have come: a big one has more time."""
        self._due = min(self._due_later, self._body_due + size / _SLOWEST)

    @property
    def is_answered(self) -> bool:
        """Whether an answer has begun."""
        return self._response is not None

    def due(self) -> float:
        """When the watchdog is to look after it."""
        return math.inf if self._is_over else self._due

    def expire(self) -> None:
        """End the wait; the watchdog says that it is time."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = self.has_passed = True
            self._attempt.shut()
            if self._response is not None:
                shut(self._response.raw)

    def __enter__(self) -> Deadline:
        if self._due < math.inf:
            watchdog.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_over = True
            self.has_passed = self.has_passed or time.monotonic() >= self._due


class Interrupt:
    """Ends what another thread's call waits for: set() before or while it waits."""

    def __init__(self) -> None:
        self.is_set = False
        self._attempt: Attempt | None = None
        # A signal's handler may close a stream in the middle of its own thread's work here.
        self._lock = threading.RLock()

    def watch(self, attempt: Attempt) -> None:
        """The attempt that is to be ended."""
        with self._lock:
            self._attempt = attempt
            if self.is_set:
                attempt.shut()

    def forget(self) -> None:
        """It has ended by itself; its connection may be another call's by now."""
        with self._lock:
            self._attempt = None

    def set(self) -> None:
        """End it, and what comes after it."""
        with self._lock:
            self.is_set = True
            if self._attempt is not None:
                self._attempt.shut()
