"""Tracing: one OpenTelemetry span for each logical call, where the program uses OpenTelemetry.

Names and attributes are those of its conventions for HTTP clients and for generative AI. Nothing
here imports OpenTelemetry before somebody else has: without them nobody would read the spans.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from chatserver_sdk._version import __version__
from chatserver_sdk.exceptions import ChatServerError, StreamConsumedError

from .addresses import origin
from .log import kind, log, named

if TYPE_CHECKING:
    from .call import Call

# Whatever part of OpenTelemetry a program uses brings this one.
_SIGN_OF_USE = "opentelemetry.context"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_LONGEST_TEXT = 256
_MOST_TEXTS = 128


OfAnswer = Callable[[Any], Mapping[str, Any]]


def _nothing(answer: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Subject:
    """What a call is about, in the words of whoever makes it.

    route: its path with `{name}` in the place of what differs from call to call; None where the
    path is one, "" where nobody knows. name: of the span, else method and route. attributes:
    known beforehand. of_answer: those that an answer adds. A function that makes one is asked
    where somebody listens.
    """

    route: str | None = None
    name: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    of_answer: OfAnswer = _nothing


About = Subject | Callable[[], Subject] | None
_PLAIN = Subject()


class Trace:
    """One call as it is told; to nobody, mostly. It ends once, however often it is ended.

    In a `with` block of it, what other libraries trace belongs to it; an exception there ends it.
    """

    def __init__(self, call: Call, of_answer: OfAnswer = _nothing, span: Any = None) -> None:
        self.resends = 0
        self._call = call
        self._of_answer = of_answer
        self._span = span
        self._open = [True]
        self._token: Any = None

    def __enter__(self) -> Trace:
        if self._span is not None:
            self._token = _loaded().attach(self._span)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._span is not None:
            _loaded().detach(self._token)
        if exc is not None:
            self.end(exc)

    @contextmanager
    def going_on(self, call: Call) -> Iterator[None]:
        """A block in which another call does more of the same; an exception ends nothing."""
        if self._span is None:
            yield
            return
        api = _loaded()
        token = api.attach(self._span)
        try:
            api.send_context(call)
            yield
        finally:
            api.detach(token)

    def note_status(self, status: int) -> None:
        """The server has answered."""
        self._set({"http.response.status_code": status})

    def note_answer(self, answer: Any) -> None:
        """The answer was read."""
        if self._span is not None:
            self._set(self._of_answer(answer))

    def end(self, error: BaseException | None = None) -> None:
        """The call is over; the error is told by its class alone."""
        if self._is_first_end():
            self._end(error)

    def end_stream(self, answer: Any, events: int, error: ChatServerError | None) -> None:
        """The same of a call whose answer is a stream, read so far or to its end."""
        if not self._is_first_end():
            return
        # To close a stream before its end is no failure.
        failure = None if isinstance(error, StreamConsumedError) else error
        seconds = time.monotonic() - self._call.begun_at
        how = "ended" if failure is None else named(failure)
        log.debug("%s: stream %s; %d events, %.3f s", str(self._call), how, events, seconds)
        self.note_answer(answer)
        self._end(failure)

    def _is_first_end(self) -> bool:
        # Of several threads that end a call only one can take this out.
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    def _end(self, error: BaseException | None) -> None:
        if self._span is None:
            return
        if self.resends:
            self._set({"http.request.resend_count": self.resends})
        if error is not None:
            self._fail(error)
        self._span.end()

    def _fail(self, error: BaseException) -> None:
        response = getattr(error, "response", None)
        if response is not None:
            self.note_status(response.status_code)
        self._set({"error.type": kind(error)})
        self._span.set_status(_loaded().error_status)

    def _set(self, attributes: Mapping[str, Any]) -> None:
        if self._span is not None and self._span.is_recording():
            self._span.set_attributes(_bounded(attributes))


def begin(call: Call, about: About) -> Trace:
    """A call begins; if there is a trace to continue, the server is told of it."""
    api = _api() if _SIGN_OF_USE in sys.modules else None
    if api is None:
        return Trace(call)
    subject = about() if callable(about) else about or _PLAIN
    return Trace(call, subject.of_answer, api.begin(call, subject))


class _Api:
    """What is used of OpenTelemetry. Raises whatever a broken installation raises."""

    def __init__(self) -> None:
        from opentelemetry import context, propagate, trace

        self.detach = context.detach
        self.error_status = trace.StatusCode.ERROR
        self._attach = context.attach
        self._context_of = trace.set_span_in_context
        self._client = trace.SpanKind.CLIENT
        self._inject = propagate.inject
        self._tracer = trace.get_tracer("chatserver_sdk", __version__)

    def begin(self, call: Call, subject: Subject) -> Any:
        """A span, its context sent along; None where nobody would ever see it."""
        known = _attributes(call, subject)
        name = _name(call, subject)
        span = self._tracer.start_span(name, kind=self._client, attributes=known)
        is_valid = span.get_span_context().is_valid
        self.send_context(call, self._context_of(span) if is_valid else None)
        return span if is_valid else None

    def attach(self, span: Any) -> Any:
        """Make it the current one; what is returned ends that."""
        return self._attach(self._context_of(span))

    def send_context(self, call: Call, context: Any = None) -> None:
        """Let the server continue the trace; headers of the caller's own win."""
        carrier: dict[str, str] = {}
        self._inject(carrier, context)
        if carrier:
            taken = {name.lower() for name in call.headers}
            call.headers.update((k, v) for k, v in carrier.items() if k.lower() not in taken)


@cache
def _api() -> _Api | None:
    try:
        return _Api()
    except Exception as exc:
        # A tracing that cannot begin is no reason for a call to fail.
        log.info("no traces: OpenTelemetry failed with %s", type(exc).__name__)
        return None


def _loaded() -> _Api:
    api = _api()
    assert api is not None
    return api


def _name(call: Call, subject: Subject) -> str:
    if subject.name is not None:
        return subject.name[:_LONGEST_TEXT]
    method = call.method if call.method in _METHODS else "HTTP"
    return f"{method} {call.path if subject.route is None else subject.route}".rstrip()


def _attributes(call: Call, subject: Subject) -> dict[str, Any]:
    _, host, port = origin(call.url)
    return {
        **_bounded(subject.attributes),
        "http.request.method": call.method if call.method in _METHODS else "_OTHER",
        "server.address": host,
        "server.port": port,
    }


def _bounded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in attributes.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, list):
        return [text[:_LONGEST_TEXT] for text in value[:_MOST_TEXTS]]
    return value
