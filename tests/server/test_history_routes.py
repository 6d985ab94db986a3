"""/atoms/chat/sessions on the wire: lists, pages, transcripts."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from server_wire import SESSIONS, Api

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SESSION_KEYS = {
    *("id", "user_id", "organization_id", "title", "model", "agent_type"),
    *("created_at", "updated_at", "last_message_at", "message_count"),
    *("tokens_in", "tokens_out", "tokens_total", "metadata", "archived"),
}
MESSAGE_KEYS = {
    *("id", "message_index", "role", "content", "metadata", "tokens", "created_at", "updated_at"),
}


@pytest.fixture
def user() -> str:
    """A user that no other test knows, with characters that need quoting."""
    return f"ü/?&#+ {uuid4()}"


def test_a_session_on_the_wire(api: Api, user: str) -> None:
    """Every field of it, in the list and in the detail."""
    metadata = {"organization_id": "acme", "workflow": "w", "allowed_tools": ["t"], "mine": 1}
    answer = api.ask("two words", user=user, metadata=metadata)
    session_id = answer.headers["X-Session-Id"]

    listed = api.get(SESSIONS, user_id=user).json()
    detail = api.get(f"{SESSIONS}/{session_id}", user_id=user).json()

    session = detail["session"]
    assert listed == {
        "sessions": [session],
        "total": 1,
        "page": 1,
        "page_size": 20,
        "has_more": False,
    }
    assert set(session) == SESSION_KEYS
    times = [session[key] for key in ("created_at", "updated_at", "last_message_at")]
    assert all(TIMESTAMP.fullmatch(time) for time in times)
    assert (session["id"], session["user_id"]) == (session_id, user)
    assert (session["organization_id"], session["title"]) == ("acme", "two words")
    assert (session["model"], session["agent_type"]) == ("echo", "echo")
    assert session["metadata"] == {"workflow": "w", "mine": 1} and session["archived"] is False
    counts = [session[f"tokens_{name}"] for name in ("in", "out", "total")]
    assert (session["message_count"], counts) == (2, [2, 2, 4])


def test_a_transcript_on_the_wire(api: Api, user: str) -> None:
    """Each message with its place; the session's id is the session's alone."""
    answer = api.ask("hello", user=user)
    detail = api.get(f"{SESSIONS}/{answer.headers['X-Session-Id']}", user_id=user).json()

    question, said = detail["messages"]
    assert set(question) == set(said) == MESSAGE_KEYS
    assert [m["message_index"] for m in (question, said)] == [0, 1]
    assert [m["role"] for m in (question, said)] == ["user", "assistant"]
    assert [m["tokens"] for m in (question, said)] == [1, 1]
    assert said["metadata"] == {"turn_id": answer.headers["X-Turn-Id"], "finish_reason": "stop"}
    assert UUID(question["id"]) != UUID(said["id"])
    assert TIMESTAMP.fullmatch(said["created_at"]) and said["updated_at"] is None


def page(api: Api, user: str, **params: Any) -> dict[str, Any]:
    """A page of a user's sessions."""
    found: dict[str, Any] = api.get(SESSIONS, user_id=user, **params).json()
    return found


def test_pages(api: Api, user: str) -> None:
    """Each page says whether there are more; a page behind the last one is empty."""
    made = [api.ask(str(number), user=user).headers["X-Session-Id"] for number in range(5)]

    pages = [page(api, user, page=number, page_size=2) for number in (1, 2, 3, 4, 10**9)]

    listed = [[session["id"] for session in found["sessions"]] for found in pages]
    latest_first = made[::-1]
    assert listed == [latest_first[:2], latest_first[2:4], latest_first[4:], [], []]
    assert [found["has_more"] for found in pages] == [True, True, False, False, False]
    assert {found["total"] for found in pages} == {5}
    assert len(page(api, user, page_size=100)["sessions"]) == 5


@pytest.mark.parametrize("session_id", ["x", "%00", str(uuid4()), "..%2f..", "ü", "x" * 1000])
def test_unknown_sessions(api: Api, session_id: str) -> None:
    """404, whatever stands where the id should be."""
    answer = api.get(f"{SESSIONS}/{session_id}", user_id="ada")

    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"


def test_another_users_session(api: Api, user: str) -> None:
    """404 like one that is not there: nobody learns that it exists."""
    session_id = api.ask("x", user=user).headers["X-Session-Id"]
    unknown = str(uuid4())

    found = [api.get(f"{SESSIONS}/{id}", user_id="bob").json() for id in (session_id, unknown)]

    texts = [error["error"]["message"].replace(session_id, unknown) for error in found]
    assert texts[0] == texts[1]


def test_a_user_without_a_history(api: Api, user: str) -> None:
    """An empty page, and no error."""
    assert page(api, user) == {
        "sessions": [],
        "total": 0,
        "page": 1,
        "page_size": 20,
        "has_more": False,
    }
