"""Exchange: one attempt at a call; a request goes out, an answer comes back."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urljoin

import requests
from requests.auth import HTTPBasicAuth
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity, get_auth_from_url, select_proxy

from chatserver_sdk._wire import errors
from chatserver_sdk.exceptions import (
    APIStatusError,
    ChatServerError,
    ConfigurationError,
    DecodeError,
)
from chatserver_sdk.raw import RawResponse

from .addresses import is_proxy, origin, wire_form, without_userinfo
from .call import Call, Failure
from .connections import Attempt, Session, begin_attempt
from .deadline import Deadline
from .failures import (
    FOREIGN,
    broken_body,
    failure_of,
    forget_locals,
    late_answer,
    out_of_time,
    slow_answer,
)
from .retries import Ending

# No answer that is read in one piece may fill the memory.
MAX_ANSWER_BYTES = 128 * 2**20
_LONGEST_REFUSAL = 2**20
_READ_SIZE = 2**17
_MOST_REDIRECTS = 10
_MOST_ENVIRONMENTS = 16


class Exchange:
    """Sends through one requests session, which may be the caller's own."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session
        self._environments: dict[Any, dict[str, Any]] = {}

    def attempt(self, call: Call) -> requests.Response | RawResponse | Failure:
        """A success: a stream's response, whose body is still to be read, or the whole answer."""
        if time.monotonic() >= call.due:
            return Failure(out_of_time(call), Ending.FINAL)
        handled = sys.exc_info()[1]
        try:
            result = self._within_time(call)
        except BaseException as exc:
            # An interrupt from the keyboard is no failure, and carries the key no further either.
            forget_locals(exc, handled)
            raise
        finally:
            if call.interrupt is not None:
                call.interrupt.forget()
        if isinstance(result, Failure):
            # Here, where the frames have ended.
            forget_locals(result.error, handled)
        return result

    def _within_time(self, call: Call) -> requests.Response | RawResponse | Failure:
        try:
            # Before the attempt begins: a function that gives the key may make calls of its own.
            secret = call.settings.key.header() if call.settings.key is not None else None
        except ChatServerError as exc:
            return Failure(exc, Ending.FINAL)
        attempt = begin_attempt()
        if call.interrupt is not None:
            call.interrupt.watch(attempt)
        with Deadline(call.due, attempt, call.answer_due) as deadline:
            result = self._attempt(call, attempt, deadline, secret)
        if not deadline.has_passed:
            return result
        if isinstance(result, requests.Response):  # pragma: no cover - it came that very moment
            result.close()
        late = slow_answer(call) if deadline.is_answered else late_answer(call)
        late.error.__cause__ = result.error.__cause__ if isinstance(result, Failure) else None
        return late

    def _attempt(
        self, call: Call, attempt: Attempt, deadline: Deadline, secret: str | None
    ) -> requests.Response | RawResponse | Failure:
        try:
            response = self._follow(call, secret)
        except ConfigurationError as exc:
            return Failure(exc, Ending.FINAL)
        except FOREIGN as exc:
            return failure_of(exc, call, attempt)
        is_success = response.status_code < 300
        if is_success and call.is_stream:
            deadline.note_response(response)
            return response
        deadline.note_response(response, call.body_limit)
        try:
            limit = MAX_ANSWER_BYTES if is_success else _LONGEST_REFUSAL
            raw = raw_of(response, call, _read(response, limit, deadline))
        except DecodeError as exc:
            exc.request_id = raw_of(response, call).request_id
            return Failure(exc, Ending.FINAL)
        except FOREIGN as exc:
            response.close()
            return broken_body(exc, call)
        return raw if is_success else Failure(_refusal(raw, call), Ending.REFUSED)

    def _follow(self, call: Call, secret: str | None) -> requests.Response:
        """The last answer of a chain of redirects. Raises what requests does."""
        headers = {**({"Authorization": secret} if secret else {}), **call.headers}
        response = self._send(call, call.url, headers)
        for _ in range(_MOST_REDIRECTS):
            # A redirected POST would arrive as a GET without its body; what a DELETE would delete
            # elsewhere nobody has asked for.
            if call.method != "GET" or not response.is_redirect:
                return response
            response.close()
            target = self.session.get_redirect_target(response) or ""
            url = wire_form(urljoin(response.url, target))
            if origin(url) == origin(call.url):
                response = self._send(call, url, headers)
            else:
                response = self._send_elsewhere(call, url)
        response.close()
        raise requests.TooManyRedirects()

    def _send(self, call: Call, url: str, headers: dict[str, str]) -> requests.Response:
        """Ask our server, with all that it may know."""
        if self._adds_something():
            has_key = "Authorization" in headers or "Authorization" in self.session.headers
            return self.session.request(
                call.method,
                url,
                data=call.content,
                headers=headers,
                # Without one, requests lets ~/.netrc replace the header.
                auth=None if self.session.auth and not has_key else _authenticate,
                allow_redirects=False,
                **self._limits(call),
                **self._environment(url),
            )
        prepared = self._prepare(call, url, {**self.session.headers, **headers})
        if self.session.cookies:
            prepared.prepare_cookies(self.session.cookies)
        response = self._hand_over(call, _authenticate(prepared))
        if "Set-Cookie" in response.headers:
            jar: Any = extract_cookies_to_jar
            jar(self.session.cookies, prepared, response.raw)
        return response

    def _send_elsewhere(self, call: Call, url: str) -> requests.Response:
        """Ask another server, which gets neither the key nor anything else of ours."""
        agent = self.session.headers.get("User-Agent")
        headers = {"Accept": call.headers["Accept"], "User-Agent": agent}
        prepared = self._prepare(replace(call, content=None), url, headers)
        response = self._hand_over(call, prepared, cert=None)
        # What it says of itself says nothing of ours.
        response.headers.pop("X-Chatserver", None)
        return response

    def _hand_over(
        self, call: Call, prepared: requests.PreparedRequest, **otherwise: Any
    ) -> requests.Response:
        # Not session.send: it looks where a redirect leads before it hands the answer out, and
        # loses the connection of one that leads nowhere.
        url = prepared.url or ""
        adapter = self.session.get_adapter(url)
        return adapter.send(
            prepared, **{**self._environment(url), **otherwise, **self._limits(call)}
        )

    def _limits(self, call: Call) -> dict[str, Any]:
        connect, answer = call.settings.timeout.connect, call.patience
        return {"timeout": (call.time_left(connect), call.time_left(answer)), "stream": True}

    def _adds_something(self) -> bool:
        """Whether the session adds what only requests' own, slow preparing knows of."""
        session = self.session
        adds = session.params or session.auth or session.hooks["response"]
        return bool(adds) or type(session) not in (Session, requests.Session)

    def _prepare(
        self, call: Call, url: str, headers: Mapping[str, Any]
    ) -> requests.PreparedRequest:
        """The same as requests' prepare_request, from what has been checked before."""
        prepared = requests.PreparedRequest()
        prepared.method = call.method
        prepared.url = url
        sent: CaseInsensitiveDict[Any] = CaseInsensitiveDict()
        for name, value in headers.items():
            # None is how a session says that it does not send what it would.
            if value is not None:
                check_header_validity((name, value))
                sent[name] = value
        if call.content is not None or call.method not in ("GET", "HEAD"):
            sent["Content-Length"] = str(len(call.content or b""))
        prepared.headers = cast(Any, sent)
        prepared.body = call.content
        # requests copies these where it looks at a redirect.
        cast(Any, prepared)._cookies = self.session.cookies
        return prepared

    def _environment(self, url: str) -> dict[str, Any]:
        """Proxies, CA bundle and certificate, which requests would look for at every call."""
        session = self.session
        key = (
            origin(url),
            str(session.verify),
            str(session.cert),
            str(session.proxies),
            session.trust_env,
        )
        known = self._environments.get(key)
        if known is None:
            if len(self._environments) >= _MOST_ENVIRONMENTS:
                self._environments.clear()
            # What somebody has set on the session wins over the environment; requests alone would
            # have it the other way round.
            verify = None if session.verify is True else session.verify
            known = dict(session.merge_environment_settings(url, {}, None, verify, None))
            known["proxies"] = _proxies(url, session.proxies, known["proxies"])
            del known["stream"]
            self._environments[key] = known
        return known


