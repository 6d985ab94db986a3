"""What the OpenAPI document says of sessions and their files beside their routes' signatures."""

from __future__ import annotations

from typing import Any

from .completion_entries import SESSION
from .entries import Entry
from .route_entries import SUMMARY
from .routes.session_chat import SESSIONS

_ONE = SESSIONS + "/{session_id}"
_FILES = _ONE + "/files"
_FILE = _FILES + "/{file_id}"

_SESSION: dict[str, Any] = {**SUMMARY, "status": "active"}
_OPENED = {
    **_SESSION,
    "updated_at": _SESSION["created_at"],
    "last_message_at": None,
    **dict.fromkeys(("message_count", "tokens_in", "tokens_out", "tokens_total"), 0),
}
_INFO = {
    "file_id": "7b1d6f0e-54c5-4a0c-8f6e-3f1b5a0c2d11",
    "filename": "order.txt",
    "content_type": "text/plain",
    "size": 12,
    "created_at": "2026-03-01T12:00:00Z",
}
_OF_FILE = {"session_id": SESSION, "file_id": _INFO["file_id"]}
_NOBODYS = "`user_id` is missing, and the key is bound to no user."
_UNKNOWN = "No such session, or somebody else's."
_UNKNOWN_FILE = "No such file in this session, no such session, or somebody else's."
_KEY_IS_OLD = "What this Idempotency-Key stands for is not kept any longer."


def _moved(path: str, method: str) -> Entry:
    sentence = f"It has moved: {method} {_ONE}/chat."
    return Entry("post", path, None, status=410, refusals={410: sentence})


ENTRIES = (
    Entry(
        "post",
        SESSIONS,
        _OPENED,
        status=201,
        request={"model": "echo", "user_id": "ada", "title": "Hello there"},
        refusals={
            400: f"A field holds what cannot be stored, or {_NOBODYS}",
            404: "No such model.",
            409: "The Idempotency-Key is another request's.",
            410: _KEY_IS_OLD,
        },
        parameters={"Idempotency-Key": "b7b4f9c2"},
    ),
    Entry(
        "get",
        SESSIONS,
        {"sessions": [_SESSION], "has_more": False, "next_cursor": None},
        refusals={400: f"The cursor is none of this list's, or {_NOBODYS}"},
        parameters={"user_id": "ada", "status": "active", "limit": 20, "cursor": ""},
    ),
    Entry(
        "get",
        _ONE,
        _SESSION,
        refusals={404: _UNKNOWN},
        parameters={"session_id": SESSION},
    ),
    Entry(
        "patch",
        _ONE,
        {**_SESSION, "title": "My order"},
        request={"title": "My order"},
        refusals={400: "A field holds what cannot be stored.", 404: _UNKNOWN},
        parameters={"session_id": SESSION},
    ),
    Entry(
        "delete",
        _ONE,
        {"deleted": True, "session_id": SESSION},
        refusals={404: _UNKNOWN},
        parameters={"session_id": SESSION},
    ),
    Entry(
        "post",
        _FILES,
        _INFO,
        status=201,
        request={"file": "Two apples.\n"},
        refusals={
            400: "The body is no form, or there is not one file in its field `file`.",
            404: _UNKNOWN,
            409: "The session has as many files as it may (`too_many_files`), or the"
            " Idempotency-Key is another request's.",
            410: _KEY_IS_OLD,
            413: "The file is longer than this server takes.",
            415: "The body is no `multipart/form-data`, or files of this type are not taken.",
        },
        parameters={"session_id": SESSION, "Idempotency-Key": "b7b4f9c2"},
    ),
    Entry(
        "get",
        _FILES,
        {"files": [_INFO]},
        refusals={404: _UNKNOWN},
        parameters={"session_id": SESSION},
    ),
    Entry("get", _FILE, _INFO, refusals={404: _UNKNOWN_FILE}, parameters=_OF_FILE),
    Entry(
        "get",
        _FILE + "/content",
        None,
        files={"*/*": "Two apples.\n"},
        refusals={404: _UNKNOWN_FILE},
        parameters=_OF_FILE,
    ),
    Entry(
        "delete",
        _FILE,
        None,
        status=204,
        refusals={404: _UNKNOWN_FILE},
        parameters=_OF_FILE,
    ),
    _moved("/chat", "POST"),
    _moved("/chat/cancel", "DELETE"),
)
