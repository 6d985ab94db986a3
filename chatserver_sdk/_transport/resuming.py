"""Resumption: opens a stream again behind the last event that came, for as long as that is wise."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from chatserver_sdk.exceptions import APIConnectionError, APITimeoutError, ChatServerError

from .body import ByteBody
from .deadline import Interrupt
from .log import log
from .retries import Ending, may_send_again

if TYPE_CHECKING:
    from .sending import Transport
    from .settings import CallOptions
    from .tracing import About, Trace


class Resumption:
    """path_for: the path that continues the turn of a cursor. begun_at: when the whole time began.
    trace: of the stream that may be taken up again."""

    def __init__(
        self,
        transport: Transport,
        path_for: Callable[[str], str],
        options: CallOptions | None = None,
        begun_at: float | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._transport = transport
        self._options: CallOptions = options or {}
        self._policy = transport.settings.with_options(self._options).retries
        self._path_for = path_for
        self._begun_at = begun_at
        self._trace = trace
        self._interrupt = Interrupt()
        total = transport.settings.with_options(self._options).timeout.total
        self._due = math.inf if total is None else (begun_at or time.monotonic()) + total

    def stop(self) -> None:
        """End an attempt that another thread makes, at once."""
        self._interrupt.set()

    def pause(self, fruitless: int, error: ChatServerError | None) -> float | None:
        """Seconds to wait before the next attempt; None where another one is of no use.

        fruitless: how many attempts in a row have brought no event. error: what ended the last.
        """
        if error is not None and not _passes(error):
            return None
        if fruitless == 0:
            return 0.0 if self._policy.max_retries > 0 else None
        pause = self._policy.pause(fruitless - 1, error or APIConnectionError(""))
        is_in_time = pause is not None and time.monotonic() + pause < self._due
        return pause if is_in_time else None

    def open(self, cursor: str, subject: About = None) -> ByteBody:
        """The stream behind the cursor. Raises what a call raises."""
        body = self._open(cursor, self._options, subject)
        self._trace = body.trace
        return body

    def reopen(self, cursor: str) -> ByteBody:
        """The same, tried once: `pause` counts."""
        body = self._open(cursor, {**self._options, "max_retries": 0})
        log.info("%s: a stream that broke off is taken up again", body.shown_call)
        return body

    def _open(self, cursor: str, options: CallOptions, subject: About = None) -> ByteBody:
        return self._transport.open_stream(
            "GET",
            self._path_for(cursor),
            headers={"Last-Event-ID": cursor},
            options=options,
            begun_at=self._begun_at,
            subject=subject,
            trace=self._trace,
            interrupt=self._interrupt,
        )


def _passes(error: ChatServerError) -> bool:
    """Whether it may be better the next time."""
    if isinstance(error, APITimeoutError):
        return error.kind == "connect"
    return isinstance(error, APIConnectionError) or may_send_again(
        "GET", Ending.REFUSED, error, is_ours=True, has_key=False
    )
