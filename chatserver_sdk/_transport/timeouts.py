"""Timeout: how long to wait for what."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from chatserver_sdk.exceptions import ConfigurationError

_LONGEST_CONNECT = 10.0
_DEFAULT_STREAM_IDLE = 300.0
# A socket's time-out counts milliseconds in a C int: 24 days. "For ever" is None.
_LONGEST = 2_000_000.0


class _DefaultSeconds(int):
    """A number that remembers that nobody chose it."""


DEFAULT_TIMEOUT: int = _DefaultSeconds(30)


@dataclass(frozen=True)
class Timeout:
    """Seconds to wait; None is for ever.

    connect: for a connection. read: for an answer to begin, and between two of its bytes. idle: the
    same of a stream, for its beginning and between two of its events; signs of life do not count,
    nor does what the reader does meanwhile. A whole answer that drips in has the longer of the two
    for all of it, and a second more a kilobyte. total: for a call over all its retries, of a stream
    to its last event. (On a session of the caller's own, headers that drip in are bounded byte by
    byte.)

    Raises ConfigurationError for what is no positive number.
    """

    connect: float | None = _LONGEST_CONNECT
    read: float | None = float(DEFAULT_TIMEOUT)
    idle: float | None = _DEFAULT_STREAM_IDLE
    total: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            # Frozen for its users; here it is still being made.
            object.__setattr__(self, field.name, _seconds(getattr(self, field.name), field.name))

    @classmethod
    def of(cls, timeout: float | Timeout | None) -> Timeout:
        """The limits that one number stands for; a stream's idle time is longer by default."""
        if timeout is None:
            return cls(None, None, None)
        if isinstance(timeout, Timeout):
            return timeout
        seconds = _seconds(timeout, "timeout") or 0.0
        # Between two events of an answer minutes can pass while tools run.
        chosen = not isinstance(timeout, _DefaultSeconds)
        return cls(
            min(seconds, _LONGEST_CONNECT), seconds, seconds if chosen else _DEFAULT_STREAM_IDLE
        )


def _seconds(value: float | None, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value < math.inf:
        raise ConfigurationError(f"{name} must be a positive number of seconds: {value!r}")
    return float(min(value, _LONGEST))
