"""What requests and urllib3 raise, as our exceptions, with what it means for another attempt."""

from __future__ import annotations

import ssl
import time
import traceback
from typing import Any, Literal

import requests
import urllib3

from chatserver_sdk.exceptions import (
    APIConnectionError,
    APITimeoutError,
    ChatServerError,
    ConfigurationError,
)

from .call import Call, Failure
from .connections import Attempt
from .retries import Ending

# requests lets through what urllib3 and urlsplit say of a redirect whose address is none; the
# last two are a read whose connection another thread has closed.
FOREIGN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
    AttributeError,
)
_BAD_PROXY = urllib3.exceptions.ProxySchemeUnknown
_AT_ONCE = 0.1
_UNREACHED_PROXY = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
)


def failure_of(exc: Exception, call: Call, attempt: Attempt) -> Failure:
    """What became of an attempt; the exception is the cause of ours."""
    failure = _failure_of(exc, call, attempt)
    failure.error.__cause__ = exc
    if isinstance(exc, requests.RequestException):
        # The request holds the key.
        exc.request = None
    return failure


def forget_locals(error: BaseException, handled: BaseException | None) -> None:
    """Leave nothing in the frames that led to an error: headers are there, and bodies.

    handled: what the caller was dealing with when they called; its frames are theirs.
    """
    known = {id(handled)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        exc = waiting.pop()
        if exc is not None and id(exc) not in known:
            known.add(id(exc))
            waiting += [exc.__cause__, exc.__context__]
            traceback.clear_frames(exc.__traceback__)


def broken_body(exc: Exception, call: Call) -> Failure:
    """The same for an answer that began and whose body did not come."""
    if is_late(exc):
        failure = late_answer(call)
    else:
        sentence = f"the server at {call.settings.shown_url} broke the answer off"
        failure = Failure(_lost(call, sentence), Ending.LOST)
    failure.error.__cause__ = exc
    return failure


def out_of_time(call: Call) -> APITimeoutError:
    """The whole time is over."""
    total = call.settings.timeout.total
    where = f"the answer of the server at {call.settings.shown_url}"
    message = f"{where} took longer than {_seconds(total)}"
    return APITimeoutError(message, kind="total", request_id=call.request_id)


def late_answer(call: Call) -> Failure:
    """A deadline has passed: the whole time's, or that of an answer that did not begin."""
    return Failure(_timeout(call, "did not answer", "read"), Ending.FINAL)


def slow_answer(call: Call) -> Failure:
    """The same for an answer that began and drips in for longer than it may."""
    limit = call.body_limit
    if time.monotonic() >= call.due - 0.01:
        return Failure(out_of_time(call), Ending.FINAL)
    kind: Literal["read", "idle"] = "read" if limit == call.settings.timeout.read else "idle"
    where = f"the server at {call.settings.shown_url}"
    message = f"{where} answered too slowly: it was not at the end within {limit:g} s"
    return Failure(APITimeoutError(message, kind=kind, request_id=call.request_id), Ending.FINAL)


def is_late(exc: Exception) -> bool:
    """Whether a socket's own time-out ended a wait."""
    # While a body is read, requests wraps urllib3's time-out in its ConnectionError.
    late = urllib3.exceptions.ReadTimeoutError
    if not isinstance(exc, (requests.Timeout, late)) and not isinstance(_cause(exc), late):
        return False
    # With a number it is the system's word for a connection that TCP's keep-alive found dead, which
    # urllib3 takes for the same.
    return getattr(_innermost(exc), "errno", None) is None


def _failure_of(exc: Exception, call: Call, attempt: Attempt) -> Failure:
    where = f"the server at {call.settings.shown_url}"
    cause = _cause(exc)
    if isinstance(exc, requests.ConnectTimeout) or (is_late(exc) and attempt.is_connecting):
        return Failure(_timeout(call, "could not be reached", "connect"), Ending.UNSENT)
    if is_late(exc):
        return late_answer(call)
    if (mistake := _mistake(exc, cause, where)) is not None:
        return Failure(ConfigurationError(mistake), Ending.FINAL)
    if isinstance(exc, (requests.TooManyRedirects, ValueError, AttributeError)):
        sentence = f"{where} answered with headers that lead nowhere"
        return Failure(_lost(call, sentence), Ending.FINAL)
    if isinstance(exc, requests.exceptions.ChunkedEncodingError):
        return Failure(_lost(call, f"{where} broke the answer off"), Ending.LOST)
    ending = _ending_of(exc, cause, attempt)
    is_sent = ending in (Ending.LOST, Ending.STALE)
    if isinstance(exc, requests.exceptions.ProxyError) and not is_sent:
        where = f"the proxy for {where}"
    return Failure(_lost(call, f"{where} {_reason(exc, cause, is_sent)}"), ending)


def _mistake(exc: Exception, cause: Any, where: str) -> str | None:
    """What is wrong with the client's own set-up; None where it is something else."""
    # Not the exceptions' own words where they hold the header or the proxy's password.
    if isinstance(exc, requests.exceptions.InvalidHeader) and isinstance(cause, str):
        return f"a request to {where.removeprefix('the server at ')} cannot be made"
    if isinstance(exc, _BAD_PROXY) or isinstance(cause, _BAD_PROXY) or "for SOCKS" in str(exc):
        return (
            f"the proxy for {where} cannot be used: it is no http://, https:// or SOCKS proxy, or"
            " SOCKS needs `pip install 'requests[socks]'`"
        )
    if type(exc) is OSError and "Could not find" in str(exc):
        return f"{exc}"
    if _is_unreadable(_innermost(exc)):
        return (
            f"the CA bundle or the client certificate for {where} cannot be used: each must be a"
            " file in PEM, and a client certificate has its key beside it"
        )
    return None


def _is_unreadable(exc: BaseException) -> bool:
    """Whether OpenSSL could not load a file; what a server says has other words."""
    if not isinstance(exc, ssl.SSLError) or isinstance(exc, ssl.SSLCertVerificationError):
        return False
    return exc.library == "X509" or "PEM" in str(exc)


def _ending_of(exc: Exception, cause: Any, attempt: Attempt) -> Ending:
    if isinstance(_innermost(exc), ssl.SSLCertVerificationError):
        return Ending.FINAL
    if attempt.is_connecting or _is_unsent(getattr(cause, "reason", cause)):
        return Ending.UNSENT
    if isinstance(exc, requests.exceptions.SSLError):
        return Ending.LOST
    # A kept connection that is dead says so at once; one that ends later has ended in the work.
    was_quick = time.monotonic() - attempt.begun_at < _AT_ONCE
    return Ending.STALE if attempt.is_reused and was_quick else Ending.LOST


def _is_unsent(reason: Any) -> bool:
    if not isinstance(reason, urllib3.exceptions.ProxyError):
        return isinstance(reason, urllib3.exceptions.NewConnectionError)
    # A connection through a proxy that is lost with the request on its way has this name too. One
    # that refuses a tunnel is told by an OSError of no kind.
    inner = reason.original_error
    return isinstance(inner, _UNREACHED_PROXY) or type(inner) is OSError


def _lost(call: Call, message: str) -> ChatServerError:
    return APIConnectionError(message, request_id=call.request_id)


def _timeout(call: Call, what: str, kind: Literal["connect", "read"]) -> ChatServerError:
    named: Literal["connect", "read", "idle"]
    timeout = call.settings.timeout
    limit = timeout.connect if kind == "connect" else call.patience
    # The socket's own clock may be a little ahead of ours.
    if time.monotonic() >= call.due - 0.01:
        return out_of_time(call)
    message = f"the server at {call.settings.shown_url} {what} within {_seconds(limit)}"
    named = "idle" if call.is_stream and kind == "read" else kind
    return APITimeoutError(message, kind=named, request_id=call.request_id)


def _reason(exc: Exception, cause: Any, is_sent: bool) -> str:
    """What happened to a connection, in the words of the innermost cause."""
    protocol = next(
        (e for e in (exc, cause) if isinstance(e, urllib3.exceptions.ProtocolError)), None
    )
    if protocol is not None:
        hung_up = isinstance(protocol.args[-1], OSError)
        return "hung up before it answered" if hung_up else "did not answer in HTTP"
    innermost = _innermost(exc)
    text = getattr(innermost, "strerror", None)
    if is_sent and isinstance(innermost, TimeoutError):
        return f"is gone: {text}"
    if is_sent and isinstance(innermost, ConnectionError):
        return "hung up before it answered"
    return f"could not be reached: {text}" if text else "could not be reached"


def _cause(exc: Exception) -> Any:
    return exc.args[0] if exc.args else None


def _innermost(exc: BaseException) -> BaseException:
    """What it all began with: requests and urllib3 wrap, and hold the cause in several ways."""
    for _ in range(10):  # pragma: no branch
        inner = exc.args[0] if exc.args and isinstance(exc.args[0], BaseException) else None
        found = getattr(exc, "reason", None) or inner or exc.__cause__ or exc.__context__
        if not isinstance(found, BaseException) or found is exc:
            break
        exc = found
    return exc


def _seconds(seconds: float | None) -> str:
    return f"{seconds:g} s" if seconds is not None else "its time"
