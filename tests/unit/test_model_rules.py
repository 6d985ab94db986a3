"""The rules beside the fields hold at the server's door, where pydantic reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from chatserver_sdk.models import AdminRequest, ChatCompletionRequest, MessageRole

REQUESTS = TypeAdapter(ChatCompletionRequest)
GOOD = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def places(raw: dict[str, Any]) -> set[str]:
    """The fields that are refused, each as far as it can be named without a union's branches."""
    with pytest.raises(ValidationError) as caught:
        REQUESTS.validate_python(raw)
    return {".".join(map(str, problem["loc"][:3])) for problem in caught.value.errors()}


@pytest.mark.parametrize("role", list(MessageRole))
def test_every_known_role_is_taken(role: MessageRole) -> None:
    """As its text or as the member itself; what comes out is the member."""
    for given in (role, role.value):
        request = REQUESTS.validate_python({**GOOD, "messages": [{"role": given, "content": "x"}]})
        assert request.messages[0].role is role


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [("temperature", 0, 2), ("top_p", 0, 1), ("max_tokens", 1, 10_000_000)],
)
def test_both_ends_of_a_range_are_inside(field: str, low: int, high: int) -> None:
    """A range holds its ends, what lies beside them is refused, and null is no value."""
    for value in (low, high, None):
        assert getattr(REQUESTS.validate_python({**GOOD, field: value}), field) == value
    for value in (low - 1, high + 1):
        assert places({**GOOD, field: value}) == {field}


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        ({**GOOD, "model": ""}, "model"),
        ({**GOOD, "model": "m" * 257}, "model"),
        ({**GOOD, "messages": []}, "messages"),
        ({**GOOD, "messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({**GOOD, "messages": [{"role": "user", "name": "", "content": ""}]}, "messages.0.name"),
        ({**GOOD, "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({**GOOD, "user": ""}, "user"),
    ],
)
def test_what_is_refused_is_named(raw: dict[str, Any], refused: str) -> None:
    """The refusal names the field, which the client gives to its caller as `param`."""
    assert places(raw) == {refused}


def test_lengths_hold_on_other_models_too() -> None:
    """The rule belongs to the field, wherever the model is used."""
    admins = TypeAdapter(AdminRequest)
    assert admins.validate_python({"workos_id": "w", "email": "a@b"}).name is None
    with pytest.raises(ValidationError):
        admins.validate_python({"workos_id": "w", "email": "ab"})
