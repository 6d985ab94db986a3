"""No refusal repeats what the caller sent: a secret in any field stays the caller's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from server_wire import COMPLETIONS, PLATFORM, SESSIONS, Api

SECRET = "csk_secret/of the caller"
ADMIN = {"workos_id": "user_02", "email": "secret@example.com", "name": "x"}
QUERIES = {
    SESSIONS: ("page", "page_size"),
    f"{PLATFORM}/audit": ("limit", "offset", "since", "until", "cursor"),
}
QUESTION: dict[str, Any] = {
    "model": "echo",
    "messages": [{"role": "user", "content": "x"}],
    "temperature": 1,
    "max_tokens": 5,
    "top_p": 1,
    "n": 1,
    "stream": False,
    "user": "ada",
    "metadata": {},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "stop": ["x"],
    "seed": 1,
    "response_format": {"type": "text"},
    "logit_bias": {"1": 1},
    "parallel_tool_calls": True,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
BAD: list[Any] = [SECRET, [SECRET], {SECRET: SECRET}, {"type": SECRET}, [{"role": SECRET}], -1e300]


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests with something wrong in one field."""
    for good, path in ((QUESTION, COMPLETIONS), (ADMIN, f"{PLATFORM}/admins")):
        for name in good:
            for bad in BAD:
                yield path, {**good, name: bad}
    for name in ("role", "content", "name", "tool_call_id", "tool_calls"):
        for bad in BAD:
            message = {"role": "user", "content": "x", name: bad}
            yield COMPLETIONS, {**QUESTION, "messages": [message]}


def test_bodies(api: Api) -> None:
    """In every field of every body, as a value, in a list, as a key."""
    refused = 0
    for path, body in bodies():
        answer = api.call("POST", path, json=body)
        if answer.status_code in (400, 422):
            refused += 1
            assert "csk_secret" not in answer.text, json.dumps(body)
    assert refused > 60


@pytest.mark.parametrize(("path", "names"), QUERIES.items())
def test_queries(api: Api, path: str, names: tuple[str, ...]) -> None:
    """In every parameter of every list."""
    for name in names:
        answer = api.get(path, **{"user_id": "ada", name: SECRET})
        assert answer.status_code in (400, 422) and "csk_secret" not in answer.text
        assert name in answer.text


@pytest.mark.parametrize("path", [COMPLETIONS, f"{PLATFORM}/admins"])
@pytest.mark.parametrize("body", [SECRET, f'{{"model": {SECRET}', f'"{SECRET}"', f"['{SECRET}']"])
def test_what_is_no_json(api: Api, path: str, body: str) -> None:
    """Where it breaks off is told, what stands there is not."""
    answer = api.post(body.encode(), path, **{"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and "csk_secret" not in answer.text
