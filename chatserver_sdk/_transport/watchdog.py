"""One thread that ends reads whose time has run out.

A socket's own time-out starts anew with every byte, so that a server which only sends signs of
life would hold its reader for ever; and a thread a stream would cost more than the stream.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
import weakref
from typing import Protocol

_log = logging.getLogger("chatserver_sdk")

# Deadlines may move; the thread looks at them this often. What is due sooner wakes it.
TICK = 1.0
_LINGER = 30.0


class Watched(Protocol):
    """Something that has a deadline."""

    def due(self) -> float:
        """When time runs out, by time.monotonic(); inf for never (any more)."""

    def expire(self) -> None:
        """Called once that time has come."""


class Watchdog:
    """Watches what somebody holds; its thread ends when there is nothing to watch for a while."""

    def __init__(self, linger: float = _LINGER) -> None:
        self._linger = linger
        self.reset()

    def reset(self) -> None:
        """Begin anew: a forked child has the lock as it was, and not the thread."""
        self._condition = threading.Condition()
        self._watched: weakref.WeakSet[Watched] = weakref.WeakSet()
        self.thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def watch(self, watched: Watched) -> None:
        """Have it expired when it is due."""
        with self._condition:
            self._watched.add(watched)
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._wakes_at = 0.0
                self.thread.start()
            elif watched.due() < self._wakes_at:
                self._condition.notify()

    def _run(self) -> None:
        stops_at = time.monotonic() + self._linger
        while True:
            with self._condition:
                now = time.monotonic()
                due = min((watched.due() for watched in self._watched), default=math.inf)
                if due < math.inf:
                    stops_at = now + self._linger
                elif now >= stops_at:
                    self.thread = None
                    return
                self._wakes_at = min(due, now + TICK)
                if due > now:
                    self._condition.wait(self._wakes_at - now)
            self._expire_late()

    def _expire_late(self) -> None:
        # In a frame of its own: while the thread waits it must hold none of what it watches.
        now = time.monotonic()
        with self._condition:
            late = [watched for watched in self._watched if watched.due() <= now]
        for watched in late:
            try:
                watched.expire()
            except Exception:
                # One that cannot be ended must not keep the others from it.
                _log.exception("a deadline has passed, and its connection could not be ended")


watchdog = Watchdog()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=watchdog.reset)
