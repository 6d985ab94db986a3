"""Transport: requests go out, whatever goes wrong comes back as one of our exceptions."""

from __future__ import annotations

import json
import os
import platform
import re
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from chatserver_sdk._version import __version__
from chatserver_sdk._wire import errors
from chatserver_sdk.exceptions import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ConfigurationError,
    DecodeError,
    ErrorResponse,
    TransportError,
)

from .body import ByteBody
from .timeouts import Timeout

if TYPE_CHECKING:
    from chatserver_sdk.models import Model

_POOL_SIZE = 64
_USER_AGENT = f"chatserver-sdk/{__version__} python/{platform.python_version()}"

_BAD_REQUESTS = (requests.exceptions.InvalidHeader, requests.exceptions.InvalidProxyURL)
_ReadTimeout = urllib3.exceptions.ReadTimeoutError
# requests lets through what urllib3 and urlsplit say of a redirect whose address is none.
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, ValueError)


class _DefaultText(str):
    """A text that remembers that nobody chose it."""


DEFAULT_BASE_URL: str = _DefaultText("http://localhost:3284")


class _BearerAuth(AuthBase):
    # An auth object and not a header of the session: requests lets ~/.netrc replace the header.
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def __repr__(self) -> str:
        return "<bearer key>"


class Transport:
    """Sends requests to one server with one key."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout: float | Timeout | None,
        session: requests.Session | None,
    ) -> None:
        if isinstance(base_url, _DefaultText):
            base_url = os.environ.get("CHATSERVER_BASE_URL") or base_url
        if api_key is None:
            api_key = os.environ.get("CHATSERVER_API_KEY")
        self.base_url = normalize_base_url(base_url)
        self.timeout = Timeout.of(timeout)
        self.shown_url = _without_userinfo(self.base_url)
        self._auth = _BearerAuth(_checked_key(api_key)) if api_key else None
        if session is not None and not callable(getattr(session, "request", None)):
            raise ConfigurationError("session must be a requests session")
        self._owns_session = session is None
        self.session = session if session is not None else _new_session()
        self._bodies: weakref.WeakSet[ByteBody] = weakref.WeakSet()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Model | None = None,
    ) -> Any:
        """The decoded JSON of the answer. Raises APIStatusError, TransportError, DecodeError."""
        response = self._send(method, path, query, body, stream=False)
        try:
            decoded = json.loads(response.content)
        except (ValueError, RecursionError) as exc:
            raise DecodeError(
                f"{method} {path}: the server's answer is not JSON",
                response.status_code,
                _error_response(response),
            ) from exc
        if isinstance(decoded, Mapping) and decoded.get("error"):
            raise errors.error_in_success(decoded, _error_response(response))
        return decoded

    def open_stream(self, path: str, body: Model) -> ByteBody:
        """POST, and the body of a successful answer as it arrives."""
        begun_at = time.monotonic()
        response = self._send("POST", path, None, body, stream=True)
        opened = ByteBody(response, self.timeout, self.shown_url, begun_at)
        opened.check_total()
        self._bodies.add(opened)
        return opened

    def close(self) -> None:
        """Close open streams and, where the session is not the caller's own, its connections."""
        for body in list(self._bodies):
            body.shut()
            body.close()
        if self._owns_session:
            self.session.close()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Model | None,
        *,
        stream: bool,
    ) -> requests.Response:
        content = None if body is None else _encode(body)
        headers = {"Accept": "text/event-stream" if stream else "application/json"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        patience = _least(self.timeout.idle if stream else self.timeout.read, self.timeout.total)
        try:
            response = self.session.request(
                method,
                self.base_url + path,
                params=query,
                data=content,
                headers=headers,
                auth=self._auth,
                timeout=(self.timeout.connect, patience),
                stream=stream,
                # A redirected POST would arrive as a GET without its body.
                allow_redirects=method == "GET",
            )
        except _FOREIGN as exc:
            raise self._failure(exc, patience) from exc
        if response.status_code >= 300:
            raise self._status_error(response, patience)
        return response

    def _status_error(self, response: requests.Response, patience: float | None) -> Exception:
        with response:
            try:
                content = response.content
            except requests.RequestException as exc:
                failure = self._failure(exc, patience)
                failure.__cause__ = exc
                return failure
        if response.status_code >= 400:
            return errors.error_from(response.status_code, response.headers, content)
        target = _without_userinfo(response.headers.get("Location", "elsewhere"))
        return APIStatusError(
            f"the server at {self.shown_url} redirects to {target}; use that as the base URL",
            response.status_code,
            _error_response(response),
        )

    def _failure(self, exc: Exception, patience: float | None) -> Exception:
        """Our exception for one of requests'."""
        where = f"the server at {self.shown_url}"
        cause = exc.args[0] if exc.args else None
        if isinstance(exc, requests.ConnectTimeout):
            return _timeout(where, "could not be reached", self.timeout.connect, "connect")
        # While a body is read, requests wraps urllib3's time-out in its ConnectionError.
        if isinstance(exc, requests.Timeout) or isinstance(cause, _ReadTimeout):
            kind: Literal["read", "total"] = "total" if patience == self.timeout.total else "read"
            return _timeout(where, "did not answer", patience, kind)
        if isinstance(exc, requests.ConnectionError):
            return APIConnectionError(f"{where} {_reason(cause)}")
        if isinstance(exc, _BAD_REQUESTS) and isinstance(cause, str):
            # Not the exception's own words: InvalidHeader's hold the header.
            return ConfigurationError(f"a request to {self.shown_url} cannot be made")
        if isinstance(exc, (requests.TooManyRedirects, ValueError)):
            return APIConnectionError(f"{where} answered with headers that lead nowhere")
        return APIConnectionError(f"{where} broke the answer off")


def normalize_base_url(base_url: str) -> str:
    """The URL without a trailing `/` or `/v1`. Raises ConfigurationError."""
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url must be a string, not {type(base_url).__name__}")
    url = base_url.strip()
    if not _is_base_url(url):
        raise ConfigurationError(
            f"base_url must look like http://localhost:3284, not {_without_userinfo(url)!r}"
        )
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def path_segment(text: str, name: str) -> str:
    """A text quoted for a path. Raises BadRequestError for one that no path can hold."""
    if text in (".", ".."):
        raise BadRequestError(f"{name} must not be '.' or '..'", param=name)
    return quote(text, safe="")


def _is_base_url(url: str) -> bool:
    prepared = requests.PreparedRequest()
    try:
        parts = urlsplit(url)
        # Whatever host the libraries underneath refuse is refused here, before it is needed.
        prepared.prepare_url(url, None)
        (urlsplit(prepared.url or "").hostname or "").encode("idna")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return valid and url.isprintable() and not (parts.query or parts.fragment)


def _new_session() -> requests.Session:
    session = requests.Session()
    session.headers["User-Agent"] = _USER_AGENT
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_POOL_SIZE))
    return session


