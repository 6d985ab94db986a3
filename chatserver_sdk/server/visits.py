"""Visit: what is known of the request that is being answered, for its log lines and figures.

It goes along in a context variable, so that nobody has to hand it on.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextvars import ContextVar

from starlette.types import Message, Scope, Send

from chatserver_sdk import __version__

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_VERSION = (b"x-chatserver", __version__.encode())
_numbers = random.Random()
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


class Visit:
    """One request and its answer so far. status: None where nothing was answered."""

    __slots__ = ("request_id", "principal_id", "status", "on_events", "_send")

    def __init__(self, scope: Scope, send: Send, on_events: Callable[[int], None]) -> None:
        self.request_id = _request_id(scope)
        self.principal_id: str | None = None
        self.status: int | None = None
        self.on_events = on_events
        self._send = send

    async def send(self, message: Message) -> None:
        """Send, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            named = (b"x-request-id", self.request_id.encode())
            message["headers"] = [*message.get("headers", ()), _VERSION, named]
        await self._send(message)


current: ContextVar[Visit | None] = ContextVar("visit", default=None)


def note_principal(principal_id: str) -> None:
    """Who is asking."""
    visit = current.get()
    if visit is not None:
        visit.principal_id = principal_id


def note_events(count: int) -> None:
    """So many events were sent."""
    visit = current.get()
    if visit is not None:
        visit.on_events(count)


def method_of(scope: Scope) -> str:
    """The method, if it is one of the usual; others are no names for a log or a figure."""
    method: str = scope["method"]
    return method if method in _METHODS else "OTHER"


def _request_id(scope: Scope) -> str:
    """The caller's own, where it can stand in a header and a log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    # It names a request and guards nothing, so the system's random numbers, which cost the
    # interpreter's lock, are not needed.
    return f"{_numbers.getrandbits(128):032x}"
