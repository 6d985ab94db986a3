"""The client's log: what was tried, how it ended, how long it took; never what was sent or said."""

from __future__ import annotations

import logging
import os
import threading

from chatserver_sdk.exceptions import ChatServerError, ConfigurationError

# Without a handler: one that does nothing would silence what a server in the same process says on
# Python's last resort, and nothing here is said above info.
log = logging.getLogger("chatserver_sdk")

_VARIABLE = "CHATSERVER_LOG"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_lock = threading.Lock()
_is_set_up = False


def set_up() -> None:
    """Write the log to stderr if CHATSERVER_LOG asks for it; what it says is looked at once.

    Raises ConfigurationError where it says what is no level.
    """
    global _is_set_up
    with _lock:
        if _is_set_up:
            return
        asked = os.environ.get(_VARIABLE, "").strip().lower()
        if asked and asked not in _LEVELS:
            raise ConfigurationError(f"{_VARIABLE} must be debug, info or warning, or not be set")
        _is_set_up = True
        if asked:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter(_FORMAT))
            log.addHandler(handler)
            log.setLevel(_LEVELS[asked])


def named(error: ChatServerError) -> str:
    """The error's class and status. Not its own words: they may quote what was sent."""
    status = error.status_code
    return kind(error) if status is None else f"{kind(error)} {status}"


def kind(error: BaseException) -> str:
    """The class that a caller would catch; those made of two have no name of their own."""
    names = (cls.__name__ for cls in type(error).__mro__)
    return next(name for name in names if not name.startswith("_"))