def _checked_key(key: object) -> str:
    # What a header cannot hold fails here, where the message does not repeat it.
    if not isinstance(key, str) or not key.isascii() or not key.isprintable():
        raise ConfigurationError("api_key must be printable ASCII text, without line ends")
    return key.strip()


def _encode(body: Model) -> bytes:
    try:
        return json.dumps(body.to_dict(), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadRequestError(f"the request cannot be written as JSON: {exc}") from exc


def _error_response(response: requests.Response) -> ErrorResponse:
    return ErrorResponse(response.status_code, dict(response.headers), response.content)


def _timeout(
    where: str, what: str, seconds: float | None, kind: Literal["connect", "read", "total"]
) -> TransportError:
    return APITimeoutError(f"{where} {what} within {_seconds(seconds)}", kind=kind)


def _reason(cause: Any) -> str:
    """What happened to a connection, in the words of the innermost cause."""
    if isinstance(cause, urllib3.exceptions.ProtocolError):
        hung_up = isinstance(cause.args[-1], OSError)
        return "hung up before it answered" if hung_up else "did not answer in HTTP"
    while (inner := getattr(cause, "reason", None)) is not None and inner is not cause:
        cause = inner
    inner = getattr(cause, "__cause__", None) or getattr(cause, "__context__", None)
    text = getattr(inner, "strerror", None) or getattr(cause, "strerror", None)
    return f"could not be reached: {text}" if text else "could not be reached"


def _without_userinfo(url: str) -> str:
    return re.sub(r"^([\w+.-]*://)?[^/?#]*@", r"\1", url)


def _least(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _seconds(seconds: float | None) -> str:
    return f"{seconds:g} s" if seconds is not None else "its time"
