"""JSON is read the same by the short way and by the standard library's."""

from __future__ import annotations

from typing import Any

import pytest

from chatserver_sdk import _json


@pytest.mark.parametrize("text", ['{"a": [1]}', '{"a": [1]} \n', ' {"a": [1]}', b' {"a": [1]} '])
def test_blanks_around_a_value(text: Any) -> None:
    """They are no part of it."""
    assert _json.loads(text) == {"a": [1]}


@pytest.mark.parametrize("text", ["{} {}", "{}x", "", " ", "{", b"{}x"])
def test_what_is_more_or_less_than_a_value(text: Any) -> None:
    """It is refused."""
    with pytest.raises(ValueError):
        _json.loads(text)
