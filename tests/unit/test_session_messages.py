"""Messages to a session: what their content may be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from chatserver_sdk.models import (
    ChatSession,
    CreateSessionRequest,
    SessionChatRequest,
    SessionMessage,
    SessionStatus,
    UpdateSessionRequest,
    session_content_problem,
)

TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image", "file_id": "f1"}


@pytest.mark.parametrize(
    "content",
    [
        "Hi",
        [TEXT],
        [IMAGE],
        [{"type": "text", "text": ""}, {"type": "file", "file_id": "f", "mime_type": "text/plain"}],
        [TEXT] * 1000,
        [{**TEXT, "more": 1}],
    ],
)
def test_good_content(content: Any) -> None:
    """Texts, and parts that name files, in any order; a picture alone says something too."""
    assert session_content_problem(content) is None


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (None, ""),
        (1, ""),
        ([], ""),
        ([TEXT] * 1001, ""),
        ("  \n", ""),
        ([{"type": "text", "text": " "}], ""),
        (["Hi"], "[0]"),
        ([TEXT, {"type": "video", "file_id": "f"}], "[1]"),
        ([{"text": "Hi"}], "[0]"),
        ([{"type": ["text"], "text": "Hi"}], "[0]"),
        ([{"type": "text"}], "[0].text"),
        ([{"type": "text", "text": 1}], "[0].text"),
        ([{"type": "text", "text": "x" * 4_000_001}], "[0].text"),
        ([{"type": "image"}], "[0].file_id"),
        ([{"type": "file", "file_id": ""}], "[0].file_id"),
        ([{"type": "file", "file_id": "f" * 65}], "[0].file_id"),
        ([{**IMAGE, "mime_type": 1}], "[0].mime_type"),
    ],
)
def test_bad_content(content: Any, place: str) -> None:
    """The place is named."""
    problem = session_content_problem(content)
    assert problem is not None and problem[0] == place


def test_the_text_of_a_message() -> None:
    """Its text parts one under the other."""
    assert SessionMessage("user", [TEXT, IMAGE, TEXT]).text == "Hi\nHi"  # type: ignore[arg-type]
    assert SessionMessage("user", "Hi").text == "Hi"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (SessionChatRequest, {}),
        (SessionChatRequest, {"message": {"role": "robot", "content": "x"}}),
        (SessionChatRequest, {"message": {"role": "user"}}),
        (SessionChatRequest, {"message": {"role": "user", "content": "x"}, "stream": "perhaps"}),
        (SessionChatRequest, {"message": {"role": "user", "content": "x"}, "metadata": []}),
        (CreateSessionRequest, {}),
        (CreateSessionRequest, {"model": ""}),
        (CreateSessionRequest, {"model": "m", "user_id": ""}),
        (UpdateSessionRequest, {"status": "sleeping"}),
        (UpdateSessionRequest, {"title": "x" * 1001}),
    ],
)
def test_what_the_server_refuses(kind: type[Any], raw: Any) -> None:
    """The rules stand beside the fields."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(raw)


def test_a_status_that_is_not_known_is_kept() -> None:
    """A newer server may have more of them."""
    raw = {"id": "s", "user_id": "u", "created_at": "2026-01-01", "updated_at": "2026-01-01"}
    assert ChatSession.from_dict(raw).status is SessionStatus.ACTIVE
    assert ChatSession.from_dict({**raw, "status": "asleep"}).status == "asleep"
