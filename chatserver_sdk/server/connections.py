"""A connection of uvicorn's whose requests must begin in time and with a head of a bounded size.

uvicorn bounds neither: without this, a client that sends a byte a minute is served for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .errors import refusal
from .settings import Settings


def protocol_for(settings: Settings) -> type[asyncio.Protocol]:
    """The class of connections of a server with these settings."""

    class Connection(BoundedConnection):
        head_timeout = settings.head_timeout
        max_head_bytes = settings.max_head_bytes

    return Connection


class BoundedConnection(HttpToolsProtocol):
    """Answers 408 and 431 before uvicorn has a request to hand over."""

    head_timeout = 20.0
    max_head_bytes = 65536

    _head_bytes = 0
    _is_in_head = True
    _may_be_long = False
    _timer: asyncio.TimerHandle | None = None
    _status = 400

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        # A head that is not longer than all that has come need not be measured.
        self._may_be_long = max(self._head_bytes, len(data)) > self.max_head_bytes
        super().data_received(data)
        # What is half here: the parser keeps it for itself and says nothing of its size.
        if self._is_in_head and self._head_bytes > self.max_head_bytes:
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_bytes = 0
        self._stop_waiting()
        if self._may_be_long and self._size() > self.max_head_bytes:
            self._status = 431
            raise ValueError("the head is too long")
        super().on_headers_complete()

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for what is no HTTP, and for what was raised above."""
        self._refuse(self._status)

    def _wait_for_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout, self._too_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        self._refuse(408)

    def _refuse(self, status: int) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        answer = refusal(status, _SENTENCES[status])
        lines = [b"HTTP/1.1 %d %s" % (status, _PHRASES[status])]
        lines += [b"%s: %s" % header for header in answer.raw_headers]
        lines += [b"connection: close", b"", bytes(answer.body)]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()


_PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
}
_SENTENCES = {
    400: "this is no HTTP request that can be understood",
    408: "the head of the request did not come in time",
    431: "the head of the request is too long",
}
