"""What an operator may decide, in one class. A field is one line: its default and what it is.

Where the values come from (a file, the environment, flags) is configuration.py's business.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from platformdirs import user_data_path

from chatserver_sdk.exceptions import ConfigurationError

MEMORY = ":memory:"


def setting(
    default: Any,
    about: str,
    *,
    between: tuple[float, float] | None = None,
    one_of: tuple[str, ...] = (),
    secret: bool = False,
    private: bool = False,
    flag: str | None = None,
) -> Any:
    """A field of Settings.

    about: a sentence for the table and for --help. between: the least and the greatest number.
    secret: it has no flag, which others could see in the list of processes, and is never shown.
    private: it may hold a password and is not shown either.
    flag: its flag's name where that is not the field's.
    """
    metadata = {
        "about": about,
        "between": between,
        "one_of": one_of,
        "secret": secret,
        "private": secret or private,
        "flag": flag,
    }
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, repr=not metadata["private"], metadata=metadata)


_WHOLE = (1, 2**31 - 1)
_SECONDS = (0, 86_400)
_AN_HOUR = (0.001, 3_600)


@dataclass(frozen=True)
class Settings:
    """An operator's decisions; `chatserver serve --help` says what each of them means.

    Raises ConfigurationError for what cannot be.
    """

    host: str = setting("127.0.0.1", "Where to listen.")
    port: int = setting(3284, "The port; 0 takes a free one.", between=(0, 65535))
    db: str | None = setting(
        None,
        "The store: PATH, postgresql://USER:PASSWORD@HOST/NAME or :memory:; by default a file in"
        " your data directory.",
        private=True,
    )
    dev: bool = setting(False, "Take any key as the administrator's; loopback only.")
    aliases: Mapping[str, str] = setting({}, "Further names for agents: NAME=AGENT.", flag="alias")
    bootstrap_key: str | None = setting(
        None, "The first administrator's key, instead of a random one.", secret=True
    )
    max_body_bytes: int = setting(16 * 2**20, "The longest request that is read.", between=_WHOLE)
    max_head_bytes: int = setting(
        64 * 1024, "The longest head of a request that is read.", between=(1024, 2**24)
    )
    head_timeout: float = setting(
        20.0, "Seconds in which the head of a request must be here.", between=_AN_HOUR
    )
    body_timeout: float = setting(
        30.0,
        "Seconds in which a request's body must be here; every 10 kB of it give one more.",
        between=_AN_HOUR,
    )
    keep_alive: float = setting(
        75.0, "Seconds for which a connection without a request is kept.", between=_AN_HOUR
    )
    resume_window: float = setting(
        60.0,
        "Seconds in which readers of an answer that is nobody's history may come back.",
        between=_SECONDS,
    )
    grace: float = setting(
        5.0, "Seconds that running answers are given when the server stops.", between=_SECONDS
    )
    log_level: str = setting(
        "warning",
        "What is logged; info has a line for each request.",
        one_of=("debug", "info", "warning", "error"),
    )
    log_format: str = setting("text", "How it is logged.", one_of=("text", "json"))
    metrics_public: bool = setting(
        False, "Give /metrics to everybody; else it needs an administrator's key."
    )
    tls_cert: str | None = setting(None, "The file of the certificate (PEM, with its chain).")
    tls_key: str | None = setting(
        None, "The file of the certificate's key, where it is not in the same file."
    )
    tls_key_password_file: str | None = setting(
        None, "The file of the password that opens the key."
    )
    require_tls: bool = setting(False, "Never speak plain HTTP, but for /health.")
    trusted_proxies: tuple[str, ...] = setting(
        (), "Addresses or networks of proxies whose X-Forwarded-Proto and -For are believed."
    )
    cors_origins: tuple[str, ...] = setting(
        (), "Origins whose pages may call this server from a browser; * is all."
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            _check_bounds(each.name, getattr(self, each.name), each.metadata)
        if self.dev and not is_loopback(self.host):
            raise ConfigurationError(
                f"development mode takes any key, so it listens on loopback only, not on"
                f" {self.host}"
            )
        key = self.bootstrap_key
        if key is not None and (not key.isascii() or not key.isprintable() or " " in key):
            raise ConfigurationError(
                "CHATSERVER_BOOTSTRAP_KEY must be printable ASCII text without blanks"
            )
        self._check_tls()
        for origin in self.cors_origins:
            _check_origin(origin)
        for proxy in self.trusted_proxies:
            _check_network(proxy)

    def _check_tls(self) -> None:
        if self.tls_cert is None and (self.tls_key or self.tls_key_password_file):
            raise ConfigurationError("tls_key is set and tls_cert is not; give both or neither")
        if self.require_tls and self.tls_cert is None and not self.trusted_proxies:
            raise ConfigurationError(
                "require_tls is set, and there is neither a certificate (tls_cert) nor a proxy"
                " that has one (trusted_proxies)"
            )

    @property
    def database(self) -> str:
        """Where the store is."""
        if self.db is not None:
            return self.db
        # A development server's history and rights do not mix with those that count.
        name = "chatserver-dev.db" if self.dev else "chatserver.db"
        return str(data_directory() / name)


def _check_bounds(name: str, value: Any, rules: Mapping[str, Any] = MappingProxyType({})) -> None:
    between, one_of = rules.get("between"), rules.get("one_of")
    if between and not (math.isfinite(value) and between[0] <= value <= between[1]):
        low, high = between
        raise ConfigurationError(f"{name}: {value} is not in the range {low:,} to {high:,}")
    if one_of and value not in one_of:
        raise ConfigurationError(f"{name}: {value!r} must be one of {', '.join(one_of)}")


def _check_origin(origin: str) -> None:
    try:
        parts = urlsplit(origin)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_good = is_good and origin == f"{parts.scheme}://{parts.netloc}" and "@" not in origin
    except ValueError:
        is_good = False
    if origin != "*" and not is_good:
        raise ConfigurationError(
            f"cors_origins: {origin!r} must look like https://example.com or be *"
        )


def _check_network(address: str) -> None:
    try:
        ipaddress.ip_network(address)
    except ValueError:
        raise ConfigurationError(
            f"trusted_proxies: {address!r} must be an address or a network, such as 10.0.0.0/8"
        ) from None


def data_directory() -> Path:
    """Where this user's data belongs on this system."""
    return user_data_path("chatserver", appauthor=False)


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine, seen from itself."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
