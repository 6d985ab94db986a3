"""What the engine refuses, in sentences for the caller. The store's refusals pass through as
they are; the server knows which status each has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatserver_sdk.storage import Refused


class EngineError(Exception):
    """The base: a sentence, a code for programs, the field at fault."""

    def __init__(self, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class InvalidRequest(EngineError, Refused):
    """The request cannot be carried out as it is. errors: one line a problem, if there are more."""

    errors: Sequence[Any] = ()


class Unauthenticated(EngineError):
    """Nobody knows who is asking."""


class Forbidden(EngineError):
    """The one who asks may not do this."""


class UnknownModel(EngineError):
    """No agent answers under this name."""


class Gone(EngineError):
    """It was there, and is not kept any longer."""


class ShuttingDown(EngineError):
    """The server is about to stop and begins nothing new."""


class RateLimited(EngineError):
    """Too much was asked. retry_after: seconds until more may be."""

    def __init__(self, message: str, code: str, *, retry_after: int) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after


class Unavailable(RateLimited):
    """What it takes is not there, or not free, at the moment."""


def metadata_too_long(reason: Refused) -> InvalidRequest:
    """The refusal of metadata that a session has no room for."""
    return InvalidRequest(str(reason), "metadata_too_long", "metadata")
