"""Cursors: what goes in comes out, for the same list only, and nothing else is taken."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk.engine import InvalidRequest
from chatserver_sdk.engine.cursors import decode_cursor, encode_cursor

FILTERS = {"user_id": "ada", "since": None}
KINDS = (int, str)


def wrapped(content: Any) -> str:
    """A cursor with a content of somebody's own."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def mark() -> str:
    """What a cursor of the list begins with."""
    cursor = encode_cursor("l", FILTERS, [])
    found: str = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0]
    return found


@given(st.integers(0, 2**47), st.text("0123456789abcdef-", max_size=36))
def test_what_goes_in_comes_out(number: int, text: str) -> None:
    """Whatever the key; and it can stand in a URL as it is."""
    cursor = encode_cursor("l", FILTERS, [number, text])

    assert decode_cursor("l", FILTERS, cursor, KINDS) == [number, text]
    assert cursor.replace("-", "").replace("_", "").isalnum() and len(cursor) < 200


def test_the_empty_one_is_the_beginning() -> None:
    """It is a cursor of every list."""
    assert decode_cursor("l", FILTERS, "", KINDS) is None


@pytest.mark.parametrize(
    ("name", "filters"), [("m", FILTERS), ("l", {}), ("l", {**FILTERS, "user_id": "bob"})]
)
def test_it_belongs_to_its_list(name: str, filters: dict[str, Any]) -> None:
    """Another list, or the same one filtered otherwise, does not take it."""
    cursor = encode_cursor("l", FILTERS, [1, "a"])

    with pytest.raises(InvalidRequest) as caught:
        decode_cursor(name, filters, cursor, KINDS)

    assert (caught.value.param, caught.value.code) == ("cursor", "invalid_cursor")


def test_it_says_nothing() -> None:
    """Neither the user nor the filter can be read from it."""
    cursor = encode_cursor("l", {"user_id": "a-secret-name"}, [1])

    assert b"secret" not in base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


BAD = ["x", "=", "ü", "\0", " ", "a" * 100_000, "[" * 400, wrapped(None), wrapped(7), wrapped([])]
BAD += [wrapped("x"), wrapped({}), wrapped([mark()]), wrapped([mark(), 1]), wrapped([None, 1, "a"])]
BAD += [
    wrapped([mark(), *key]) for key in (["1", "a"], [1, 2], [1.0, "a"], [True, "a"], [None, ""])
]
BAD += [wrapped([mark(), *key]) for key in ([-1, "a"], [10**18, "a"], [10**400, "a"])]
BAD += [wrapped([mark(), *key]) for key in ([1, "\ud800"], [1, "ü"], [1, "x" * 65], [1, "a", 2])]
BAD += ["+/" + wrapped([mark(), 1, "a"]), wrapped([mark(), 1, "a"]) + "!"]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_what_is_no_cursor(bad: str) -> None:
    """It is refused with the parameter's name, whatever it is made of."""
    with pytest.raises(InvalidRequest) as caught:
        decode_cursor("l", FILTERS, bad, KINDS)

    assert caught.value.param == "cursor" and len(str(caught.value)) < 100


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """No text does anything but to be refused, or to be the empty one."""
    try:
        assert decode_cursor("l", FILTERS, text, KINDS) is None and text == ""
    except InvalidRequest:
        assert text != ""
