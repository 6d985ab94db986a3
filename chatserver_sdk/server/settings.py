"""What an operator may decide, in one class."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

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


@dataclass(frozen=True)
class Settings:
    """host, port: where to listen (port 0: a free one). db: a file's path, `sqlite:///PATH` or
    `:memory:`; None is a file in the user's data directory. dev: any key is the administrator's
    (loopback only). aliases: further names for agents. bootstrap_key: the first administrator's
    key, instead of a random one. max_body_bytes: the longest request that is read.
    resume_window: seconds in which the readers of an answer that is nobody's history may come
    back; then it is stopped and forgotten. Answers with a history can be read again any time.
    grace: seconds that running answers are given when the server stops. on_disconnect: what
    becomes of an answer that nobody reads any more, "continue" or "cancel"; requests may say
    otherwise. disconnect_grace: seconds in which a reader may come back before it is cancelled.
    most_waiting: how many messages of a session may wait while an answer is given there; 0: such
    a message is refused. max_file_bytes, file_types, max_session_files: which files a session
    takes (patterns such as `image/*`), and how many.

    Raises ConfigurationError for what cannot be.
    """

    host: str = "127.0.0.1"
    port: int = 3284
    db: str | None = None
    dev: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    bootstrap_key: str | None = field(default=None, repr=False)
    max_body_bytes: int = 16 * 2**20
    resume_window: float = 60.0
    grace: float = 5.0
    on_disconnect: str = "continue"
    disconnect_grace: float = 5.0
    most_waiting: int = 0
    max_file_bytes: int = 10 * 2**20
    file_types: Sequence[str] = FILE_TYPES
    max_session_files: int = 100

    def __post_init__(self) -> None:
        if self.dev and not is_loopback(self.host):
            raise ConfigurationError(
                f"development mode takes any key, so it listens on loopback only, not on"
                f" {self.host}"
            )
        if self.on_disconnect not in ("continue", "cancel"):
            raise ConfigurationError("on_disconnect must be continue or cancel")
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
