"""What a caller of this package may catch.

ChatServerError                    .message .status_code (None where no answer came) .response
│                                  .request_id (None where nothing was sent)
├─ ConfigurationError              the constructor or the environment is wrong; also ValueError
├─ TransportError                  no HTTP answer; the cause is kept
│   ├─ APIConnectionError          also ConnectionError
│   └─ APITimeoutError             also TimeoutError
├─ APIStatusError                  the server answered 400 or more
│   ├─ BadRequestError             400, and arguments refused before sending (response is None)
│   │   └─ UnprocessableEntityError    422
│   ├─ UnauthorizedError           401
│   ├─ ForbiddenError              403
│   ├─ NotFoundError               404
│   ├─ ConflictError               409
│   ├─ RateLimitError              429
│   └─ InternalServerError         5xx
│       └─ ServiceUnavailableError     503
├─ DecodeError                     a success whose body is not what was promised
└─ StreamError                     .partial (the text so far) .metadata
    ├─ StreamInterruptedError      the answer ended before it was whole
    ├─ StreamFailedError           the server said "error" in the stream; always also the class
    │                              of the matching status, so `except RateLimitError` catches it
    └─ StreamConsumedError         read twice, or after close

No exception of another library is let through
a public method: it is the `__cause__` of one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from .raw import RawResponse

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "BadRequestError",
    "ChatServerError",
    "ConfigurationError",
    "ConflictError",
    "DecodeError",
    "ForbiddenError",
    "InternalServerError",
    "NotFoundError",
    "RateLimitError",
    "ServiceUnavailableError",
    "StreamConsumedError",
    "StreamError",
    "StreamFailedError",
    "StreamInterruptedError",
    "TransportError",
    "UnauthorizedError",
    "UnprocessableEntityError",
]


class ChatServerError(Exception):
    """The base of every exception that this package raises.

    `message` is a sentence, `request_id` what to give to whoever runs the server; str() is both.
    """

    _status: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        response: RawResponse | None = None,
        *,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = self._status if status_code is None else status_code
        self.response = response
        self.request_id = request_id

    def __str__(self) -> str:
        notes = self._notes()
        return f"{self.message} ({', '.join(notes)})" if notes else self.message

    def _notes(self) -> list[str]:
        return [f"request id: {self.request_id}"] if self.request_id else []

    # Exceptions rebuild themselves from `args` alone when they are pickled or copied, which
    # loses every keyword; worker pools (Celery, multiprocessing, Ray) depend on it.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[ChatServerError], args: tuple[Any, ...], state: dict[str, Any]
) -> ChatServerError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(ChatServerError, ValueError):
    """The constructor's arguments or the environment are wrong; nothing was sent."""


class TransportError(ChatServerError):
    """No HTTP answer came, or its body was cut; the cause is `__cause__`."""


class APIConnectionError(TransportError, ConnectionError):
    """The server could not be reached, or hung up."""


class APITimeoutError(TransportError, TimeoutError):
    """Time ran out. `kind` says which time: connect, read, idle (of a stream) or total.

    Of a stream that has begun it is the `__cause__` of StreamInterruptedError.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        response: RawResponse | None = None,
        *,
        kind: Literal["connect", "read", "idle", "total"] = "read",
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, status_code, response, request_id=request_id)
        self.kind = kind


class APIStatusError(ChatServerError):
    """The server answered with a status of 400 or more.

    `message` is the server's own sentence, `code` and `type` its machine-readable words, `param`
    the field at fault, `errors` the list behind a validation error, `body` the decoded JSON (or
    the text), `retry_after` the seconds that the server asks to wait.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        response: RawResponse | None = None,
        *,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        errors: Sequence[Any] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message, status_code, response, request_id=request_id)
        self.code = code
        self.type = type
        self.param = param
        self.errors = list(errors)
        self.retry_after = retry_after
        self.body = body

    def _notes(self) -> list[str]:
        if not self.param or self.param in self.message:
            return super()._notes()
        return [f"field: {self.param}", *super()._notes()]


class BadRequestError(APIStatusError):
    """The request is wrong; `param` names the field. Also raised before anything is sent."""

    _status = 400


class UnauthorizedError(APIStatusError):
    """The key is missing or not valid."""

    _status = 401


class ForbiddenError(APIStatusError):
    """The key is valid and may not do this."""

    _status = 403


class NotFoundError(APIStatusError):
    """There is no such thing, or it is somebody else's."""

    _status = 404


class ConflictError(APIStatusError):
    """The request does not fit the state of what it is about."""

    _status = 409


class UnprocessableEntityError(BadRequestError):
    """The server's validation refused a field; `errors` lists what and where."""

    _status = 422


class RateLimitError(APIStatusError):
    """Too many requests; `retry_after` says how long to wait, where the server said so."""

    _status = 429


class InternalServerError(APIStatusError):
    """The server failed."""

    _status = 500


class ServiceUnavailableError(InternalServerError):
    """The server, or what stands behind it, is not there at the moment."""

    _status = 503


class DecodeError(ChatServerError):
    """The server said success, and the body is not what was promised."""


class StreamError(ChatServerError):
    """A streamed answer did not end well; `partial` and `metadata` hold what had come."""

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        response: RawResponse | None = None,
        *,
        partial: str = "",
        metadata: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, status_code, response, **details)
        self.partial = partial
        self.metadata = dict(metadata or {})


class StreamInterruptedError(StreamError):
    """The answer ended before it was whole: no `[DONE]` and no finish_reason had come."""


class StreamConsumedError(StreamError):
    """The stream was read to its end already, or closed."""


class StreamFailedError(StreamError, APIStatusError):
    """The server said "error" inside the stream, after it had answered 200."""


def class_for_status(status: int) -> type[APIStatusError]:
    """The exception's class for an HTTP status of 400 or more."""
    default = InternalServerError if status >= 500 else APIStatusError
    return _CLASS_FOR_STATUS.get(status, default)


def class_for_stream_status(status: int) -> type[StreamFailedError]:
    """The same for an error that came inside a stream."""
    return _STREAM_CLASS_FOR[class_for_status(status)]


_CLASS_FOR_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}


class _StreamStatusError(StreamFailedError):
    pass


class _StreamBadRequestError(StreamFailedError, BadRequestError):
    pass


class _StreamUnauthorizedError(StreamFailedError, UnauthorizedError):
    pass


class _StreamForbiddenError(StreamFailedError, ForbiddenError):
    pass


class _StreamNotFoundError(StreamFailedError, NotFoundError):
    pass


class _StreamConflictError(StreamFailedError, ConflictError):
    pass


class _StreamUnprocessableEntityError(StreamFailedError, UnprocessableEntityError):
    pass


class _StreamRateLimitError(StreamFailedError, RateLimitError):
    pass


class _StreamInternalServerError(StreamFailedError, InternalServerError):
    pass


class _StreamServiceUnavailableError(StreamFailedError, ServiceUnavailableError):
    pass


# `except RateLimitError` has to catch a rate limit wherever the server says it.
_STREAM_CLASS_FOR: dict[type[APIStatusError], type[StreamFailedError]] = {
    APIStatusError: _StreamStatusError,
    BadRequestError: _StreamBadRequestError,
    UnauthorizedError: _StreamUnauthorizedError,
    ForbiddenError: _StreamForbiddenError,
    NotFoundError: _StreamNotFoundError,
    ConflictError: _StreamConflictError,
    UnprocessableEntityError: _StreamUnprocessableEntityError,
    RateLimitError: _StreamRateLimitError,
    InternalServerError: _StreamInternalServerError,
    ServiceUnavailableError: _StreamServiceUnavailableError,
}
