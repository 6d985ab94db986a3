"""Rate limits: what is counted, for how long, and in how much room."""

from __future__ import annotations

import time

import pytest
from limits import parse
from limits.strategies import FixedWindowRateLimiter

from chatserver_sdk.engine import RateLimited
from chatserver_sdk.engine.limits import Counts, RateLimits, parse_limits
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.server import Settings


def test_each_kind_by_itself() -> None:
    """Keys, users and sessions are counted apart, and so is each of them."""
    limits = RateLimits("3/minute", "2/minute", "1/minute")
    for key in ("a", "b"):
        for _ in range(3):
            limits.check_key(key)
    limits.check_question("ada", "s1")
    limits.check_question("ada", None)
    limits.check_question(None, "s2")
    refused = [("a", None, None), (None, "ada", None), (None, None, "s1"), (None, "eve", "s2")]

    for key, user_id, session_id in refused:
        with pytest.raises(RateLimited) as caught:
            if key:
                limits.check_key(key)
            limits.check_question(user_id, session_id)
        assert caught.value.code == "rate_limited" and 1 <= caught.value.retry_after <= 60
        assert "per 1 minute" in str(caught.value)


def test_no_limits() -> None:
    """What is not set is not counted."""
    limits = RateLimits(None, None, None)
    for _ in range(1000):
        limits.check_key("a")
        limits.check_question("ada", "s")


def test_several_rates() -> None:
    """The first that is reached counts."""
    limits = RateLimits("5/second; 2/hour")
    limits.check_key("a")
    limits.check_key("a")
    with pytest.raises(RateLimited) as caught:
        limits.check_key("a")
    assert 3590 <= caught.value.retry_after <= 3600


def test_a_window_passes() -> None:
    """Behind it everything may be asked again."""
    limiter, item = FixedWindowRateLimiter(Counts()), parse("1/second")
    assert limiter.hit(item, "a") and not limiter.hit(item, "a") and not limiter.test(item, "a")
    end = limiter.get_window_stats(item, "a").reset_time
    while time.time() < end:
        assert limiter.storage.get(item.key_for("a")) in (0, 2)
    assert limiter.test(item, "a") and limiter.hit(item, "a")


def test_made_up_names_take_bounded_room() -> None:
    """Those that were used longest ago are forgotten, and nothing else grows."""
    counts = Counts(most=100)
    for number in range(10_000):
        counts.incr(str(number), 60)
    assert len(counts) == 100 and counts.get("9999") == 1 and counts.get("0") == 0
    counts.clear("9999")
    assert counts.check() and (counts.reset(), len(counts)) == (99, 0)
    assert issubclass(ValueError, counts.base_exceptions)


BAD_RATES = ["", "x", "10", "0/minute", "10/fortnight", "-1/minute", "10/minute; x"]


@pytest.mark.parametrize("text", BAD_RATES)
@pytest.mark.parametrize("name", ["rate_limit_key", "rate_limit_user", "rate_limit_session"])
def test_what_is_no_rate(text: str, name: str) -> None:
    """The setting is named, before the server starts."""
    with pytest.raises(ConfigurationError, match=f"^{name} must be a rate such as"):
        Settings(**{name: text})  # type: ignore[arg-type]


def test_rates_as_people_write_them() -> None:
    """Short and long, one and several."""
    for text in ("60/minute", "60 per minute", "1/2seconds", "5/second;1000/hour"):
        assert parse_limits(text, "x")
    assert parse_limits(None, "x") == ()


@pytest.mark.parametrize(
    "name", ["max_running_turns", "max_running_turns_per_user", "max_message_chars"]
)
def test_bounds_are_positive(name: str) -> None:
    """A server that may do nothing is a mistake."""
    with pytest.raises(ConfigurationError, match=name):
        Settings(**{name: 0})  # type: ignore[arg-type]
