"""/api/v1/platform: figures, administrators and the audit log; deletion of users. For
administrators, unless a route says otherwise."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from chatserver_sdk.engine import AuditFilters, InvalidRequest
from chatserver_sdk.models import (
    AdminListResponse,
    AdminRequest,
    AdminResponse,
    AuditHead,
    AuditLogResponse,
    AuditVerification,
    PlatformStats,
    UserDeletion,
)
from chatserver_sdk.models._values import parse_timestamp

from ..bodies import IDEMPOTENCY_KEY, idempotency_key
from ..errors import json_response
from .access import Admin, Anybody, Cursor, Server

router = APIRouter(prefix="/api/v1/platform", tags=["platform"])


Wanted = Annotated[str | None, Query(min_length=1, max_length=256)]
Moment = Annotated[str | None, Query(max_length=64, description="ISO 8601; naive is UTC.")]
Action = Annotated[str | None, Query(min_length=1, max_length=64, description="`*`: any text.")]
Head = Annotated[str | None, Query(max_length=100, description="NUMBER:HASH, kept elsewhere.")]
After = Annotated[
    str | None, Query(max_length=18, description="An entry's id; 0: from the oldest.")
]


def _filters(
    since: Moment = None,
    until: Moment = None,
    action: Action = None,
    user_id: Wanted = None,
    org_id: Wanted = None,
    resource: Wanted = None,
    resource_id: Wanted = None,
) -> AuditFilters:
    moments = _moment(since, "since"), _moment(until, "until")
    return AuditFilters(*moments, action, user_id, org_id, resource, resource_id)


def _moment(text: str | None, param: str) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        sentence = f"{param} must be a time in ISO 8601, such as 2026-03-01T12:00:00Z"
        raise InvalidRequest(sentence, "invalid_value", param) from None


@router.get("/stats", response_model=PlatformStats)
async def get_stats(server: Server, admin: Admin) -> Response:
    """The figures of the whole platform."""
    return json_response(200, (await server.platform.stats()).to_dict())


@router.get("/admins", response_model=AdminListResponse)
async def list_admins(server: Server, admin: Admin) -> Response:
    """Every administrator."""
    return json_response(200, (await server.platform.list_admins()).to_dict())


@router.post(
    "/admins",
    status_code=201,
    response_model=AdminResponse,
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def add_admin(server: Server, admin: Admin, request: AdminRequest, sent: Request) -> Response:
    """Make somebody an administrator. 409 if they are one."""
    key = idempotency_key(sent.headers, admin, "admins", await sent.body())
    return json_response(*await server.platform.add_admin_once(request, admin, key))


# "path", because an address may hold a slash.
@router.delete("/admins/{email:path}", response_model=AdminResponse)
async def remove_admin(server: Server, admin: Admin, email: str) -> Response:
    """Take the role away. 404 for who is none, 409 for the last one."""
    return json_response(200, (await server.platform.remove_admin(email, admin)).to_dict())


@router.get("/audit/head", response_model=AuditHead)
async def get_audit_head(server: Server, admin: Admin) -> Response:
    """The last entry's number and hash. Kept where nobody who may write the database can write,
    it shows later that nothing before it was changed."""
    return json_response(200, (await server.platform.audit_head()).to_dict())


@router.get("/audit/verify", response_model=AuditVerification)
async def verify_audit_log(server: Server, admin: Admin, head: Head = None) -> Response:
    """Walk the whole audit log and name the first entry that is not as it was written. A log that
    somebody wrote anew from end to end fits together; only a `head` kept elsewhere shows that."""
    found = await server.platform.verify_audit_log(head)
    return json_response(200, found.to_dict())


@router.get("/audit", response_model=AuditLogResponse)
async def get_audit_log(
    server: Server,
    admin: Admin,
    filters: Annotated[AuditFilters, Depends(_filters)],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000_000)] = 0,
    cursor: Cursor = None,
    after: After = None,
) -> Response:
    """A page of the audit log, newest first. With `after` only what came after that entry, oldest
    first: the last one's id is the next `after`. With `cursor` (empty at first, then `next_cursor` of
    the page before, until that is null) `offset` has no meaning, and no entry is lost or repeated,
    whatever is written meanwhile. Only one of the two may be sent."""
    if after is not None:
        if cursor is not None:
            raise InvalidRequest("send cursor or after, not both", "invalid_value", "after")
        newer = await server.platform.audit_log_after(limit, after, filters)
        return json_response(200, newer.to_dict())
    if cursor is not None:
        listed = await server.platform.audit_log_from(limit, cursor, filters)
        return json_response(200, {**listed.to_dict(), "next_cursor": listed.next_cursor})
    found = await server.platform.audit_log(limit, offset, filters)
    return json_response(200, found.to_dict())


# "path", because an id may hold a slash.
@router.delete("/users/{user_id:path}", response_model=UserDeletion)
async def delete_user(server: Server, principal: Anybody, user_id: str) -> Response:
    """Delete everything that a user has said and been told; keys and the audit log stay. For
    administrators and, with a key of their own, for the user. 404 for who has no history."""
    return json_response(200, (await server.chat.delete_user(principal, user_id)).to_dict())
