"""How often may be asked: per key, per user, per session. Counted in memory, in bounded room."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence

from limits import RateLimitItem, parse_many
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from chatserver_sdk.exceptions import ConfigurationError

from .errors import RateLimited

# Of each kind. Whoever makes up names beyond that pushes counts out, but not that of the own key.
_MOST_COUNTS = 50_000


class Counts(Storage):
    """Where `limits` counts: a dict without locks or threads, for one event loop.

    Its own MemoryStorage starts a thread every 10 ms, which goes through everything that it
    holds, and holds as much as anybody makes up.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int = _MOST_COUNTS) -> None:
        super().__init__()
        self._most = most
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, in a window that begins with the first count of a key."""
        now = time.time()
        count, until = self._counts.get(key, (0, 0.0))
        if until <= now:
            count, until = 0, now + expiry
        self._counts[key] = count + amount, until
        self._counts.move_to_end(key)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return count + amount

    def get(self, key: str) -> int:
        """The count in the window that is open."""
        count, until = self._counts.get(key, (0, 0.0))
        return count if until > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When the window closes, in seconds since 1970."""
        return self._counts.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        """Forget everything; how much there was."""
        count = len(self._counts)
        self._counts.clear()
        return count

    def clear(self, key: str) -> None:
        self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)


def parse_limits(text: str | None, param: str) -> Sequence[RateLimitItem]:
    """What a setting such as `60/minute` or `5/second; 1000/hour` says.

    Raises ConfigurationError.
    """
    if text is None:
        return ()
    try:
        items = parse_many(text)
    except ValueError:
        items = []
    if not items or any(item.amount < 1 for item in items):
        raise ConfigurationError(
            f"{param} must be a rate such as 60/minute, or several: 5/second; 1000/hour"
        )
    return items


class RateLimit:
    """One kind of limit. what: for the sentence of the refusal."""

    def __init__(self, items: Sequence[RateLimitItem], what: str) -> None:
        self._items = items
        self._what = what
        self._limiter = FixedWindowRateLimiter(Counts())

    def hit(self, name: str) -> None:
        """Count one more. Raises RateLimited where that is too much."""
        for item in self._items:
            if not self._limiter.hit(item, name):
                reset = self._limiter.get_window_stats(item, name).reset_time
                raise RateLimited(
                    f"too many requests {self._what}: {item} are allowed",
                    "rate_limited",
                    retry_after=max(1, math.ceil(reset - time.time())),
                )


class RateLimits:
    """The limits of one server; what is None has none. Texts as of parse_limits()."""

    def __init__(
        self, key: str | None = None, user: str | None = None, session: str | None = None
    ) -> None:
        self._key = RateLimit(parse_limits(key, "rate_limit_key"), "with this key")
        self._user = RateLimit(parse_limits(user, "rate_limit_user"), "of this user")
        self._session = RateLimit(parse_limits(session, "rate_limit_session"), "in this session")

    def check_key(self, name: str) -> None:
        """A request came with a key. Raises RateLimited."""
        self._key.hit(name)

    def check_question(self, user_id: str | None, session_id: str | None) -> None:
        """A question is asked in a user's name, in a session. Raises RateLimited."""
        if user_id is not None:
            self._user.hit(user_id)
        if session_id is not None:
            self._session.hit(session_id)
