"""What an operator may decide, in one class."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

from chatserver_sdk.engine import TokenRules
from chatserver_sdk.exceptions import ConfigurationError

MEMORY = ":memory:"

# A hundred years.
_LONGEST_RETENTION = 36_525


@dataclass(frozen=True)
class Settings:
    """host, port: where to listen (port 0: a free one). db: a file's path, `sqlite:///PATH`,
    `postgresql://USER:PASSWORD@HOST/NAME` or `:memory:`; None is a file in the user's data
    directory. dev: any key is the administrator's (loopback only). aliases: further names for agents. bootstrap_key: the first administrator's
    key, instead of a random one. max_body_bytes: the longest request that is read.
    resume_window: seconds in which the readers of an answer that is nobody's history may come
    back; then it is stopped and forgotten. Answers with a history can be read again any time.
    grace: seconds that running answers are given when the server stops.
    audit_retention_days: older entries of the audit log are trimmed; None keeps all.
    max_running_turns: how many answers may be on their way at once. max_message_chars: the longest
    text of one message. rate_limit_key, rate_limit_user, rate_limit_session: how often may be
    asked, such as `60/minute` or `5/second; 1000/hour`; None is without end.
    jwt_*: which tokens of another issuer count beside keys, as of engine.TokenRules.

    Raises ConfigurationError for what cannot be.
    """

    host: str = "127.0.0.1"
    port: int = 3284
    # Its URL may hold a password.
    db: str | None = field(default=None, repr=False)
    dev: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    bootstrap_key: str | None = field(default=None, repr=False)
    max_body_bytes: int = 16 * 2**20
    resume_window: float = 60.0
    grace: float = 5.0
    audit_retention_days: int | None = None
    max_running_turns: int = 1000
    max_message_chars: int = 4_000_000
    rate_limit_key: str | None = None
    rate_limit_user: str | None = None
    rate_limit_session: str | None = None
    jwt_secret: str | None = field(default=None, repr=False)
    jwt_jwks: str | None = None
    jwt_algorithms: Sequence[str] = ()
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    jwt_role_claim: str = "role"
    jwt_leeway: float = 30.0

    def __post_init__(self) -> None:
        if self.dev and not is_loopback(self.host):
            raise ConfigurationError(
                f"development mode takes any key, so it listens on loopback only, not on"
                f" {self.host}"
            )
        days = self.audit_retention_days
        if days is not None and not 1 <= days <= _LONGEST_RETENTION:
            raise ConfigurationError(
                f"audit_retention_days must be 1 to {_LONGEST_RETENTION}, not {days}"
            )
        key = self.bootstrap_key
        if key is not None and (not key.isascii() or not key.isprintable() or " " in key):
            raise ConfigurationError(
                "CHATSERVER_BOOTSTRAP_KEY must be printable ASCII text without blanks"
            )
        if self.max_running_turns < 1 or self.max_message_chars < 1:
            raise ConfigurationError("max_running_turns and max_message_chars must be 1 or more")
        # What does not fit is said now, and not to the first caller.
        self._check_rates()
        self.token_rules

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
