"""What an operator may decide, in one class."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

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
