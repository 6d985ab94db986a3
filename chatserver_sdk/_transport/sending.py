"""Transport: calls go out, again where they may; whatever goes wrong is one of our exceptions."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from chatserver_sdk._lazy import Later
from chatserver_sdk._version import __version__
from chatserver_sdk.exceptions import APIStatusError, ConfigurationError, DecodeError
from chatserver_sdk.raw import RawResponse, is_able

from .connections import Session
from .log import log, named, set_up
from .retries import Ending, may_send_again
from .settings import CallOptions, Settings

if TYPE_CHECKING:
    from chatserver_sdk import _json as jsons
    from chatserver_sdk._wire import errors
    from chatserver_sdk.models import Model

    from . import body as bodies, call as calls, exchange as exchanges, tracing
    from .body import ByteBody
    from .call import Call, Encoded, Failure
    from .deadline import Interrupt
    from .exchange import Exchange
    from .tracing import About, Trace
else:
    # A client that is built and not yet used does without them.
    bodies = Later("chatserver_sdk._transport.body")
    calls = Later("chatserver_sdk._transport.call")
    errors = Later("chatserver_sdk._wire.errors")
    exchanges = Later("chatserver_sdk._transport.exchange")
    jsons = Later("chatserver_sdk._json")
    tracing = Later("chatserver_sdk._transport.tracing")

M = TypeVar("M", bound="Model")

_PYTHON = ".".join(map(str, sys.version_info[:3]))
_USER_AGENT = f"chatserver-sdk/{__version__} python/{_PYTHON}"


# One for all: what it guards takes no time, and it can be renewed in the child of a fork, where
# another thread may have held it.
_lock = threading.Lock()


def _after_fork() -> None:  # pragma: no cover - the child is not measured
    global _lock
    _lock = threading.Lock()


if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)


class Transport:
    """Sends calls to one server; what `with_options` makes of it shares its connections."""

    def __init__(self, settings: Settings, session: requests.Session | None = None) -> None:
        if session is not None and not isinstance(session, requests.Session):
            raise ConfigurationError("session must be a requests session")
        set_up()
        self.settings = settings
        self.own_session = session
        self.session = Session(_USER_AGENT) if session is None else session
        self._is_first = True
        self._exchange: Exchange | None = None
        self._server = _Server()
        self._bodies: weakref.WeakSet[ByteBody] = weakref.WeakSet()
        # Those over the same connections: closing the first one closes the streams of all.
        self._family: weakref.WeakSet[Transport] = weakref.WeakSet([self])

    def __reduce__(self) -> tuple[Any, ...]:
        # Connections stay where they are; a copy opens its own.
        return type(self), (self.settings, self.own_session)

    def with_options(self, options: CallOptions) -> Transport:
        """A transport with other settings over the same connections."""
        other = Transport.__new__(Transport)
        other.__dict__.update(self.__dict__)
        other.settings = self.settings.with_options(options)
        other._is_first = False
        other._bodies = weakref.WeakSet()
        with _lock:
            self._family.add(other)
        return other

    def ask(
        self,
        read: Callable[[Any], M],
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Model | Encoded | None = None,
        options: CallOptions | None = None,
        subject: About = None,
    ) -> M:
        """The answer as a model; its `raw` says how it came. subject: for who traces calls.

        Raises APIStatusError, TransportError, DecodeError.
        """
        call = calls.Call.of(self._settings(options), method, path, query=query, body=body)
        trace = tracing.begin(call, subject)
        with trace:
            raw = self._send_whole(call, trace)
            answer = _read(read, raw, f"{method} {path}")
        trace.note_answer(answer)
        trace.end()
        return answer

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        options: CallOptions | None = None,
        subject: About = None,
    ) -> RawResponse:
        """The answer as it came, a success. Raises APIStatusError, TransportError."""
        call = calls.Call.of(self._settings(options), method, path, query=query, body=body)
        trace = tracing.begin(call, subject)
        with trace:
            answer = self._send_whole(call, trace)
        trace.end()
        return answer

    def open_stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Model | None = None,
        headers: Mapping[str, str] | None = None,
        options: CallOptions | None = None,
        begun_at: float | None = None,
        subject: About = None,
        trace: Trace | None = None,
        interrupt: Interrupt | None = None,
    ) -> ByteBody:
        """The body of a successful answer as it arrives. begun_at: when its whole time began.

        trace: of the stream that this one continues; whoever reads the body ends it.
        """
        settings = self._settings(options)
        call = calls.Call.of(
            settings, method, path, query=query, body=body, headers=headers, is_stream=True
        )
        call = replace(call, begun_at=begun_at or call.begun_at, interrupt=interrupt)
        told = trace or tracing.begin(call, subject)
        with told if trace is None else told.going_on(call):
            answer = self._send(call, told)
        assert isinstance(answer, requests.Response)
        opened = bodies.ByteBody(answer, call, told)
        with _lock:
            self._bodies.add(opened)
        return opened

    def close(self) -> None:
        """Close the streams that were opened here and are still open; of the first transport also
        those of the others and, where the session is our own, every connection."""
        with _lock:
            family = list(self._family) if self._is_first else [self]
            bodies = [body for transport in family for body in transport._bodies]
        for body in bodies:
            body.abandon()
        if self._is_first and self.own_session is None:
            self.session.close()

    def _settings(self, options: CallOptions | None) -> Settings:
        return self.settings.with_options(options) if options else self.settings

    def _send_whole(self, call: Call, trace: Trace) -> RawResponse:
        answer = self._send(call, trace)
        assert isinstance(answer, RawResponse)
        return answer

    def _send(self, call: Call, trace: Trace) -> requests.Response | RawResponse:
        """A successful answer, after as many attempts as it takes and the policy allows."""
        if self._exchange is None:
            self._exchange = exchanges.Exchange(self.session)
        retry = 0
        may_be_stale = True
        while True:
            began = time.monotonic()
            result = self._exchange.attempt(call)
            _log_attempt(call, result, began)
            if not isinstance(result, calls.Failure):
                self._server.note(result.headers)
                trace.note_status(result.status_code)
                return result
            if result.ending is Ending.STALE and may_be_stale:
                # The server gave up a connection that nobody used; that is nobody's failure.
                may_be_stale = False
            else:
                self._wait(call, result, retry)
                retry += 1
            trace.resends += 1

    def _wait(self, call: Call, failure: Failure, retry: int) -> None:
        """Return when it is time for another attempt. Raises the failure where there is none."""
        error = failure.error
        if error.response is not None:
            self._server.note(error.response.headers)
        again = may_send_again(
            call.method,
            failure.ending,
            error,
            is_ours=self._server.is_ours,
            has_key=call.has_key,
        )
        pause = call.settings.retries.pause(retry, error) if again else None
        if pause is not None and time.monotonic() + pause >= call.due:
            total = call.settings.timeout.total
            error.message += f" (not tried again: the total of {total:g} s would be over)"
            pause = None
        if pause is None:
            raise error
        log.info("%s: %s; again in %.2f s", str(call), named(error), pause)
        time.sleep(pause)


class _Server:
    """What is known of the other side, by everybody who shares the connections."""

    def __init__(self) -> None:
        self.is_ours = False

    def note(self, headers: Mapping[str, str]) -> None:
        # What comes without a version is a proxy's; another version may have taken its place.
        if "X-Chatserver" in headers:
            self.is_ours = is_able(headers)


def _log_attempt(
    call: Call, result: requests.Response | RawResponse | Failure, began: float
) -> None:
    if not log.isEnabledFor(logging.DEBUG):
        return
    how = named(result.error) if isinstance(result, calls.Failure) else str(result.status_code)
    # Not the call itself: handlers that look into what they are given would find its headers.
    log.debug("%s: %s, %.3f s", str(call), how, time.monotonic() - began)


def _read(read: Callable[[Any], M], raw: RawResponse, what: str) -> M:
    try:
        answer = read(_decode(raw, what))
    except (DecodeError, APIStatusError) as exc:
        exc.response, exc.request_id = raw, raw.request_id
        raise
    answer.__dict__["_raw"] = raw
    return answer


def _decode(raw: RawResponse, what: str) -> Any:
    try:
        decoded = jsons.loads(raw.content)
    except (ValueError, RecursionError) as exc:
        sentence = f"{what}: the server's answer is not JSON"
        if raw.headers.get("Content-Type", "").startswith("text/event-stream"):
            sentence += ", but a stream of events; whoever wants one says stream=True"
        raise DecodeError(sentence, raw.status_code) from exc
    if isinstance(decoded, Mapping) and decoded.get("error"):
        raise errors.error_in_success(decoded, raw)
    return decoded
