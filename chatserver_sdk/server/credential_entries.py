"""What the OpenAPI document says of keys and tickets beside their routes' signatures."""

from __future__ import annotations

from typing import Any

from .entries import Entry

_KEYS = "/api/v1/platform/keys"

_KEY: dict[str, Any] = {
    "id": "90dae8d6-2e17-4f67-a14f-9009c8419d46",
    "role": "user",
    "prefix": "csk_c2f68dd8",
    "name": "Ada's notebook",
    "user_id": "ada",
    "principal_id": "f2a3c72f-f2cf-5ce2-9e60-24fb87cc3645",
    "email": None,
    "workos_id": None,
    "created_at": "2026-03-01T12:00:00Z",
    "created_by": "admin@localhost",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
}
# As long as real ones, and plainly none.
_SECRET = "x" * 43

ENTRIES = (
    Entry(
        "get",
        _KEYS,
        {"keys": [_KEY], "count": 1},
        refusals={400: "The cursor is none of this list's."},
        parameters={"limit": 50, "cursor": ""},
    ),
    Entry(
        "post",
        _KEYS,
        {**_KEY, "key": f"{_KEY['prefix']}_{_SECRET}"},
        status=201,
        request={"name": "Ada's notebook", "role": "user", "user_id": "ada"},
        refusals={
            404: "There is no such principal.",
            409: "Who is named is no administrator or is two people, or the Idempotency-Key was"
            " used before: `error.code` says which.",
        },
        parameters={"Idempotency-Key": "b7b4f9c2"},
    ),
    Entry(
        "delete",
        _KEYS + "/{key_id}",
        {**_KEY, "revoked_at": "2026-03-02T12:00:00Z"},
        refusals={
            404: "There is no such API key.",
            409: "It is the last valid key of an administrator.",
        },
        parameters={"key_id": _KEY["id"]},
    ),
    Entry(
        "post",
        "/api/v1/tickets",
        {"ticket": f"cst_{_SECRET}", "expires_at": "2026-03-01T12:00:30Z"},
        status=201,
        refusals={429: "Too many requests with this key, or too many tickets wait to be used."},
    ),
)
