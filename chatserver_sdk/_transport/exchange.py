"""Exchange: one attempt at a call; a request goes out, an answer comes back."""

from __future__ import annotations

import time
from typing import Any, cast
from urllib.parse import urljoin

import requests
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity

from chatserver_sdk._wire import errors
from chatserver_sdk.exceptions import APIStatusError, ChatServerError, DecodeError
from chatserver_sdk.raw import RawResponse

from .addresses import origin, without_userinfo
from .call import Call, Failure
from .connections import Attempt, Session, begin_attempt
from .deadline import Deadline
from .failures import FOREIGN, broken_body, failure_of, out_of_time
from .retries import Ending

# No answer that is read in one piece may fill the memory.
MAX_ANSWER_BYTES = 128 * 2**20
_LONGEST_REFUSAL = 2**20
_READ_SIZE = 2**20
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
        attempt = begin_attempt()
        with Deadline(call.due, attempt) as deadline:
            result = self._attempt(call, attempt, deadline)
        if not deadline.has_passed:
            return result
        if isinstance(result, requests.Response):  # pragma: no cover - it came that very moment
            result.close()
        error = out_of_time(call)
        error.__cause__ = result.error.__cause__ if isinstance(result, Failure) else None
        return Failure(error, Ending.FINAL)

    def _attempt(
        self, call: Call, attempt: Attempt, deadline: Deadline
    ) -> requests.Response | RawResponse | Failure:
        try:
            response = self._follow(call)
        except ChatServerError as exc:
            return Failure(exc, Ending.FINAL)
        except FOREIGN as exc:
            return failure_of(exc, call, attempt)
        deadline.note_response(response)
        is_success = response.status_code < 300
        if is_success and call.is_stream:
            return response
        try:
            limit = MAX_ANSWER_BYTES if is_success else _LONGEST_REFUSAL
            raw = raw_of(response, call, _read(response, limit))
        except DecodeError as exc:
            return Failure(exc, Ending.FINAL)
        except FOREIGN as exc:
            response.close()
            return broken_body(exc, call)
        return raw if is_success else Failure(_refusal(raw, call), Ending.REFUSED)

    def _follow(self, call: Call) -> requests.Response:
        """The last answer of a chain of redirects. Raises what requests does."""
        url = call.url
        for _ in range(_MOST_REDIRECTS):
            response = self._send(call, url)
            # A redirected POST would arrive as a GET without its body; what a DELETE would delete
            # elsewhere nobody has asked for.
            if call.method != "GET" or not response.is_redirect:
                return response
            response.close()
            url = _wire_form(urljoin(url, self.session.get_redirect_target(response) or ""))
        raise requests.TooManyRedirects()

    def _send(self, call: Call, url: str) -> requests.Response:
        key = call.settings.key
        headers = call.headers
        if url is not call.url and origin(url) != origin(call.url):
            # Another server gets neither the key nor what the caller added.
            headers, key = {"Accept": headers["Accept"]}, None
        elif key is not None:
            headers = {"Authorization": key.header(), **headers}
        limits = (call.time_left(call.settings.timeout.connect), call.time_left(call.patience))
        options: dict[str, Any] = {"timeout": limits, "stream": True}
        if self._adds_something() or (key is None and "@" in url):
            return self.session.request(
                call.method,
                url,
                data=call.content,
                headers=headers,
                # Without one, requests lets ~/.netrc replace the header.
                auth=None if key is None else _as_it_is,
                allow_redirects=False,
                **options,
            )
        # Not session.send: it looks where a redirect leads before it hands the answer out, and
        # loses the connection of one that leads nowhere.
        prepared = self._prepare(call, url, headers)
        adapter = self.session.get_adapter(url)
        response = adapter.send(prepared, **self._environment(url), **options)
        if "Set-Cookie" in response.headers:
            jar: Any = extract_cookies_to_jar
            jar(self.session.cookies, prepared, response.raw)
        return response

    def _adds_something(self) -> bool:
        """Whether the session adds what only requests' own, slow preparing knows of."""
        session = self.session
        adds = session.params or session.auth or session.cookies or session.hooks["response"]
        return bool(adds) or type(session) not in (Session, requests.Session)

    def _prepare(self, call: Call, url: str, headers: dict[str, str]) -> requests.PreparedRequest:
        """The same as requests' prepare_request, from what has been checked before."""
        prepared = requests.PreparedRequest()
        prepared.method = call.method
        prepared.url = url
        for name, value in self.session.headers.items():
            check_header_validity((name, str(value)))
        sent = CaseInsensitiveDict(self.session.headers)
        sent.update(headers)
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
            del known["stream"]
            self._environments[key] = known
        return known


def raw_of(response: requests.Response, call: Call, content: bytes = b"") -> RawResponse:
    """What came, without the request."""
    headers = response.headers
    request_id = headers.get("X-Request-Id") or call.request_id
    return RawResponse(response.status_code, headers, content, request_id)


def _read(response: requests.Response, limit: int) -> bytes:
    """The body, decompressed. Raises DecodeError where it is absurdly long; a refusal is cut."""
    raw = response.raw
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := raw.read(_READ_SIZE, decode_content=True)):
        pieces.append(piece)
        size += len(piece)
    if size > limit:
        response.close()
        if limit == MAX_ANSWER_BYTES:
            raise DecodeError(f"the server's answer is longer than {limit} bytes")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _refusal(raw: RawResponse, call: Call) -> APIStatusError:
    if raw.status_code >= 400:
        return errors.error_from(raw)
    target = without_userinfo(raw.headers.get("Location", "elsewhere"))
    sentence = f"redirects to {target}; use that as the base URL"
    return APIStatusError(
        f"the server at {call.settings.shown_url} {sentence}",
        raw.status_code,
        raw,
        request_id=raw.request_id,
    )


def _wire_form(url: str) -> str:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared.url or url


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
