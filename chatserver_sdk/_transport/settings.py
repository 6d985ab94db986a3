"""Settings: what a client is made with, and what a single call may have otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from chatserver_sdk.exceptions import BadRequestError, ConfigurationError

from .addresses import _DefaultText, normalize_base_url, wire_form, without_userinfo
from .retries import RetryPolicy
from .timeouts import Timeout

if TYPE_CHECKING:
    Key = str | Callable[[], str]


class CallOptions(TypedDict, total=False):
    """What every call takes by name.

    extra_headers, extra_query, extra_body: join what is sent, and win over it. timeout: as of the
    client. max_retries: how often the call may be sent again, or a RetryPolicy.
    """

    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    timeout: float | Timeout | None
    max_retries: int | RetryPolicy


class ApiKey:
    """A key, or a function that knows the one of the moment. Never shown."""

    def __init__(self, source: Key) -> None:
        self._source = source if callable(source) else _checked(source)

    def header(self) -> str:
        """What stands in the Authorization header. Raises ConfigurationError."""
        if isinstance(self._source, str):
            return f"Bearer {self._source}"
        try:
            key = self._source()
        except Exception as exc:
            raise ConfigurationError(
                f"the function given as api_key failed with {type(exc).__name__}"
            ) from exc
        if not (checked := _checked(key)):
            raise ConfigurationError("the function given as api_key gave an empty key")
        return f"Bearer {checked}"

    def __repr__(self) -> str:
        return "<API key>"


@dataclass(frozen=True)
class Settings:
    """Where to send, as whom, how long to wait, how often to try.

    wire_url: the base URL as it is sent, hosts of other scripts encoded.
    """

    base_url: str
    wire_url: str = field(repr=False)
    key: ApiKey | None
    timeout: Timeout
    retries: RetryPolicy
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        base_url: str,
        api_key: Key | None,
        timeout: float | Timeout | None,
        max_retries: int | RetryPolicy,
    ) -> Settings:
        """Settings from a constructor's arguments and, where those are silent, the environment."""
        if isinstance(base_url, _DefaultText):
            base_url = os.environ.get("CHATSERVER_BASE_URL") or base_url
        if api_key is None:
            api_key = os.environ.get("CHATSERVER_API_KEY")
        url = normalize_base_url(base_url)
        return cls(
            url,
            wire_form(url).rstrip("/"),
            ApiKey(api_key) if api_key else None,
            Timeout.of(timeout),
            RetryPolicy.of(max_retries),
        )

    @property
    def shown_url(self) -> str:
        """The base URL without a password."""
        return without_userinfo(self.base_url)

    def with_options(self, options: CallOptions) -> Settings:
        """The settings with what a call wants otherwise. Raises BadRequestError."""
        changes: dict[str, Any] = {}
        if "timeout" in options:
            changes["timeout"] = Timeout.of(options["timeout"])
        if "max_retries" in options:
            changes["retries"] = RetryPolicy.of(options["max_retries"])
        if extra := options.get("extra_headers"):
            changes["headers"] = {**self.headers, **_headers(extra)}
        if extra := options.get("extra_query"):
            changes["query"] = {**self.query, **_mapping(extra, "extra_query")}
        if extra := options.get("extra_body"):
            changes["body"] = {**self.body, **_mapping(extra, "extra_body")}
        unknown = set(options) - CallOptions.__optional_keys__
        if unknown:
            raise TypeError(f"got an unexpected keyword argument {min(unknown)!r}")
        return replace(self, **changes)


def _checked(key: object) -> str:
    # What a header cannot hold fails here, where the message does not repeat it.
    if not isinstance(key, str) or not key.isascii() or not key.isprintable():
        raise ConfigurationError("api_key must be printable ASCII text, without line ends")
    return key.strip()


def _mapping(extra: object, param: str) -> Mapping[str, Any]:
    if not isinstance(extra, Mapping) or not all(isinstance(key, str) for key in extra):
        raise BadRequestError(f"{param} must be a dict with texts as keys", param=param)
    return extra


def _headers(extra: object) -> Mapping[str, str]:
    headers = _mapping(extra, "extra_headers")
    for name, value in headers.items():
        # The value is not repeated: it may be a secret.
        if not _is_token(name) or not isinstance(value, str) or not _is_field_value(value):
            raise BadRequestError(
                f"extra_headers: {name!r} cannot be sent as a header", param="extra_headers"
            )
    return headers


def _is_token(name: str) -> bool:
    # RFC 9110 5.6.2.
    return (
        bool(name) and name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
    )


def _is_field_value(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()
