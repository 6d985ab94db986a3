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

from chatserver_sdk.engine import TokenRules
from chatserver_sdk.exceptions import ConfigurationError

MEMORY = ":memory:"
FILE_TYPES = (
    "image/*",
    "audio/*",
    "text/*",
    "application/json",
    "application/pdf",
    "application/msword",
    "application/vnd.*",
    "application/rtf",
)

# A hundred years.
_LONGEST_RETENTION = 36_525


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
    audit_retention_days: int | None = setting(
        None,
        "Entries of the audit log that are older are trimmed; by default none are.",
        between=(1, _LONGEST_RETENTION),
    )
    max_running_turns: int = setting(
        1000, "How many answers may be on their way at once.", between=_WHOLE
    )
    max_running_turns_per_user: int = setting(
        100, "How many of them may be one user's, asked for with a user's key.", between=_WHOLE
    )
    max_turn_seconds: float = setting(
        3600.0, "Seconds after which an answer is ended as too long; 0: never.", between=_SECONDS
    )
    max_message_chars: int = setting(4_000_000, "The longest text of one message.", between=_WHOLE)
    rate_limit_key: str | None = setting(
        None, "How often may be asked with one key: 60/minute, or 5/second; 1000/hour."
    )
    rate_limit_user: str | None = setting(None, "The same for one user.")
    rate_limit_session: str | None = setting(None, "The same for one session.")
    jwt_secret: str | None = setting(
        None, "The secret of tokens that count beside keys (HS256 and its like).", secret=True
    )
    jwt_jwks: str | None = setting(
        None, "The URL or file of the keys that such tokens are signed with (RS256 and its like)."
    )
    jwt_algorithms: tuple[str, ...] = setting(
        (), "The algorithms that are taken; by default HS256 or RS256."
    )
    jwt_audience: str | None = setting(None, "Whom a token must be for (aud).")
    jwt_issuer: str | None = setting(None, "Who must have issued it (iss).")
    jwt_role_claim: str = setting("role", "The claim that names a token's role.")
    jwt_leeway: float = setting(30.0, "Seconds by which clocks may differ.", between=(0, 300))
    on_disconnect: str = setting(
        "continue",
        "What becomes of an answer that nobody reads any more.",
        one_of=("continue", "cancel"),
    )
    disconnect_grace: float = setting(
        5.0, "Seconds in which a reader may come back before it is cancelled.", between=_SECONDS
    )
    most_waiting: int = setting(
        0,
        "How many messages of a session may wait for the answer before; 0: such are refused.",
        between=(0, 1000),
    )
    max_file_bytes: int = setting(10 * 2**20, "The longest file.", between=_WHOLE)
    file_types: tuple[str, ...] = setting(FILE_TYPES, "The types of files that are taken.")
    max_session_files: int = setting(100, "How many files a session holds.", between=_WHOLE)

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
        # What does not fit is said now, and not to the first caller.
        self._check_rates()
        self.token_rules

    def _check_tls(self) -> None:
        if self.tls_cert is None and (self.tls_key or self.tls_key_password_file):
            raise ConfigurationError("tls_key is set and tls_cert is not; give both or neither")
        if self.require_tls and self.tls_cert is None and not self.trusted_proxies:
            raise ConfigurationError(
                "require_tls is set, and there is neither a certificate (tls_cert) nor a proxy"
                " that has one (trusted_proxies)"
            )

    def _check_rates(self) -> None:
        if self.rate_limits == (None, None, None):
            return
        from chatserver_sdk.engine.limits import RateLimits

        RateLimits(*self.rate_limits)

    @property
    def rate_limits(self) -> tuple[str | None, str | None, str | None]:
        """How often may be asked per key, user and session."""
        return self.rate_limit_key, self.rate_limit_user, self.rate_limit_session

    @property
    def token_rules(self) -> TokenRules | None:
        """Which tokens count; None: none do. Raises ConfigurationError."""
        sources = (self.jwt_secret, self.jwt_jwks)
        if (*sources, self.jwt_audience, self.jwt_issuer) == (None,) * 4:
            if not self.jwt_algorithms:
                return None
        return TokenRules(
            *sources,
            tuple(self.jwt_algorithms),
            self.jwt_audience,
            self.jwt_issuer,
            self.jwt_role_claim,
            self.jwt_leeway,
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
    if value is None:
        return
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
