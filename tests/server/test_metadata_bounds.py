"""A session's metadata has a longest length, however it gets there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from server_wire import Api, check_refusal, serving
from session_wire import open_session

from chatserver_sdk.server.routes.session_chat import SESSIONS

# {"a":"..."} around it are eight bytes.
ROOM = 64 * 1024 - 8


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A server."""
    with serving() as api:
        yield api


def refused(answer: Any) -> bool:
    """Whether it was, and in the common shape."""
    if answer.status_code < 400:
        return False
    error = check_refusal(answer, 400)
    assert (error["code"], error["param"]) == ("metadata_too_long", "metadata")
    return True


@pytest.mark.parametrize("letter", ["x", "é"])
def test_sessions_of_their_own(api: Api, letter: str) -> None:
    """So many bytes as JSON and no more; a change that is refused changes nothing."""
    fits = {"a": letter * (ROOM // len(letter.encode()))}
    long = {"a": fits["a"] + letter}
    opened = {"model": "echo", "user_id": "ada"}
    answers = [
        api.call("POST", SESSIONS, json={**opened, "metadata": each}) for each in (fits, long)
    ]
    assert [refused(answer) for answer in answers] == [False, True]

    path = f"{SESSIONS}/{open_session(api, 'echo')}"
    changes = [api.call("PATCH", path, json={"metadata": each}) for each in (fits, long)]
    assert [refused(answer) for answer in changes] == [False, True]
    assert api.get(path).json()["metadata"] == fits


def test_completions(api: Api) -> None:
    """What is kept of theirs is bounded, one by one and all together."""
    session = {"session_id": "00000000-0000-4000-8000-000000000001"}

    def ask(**metadata: Any) -> Any:
        return api.ask("x", user="ada", metadata={**session, **metadata})

    half = "x" * (ROOM // 2)
    answers = [ask(a="x" * (ROOM + 1)), ask(a=half), ask(b=half + "xx"), ask(a="", b=half), ask()]
    assert [refused(answer) for answer in answers] == [True, False, True, False, False]
    assert len(api.history(session["session_id"])) == 6


def test_what_is_not_kept(api: Api) -> None:
    """Variables, and the metadata of what is nobody's history, are an agent's alone."""
    long = "x" * 100_000
    assert api.ask("x", user="ada", metadata={"variables": {"a": long}}).status_code == 200
    assert api.ask("x", metadata={"a": long}).status_code == 200
