"""/api/v1/platform/keys: API keys. For administrators only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from chatserver_sdk.models import ApiKeyCreated, ApiKeyInfo, ApiKeyListResponse, ApiKeyRequest

from ..bodies import IDEMPOTENCY_KEY, idempotency_key
from ..errors import json_response
from .access import Admin, Cursor, Server

router = APIRouter(prefix="/api/v1/platform/keys", tags=["platform"])

# The answer holds a secret; no cache on the way is to keep it.
_SECRET = {"cache-control": "no-store"}


@router.get("", response_model=ApiKeyListResponse)
async def list_keys(
    server: Server,
    admin: Admin,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor = None,
) -> Response:
    """A page of the API keys, the newest first, revoked ones too; never a key itself. `cursor` is
    `next_cursor` of the page before; behind the last page there is none."""
    found = await server.issuer.list_keys(limit, cursor or "")
    return json_response(200, found.to_dict())


@router.post(
    "",
    status_code=201,
    response_model=ApiKeyCreated,
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def create_key(
    server: Server, admin: Admin, request: ApiKeyRequest, sent: Request
) -> Response:
    """Make an API key. `key` is shown in this answer and never again: sent a second time with its
    Idempotency-Key, the request is 409 `key_shown_once`."""
    once = idempotency_key(sent.headers, admin, "keys", await sent.body())
    made = await server.issuer.create_key(request, admin.label, once)
    return json_response(201, made.to_dict(), _SECRET)


@router.delete("/{key_id}", response_model=ApiKeyInfo)
async def revoke_key(server: Server, admin: Admin, key_id: str) -> Response:
    """Revoke an API key, at once; a second time changes nothing. 404 for an unknown one, 409
    `last_admin_key` for the last one that could make others."""
    return json_response(200, (await server.issuer.revoke_key(key_id, admin.label)).to_dict())
