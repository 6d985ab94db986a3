"""What the OpenAPI document says of FastAPI's routes beside their signatures: examples, statuses."""

from __future__ import annotations

from typing import Any

from chatserver_sdk.engine.exports import FORMATS
from chatserver_sdk.models import ChatMessageRecord, ChatSessionSummary

from .completion_entries import SESSION, TURN
from .entries import Entry

_HISTORY = "/atoms/chat/sessions"
_PLATFORM = "/api/v1/platform"

_MODEL = {
    "id": "echo",
    "object": "model",
    "owned_by": "chatserver_sdk",
    "created": 1772366400,
    "description": "Says what you said, word by word.",
    "context_length": None,
    "provider": "echo",
    "capabilities": ["streaming"],
}
SUMMARY: dict[str, Any] = {
    "id": SESSION,
    "user_id": "ada",
    "created_at": "2026-03-01T12:00:00Z",
    "updated_at": "2026-03-01T12:00:01Z",
    "organization_id": None,
    "title": "Hello there",
    "model": "echo",
    "agent_type": "echo",
    "last_message_at": "2026-03-01T12:00:01Z",
    "message_count": 2,
    "tokens_in": 2,
    "tokens_out": 2,
    "tokens_total": 4,
    "metadata": {},
    "archived": False,
}
QUESTION = {
    "id": "a6a0f341-5e88-4c58-9aa6-2df5be9186e9",
    "message_index": 0,
    "role": "user",
    "created_at": "2026-03-01T12:00:00Z",
    "content": "Hello there",
    "metadata": {},
    "tokens": 2,
    "updated_at": None,
}
ANSWER = {
    **QUESTION,
    "id": "1e3764f3-242e-4e0a-8f42-bee56cc433f3",
    "message_index": 1,
    "role": "assistant",
    "created_at": "2026-03-01T12:00:01Z",
    "metadata": {"turn_id": TURN, "finish_reason": "stop"},
}
_STATS = {
    "total_users": 12,
    "active_users": 3,
    "total_organizations": 1,
    "total_requests": 4711,
    "requests_today": 42,
    "total_tokens": 987654,
    "tokens_today": 3210,
    "total_mcp_servers": 0,
    "system_health": {
        "status": "healthy",
        "circuit_breaker_status": None,
        "active_agents": ["echo", "eliza"],
    },
}
_ADMIN = {
    "id": "29a0f9d9-26bf-4a2c-9326-d725b985953f",
    "email": "eve@example.com",
    "created_at": "2026-03-01T12:00:00Z",
    "name": "Eve",
    "created_by": "admin@localhost",
}
_AUDIT_ENTRY: dict[str, Any] = {
    "id": "3",
    "timestamp": "2026-03-01T12:00:00Z",
    "action": "admin.added",
    "user_id": "admin@localhost",
    "org_id": None,
    "resource": "admin",
    "resource_id": "eve@example.com",
    "metadata": {},
    "hash": "98b4bdb9df573147d319ed05e15d7361ca75d45201785d14f1f8d58bb48ffce9",
}
_HEAD = f"{_AUDIT_ENTRY['id']}:{_AUDIT_ENTRY['hash']}"
_NOBODYS = "`user_id` is missing, and the key is bound to no user."


def _exported(format: str) -> str:
    """A session as the real writer exports it."""
    written = FORMATS[format]
    records = (ChatMessageRecord.from_dict(message) for message in (QUESTION, ANSWER))
    begun = written.begin(ChatSessionSummary.from_dict(SUMMARY))
    return begun + "".join(map(written.message, records))


ENTRIES = (
    Entry("get", "/v1/models", {"data": [_MODEL], "object": "list"}),
    Entry(
        "get",
        "/v1/models/{model}",
        _MODEL,
        refusals={404: "There is no such model."},
        parameters={"model": "echo"},
    ),
    Entry(
        "get",
        _HISTORY,
        {"sessions": [SUMMARY], "total": 1, "page": 1, "page_size": 20, "has_more": False},
        refusals={400: f"The cursor is none of this list's, or {_NOBODYS}"},
        parameters={"user_id": "ada", "page": 1, "page_size": 20, "cursor": ""},
    ),
    Entry(
        "get",
        _HISTORY + "/{session_id}",
        {"session": SUMMARY, "messages": [QUESTION, ANSWER]},
        refusals={400: _NOBODYS, 404: "No such session, or another user's."},
        parameters={"session_id": SESSION, "user_id": "ada"},
    ),
    Entry(
        "get",
        _HISTORY + "/{session_id}/export",
        None,
        files={
            "application/jsonl": _exported("jsonl"),
            "text/markdown": _exported("markdown"),
        },
        refusals={400: _NOBODYS, 404: "No such session, or another user's."},
        parameters={"session_id": SESSION, "user_id": "ada", "format": "jsonl"},
    ),
    Entry("get", _PLATFORM + "/stats", _STATS),
    Entry("get", _PLATFORM + "/admins", {"admins": [_ADMIN], "count": 1}),
    Entry(
        "post",
        _PLATFORM + "/admins",
        {"status": "added", "email": "eve@example.com"},
        status=201,
        request={"workos_id": "user_01", "email": "eve@example.com", "name": "Eve"},
        refusals={
            409: "They are an administrator already, or the Idempotency-Key is another request's.",
            410: "What this Idempotency-Key stands for is not kept any longer.",
        },
        parameters={"Idempotency-Key": "b7b4f9c2"},
    ),
    Entry(
        "delete",
        _PLATFORM + "/admins/{email}",
        {"status": "removed", "email": "eve@example.com"},
        refusals={
            404: "They are no administrator.",
            409: "They are the last administrator.",
        },
        parameters={"email": "eve@example.com"},
    ),
    Entry(
        "get",
        _PLATFORM + "/audit",
        {"entries": [_AUDIT_ENTRY], "count": 1, "limit": 50, "offset": 0},
        refusals={
            400: "The cursor is none of this list's, `after` is no entry's id, both were sent, or a"
            " time cannot be read."
        },
        parameters={
            "limit": 50,
            "offset": 0,
            "since": "2026-03-01T12:00:00Z",
            "action": "admin.*",
            "after": "2",
        },
    ),
    Entry(
        "get",
        _PLATFORM + "/audit/head",
        {"head": _HEAD, "seq": 3, "hash": _AUDIT_ENTRY["hash"]},
    ),
    Entry(
        "get",
        _PLATFORM + "/audit/verify",
        {"ok": True, "entries": 3, "head": _HEAD, "first_bad": None},
        refusals={400: "The head cannot be read."},
        parameters={"head": _HEAD},
    ),
    Entry(
        "delete",
        _PLATFORM + "/users/{user_id}",
        {"user_id": "ada", "sessions": 1, "messages": 2},
        refusals={
            403: "Only the user and administrators may delete a user.",
            404: "The user has no history.",
        },
        parameters={"user_id": "ada"},
    ),
    Entry("get", "/health", {"status": "ok", "version": "1.0.0"}),
    Entry("get", "/health/live", {"status": "live"}),
    Entry(
        "get",
        "/health/ready",
        {"status": "ready"},
        refusals={503: "The server is stopping, or the store does not answer."},
    ),
    Entry(
        "get",
        "/metrics",
        "# TYPE chatserver_turns_running gauge\nchatserver_turns_running 3.0\n",
    ),
)