def _proxies(url: str, own: Any, merged: Any) -> dict[str, Any]:
    """What leads to the one proxy of this URL; the session's own wins over the environment's.

    Raises ConfigurationError for what is none, without the password that may be in it.
    """
    proxy = select_proxy(url, own)
    proxy = select_proxy(url, merged) if proxy is None else proxy
    if proxy and not is_proxy(proxy):
        where = without_userinfo(urljoin(url, "/")).rstrip("/")
        raise ConfigurationError(
            f"the proxy for the server at {where} cannot be used: it must look like"
            " http://proxy.example:3128"
        )
    scheme, host, _ = origin(url)
    # The most exact key, which nothing that requests adds comes before.
    return {} if proxy is None else {f"{scheme}://{host}": proxy}


def raw_of(response: requests.Response, call: Call, content: bytes = b"") -> RawResponse:
    """What came, without the request."""
    headers = response.headers
    request_id = headers.get("X-Request-Id") or call.request_id
    return RawResponse(response.status_code, headers, content, request_id)


def _read(response: requests.Response, limit: int, deadline: Deadline) -> bytes:
    """The body, decompressed. Raises DecodeError where it is absurdly long; a refusal is cut."""
    raw = response.raw
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := raw.read1(_READ_SIZE, decode_content=True)):
        pieces.append(piece)
        size += len(piece)
        deadline.note_progress(size)
    if size > limit:
        response.close()
        if limit == MAX_ANSWER_BYTES:
            raise DecodeError(f"the server's answer is longer than {limit} bytes")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _refusal(raw: RawResponse, call: Call) -> APIStatusError:
    if raw.status_code >= 400:
        return errors.error_from(raw)
    where = f"the server at {call.settings.shown_url}"
    target = raw.headers.get("Location")
    sentence = f"{where} answered {raw.status_code}, which is neither a success nor an error"
    if target is not None:
        shown = without_userinfo(target)
        sentence = f"{where} redirects to {shown}; use that as the base URL"
    return APIStatusError(sentence, raw.status_code, raw, request_id=raw.request_id)


def _authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The request with what it has; a password in its URL counts where there is no key."""
    if "Authorization" in request.headers:
        return request
    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user, password)(request) if user else request
