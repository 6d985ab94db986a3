"""RetryPolicy: how often, and after how long, a call is sent again; and which calls may be.

The last question is a table. A request that a server may have begun to work on is sent again only
where that cannot do the work twice.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, fields
from enum import Enum

from chatserver_sdk.exceptions import APIStatusError, ChatServerError, ConfigurationError


class Ending(Enum):
    """How an attempt ended that brought no success."""

    UNSENT = "no connection was made, so nobody has seen the request"
    STALE = "a kept connection was dead before any byte of an answer"
    LOST = "the request was sent, and the connection lost before the answer"
    REFUSED = "the server answered with a status of 400 or more"
    FINAL = "what will not get better: a limit of the caller's own, an answer that is no HTTP"


# Whether it may be sent again: (GET, DELETE; POST to our server, which knows its key again;
# POST to any other).
_ENDINGS: dict[Ending, tuple[bool, bool, bool]] = {
    Ending.UNSENT: (True, True, True),
    Ending.STALE: (True, True, True),
    Ending.LOST: (True, True, False),
    Ending.FINAL: (False, False, False),
}
_STATUSES: dict[int, tuple[bool, bool, bool]] = {
    408: (True, True, True),
    429: (True, True, True),
    503: (True, True, True),
    501: (False, False, False),
    505: (False, False, False),
}
_OTHER_5XX = (True, True, False)
_IN_PROGRESS = (False, True, False)
_NEVER = (False, False, False)

# RFC 9110 9.2.2: done twice they do no more than done once.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


def may_send_again(
    method: str, ending: Ending, error: ChatServerError, *, is_ours: bool, has_key: bool
) -> bool:
    """Whether sending the request again cannot do its work twice.

    is_ours: the server is a chat server of ours. has_key: the request carries an Idempotency-Key.
    """
    row = _ENDINGS[ending] if ending is not Ending.REFUSED else _row_of(error)
    if method in _IDEMPOTENT:
        return row[0]
    return row[1] if is_ours and has_key else row[2]


def _row_of(error: ChatServerError) -> tuple[bool, bool, bool]:
    status = error.status_code or 0
    if status == 409:
        in_progress = getattr(error, "code", None) == "idempotency_in_progress"
        return _IN_PROGRESS if in_progress else _NEVER
    return _STATUSES.get(status, _OTHER_5XX if 500 <= status < 600 else _NEVER)


@dataclass(frozen=True)
class RetryPolicy:
    """How a call that failed is sent again; which failures count is not a matter of choice.

    max_retries: how often, beside the first time. backoff: seconds before the first of them,
    doubled each time up to max_backoff, of which a random half is left out. max_retry_after: how
    long a server may ask us to wait; where it asks for more, the call fails at once.

    Raises ConfigurationError for what is no number of times or of seconds.
    """

    max_retries: int = 2
    backoff: float = 0.5
    max_backoff: float = 8.0
    max_retry_after: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int,) if field.name == "max_retries" else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
                raise ConfigurationError(f"{field.name} must be a number from 0 on, not {value!r}")

    @classmethod
    def of(cls, given: int | RetryPolicy) -> RetryPolicy:
        """The policy that a mere number stands for."""
        return given if isinstance(given, RetryPolicy) else cls(given)

    def pause(self, retry: int, error: ChatServerError) -> float | None:
        """Seconds to wait before retry number `retry`, from 0; None for no more of them.

        An error that ends the retries because the server asks for too long a wait says so.
        """
        if retry >= self.max_retries:
            return None
        asked = getattr(error, "retry_after", None)
        if asked is None:
            longest = min(self.max_backoff, self.backoff * 2.0 ** min(retry, 64))
            return longest * random.uniform(0.5, 1.0)
        if asked <= self.max_retry_after:
            return float(asked)
        assert isinstance(error, APIStatusError)
        error.message += (
            f" (not tried again: the server asks to wait {asked:g} s, and the longest wait"
            f" is {self.max_retry_after:g} s)"
        )
        return None
