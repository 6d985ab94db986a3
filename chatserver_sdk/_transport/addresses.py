"""Addresses: base URLs, segments of paths, what of them may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import requests
from requests.utils import prepend_scheme_if_needed, requote_uri
from urllib3.util import parse_url

from chatserver_sdk.exceptions import BadRequestError, ConfigurationError


class _DefaultText(str):
    """A text that remembers that nobody chose it."""


DEFAULT_BASE_URL: str = _DefaultText("http://localhost:3284")


def normalize_base_url(base_url: str) -> str:
    """The URL without a trailing `/` or `/v1`. Raises ConfigurationError."""
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url must be a string, not {type(base_url).__name__}")
    url = base_url.strip()
    if not _is_base_url(url):
        raise ConfigurationError(
            f"base_url must look like http://localhost:3284, not {without_userinfo(url)!r}"
        )
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def wire_form(url: str) -> str:
    """The URL as requests sends it."""
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared.url or url


def path_segment(text: str, name: str) -> str:
    """A text quoted for a path. Raises BadRequestError for one that no path can hold."""
    if not text or text in (".", ".."):
        raise BadRequestError(f"{name} must not be empty, '.' or '..'", param=name)
    return quote(text, safe="")


def path_of(path: str) -> str:
    """A caller's own path, quoted where it has to be. Raises BadRequestError."""
    if not isinstance(path, str) or not path.startswith("/") or not path.isprintable():
        raise BadRequestError("path must be a text that begins with '/'", param="path")
    # As it is sent: a dot that was quoted is not quoted any more.
    sent = requote_uri(path)
    steps = sent.partition("?")[0].split("/")
    if "#" in path or any(step in (".", "..") for step in steps):
        raise BadRequestError("path must hold no '#', and no '.' or '..' as a step", param="path")
    return sent


def with_query(url: str, *queries: Mapping[str, Any] | None) -> str:
    """The URL with these parameters; those that are None are left out, a list is repeated.

    Raises BadRequestError for what is no query.
    """
    for query in queries:
        if query is not None and not isinstance(query, Mapping):
            raise BadRequestError("query must be a dict", param="query")
    merged = {key: value for query in queries for key, value in (query or {}).items()}
    shown = {key: _query_value(value) for key, value in merged.items() if value is not None}
    if not shown:
        return url
    try:
        return f"{url}{'&' if '?' in url else '?'}{urlencode(shown, doseq=True)}"
    except UnicodeEncodeError as exc:
        raise BadRequestError("the query holds what UTF-8 cannot write", param="query") from exc


def without_userinfo(url: str) -> str:
    """The URL without a password that somebody wrote into it."""
    return re.sub(r"^([\w+.-]*://)?[^/?#]*@", r"\1", url)


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port. Raises ValueError for what is no URL."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def is_proxy(proxy: Any) -> bool:
    """Whether the URL, with or without its scheme, leads to a host."""
    whole: Any = prepend_scheme_if_needed
    try:
        return bool(parse_url(whole(proxy, "http")).host)
    except (ValueError, TypeError, AttributeError):
        return False


def _query_value(value: Any) -> Any:
    # As JSON and every server write it; str() would say True.
    return str(value).lower() if isinstance(value, bool) else value


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
