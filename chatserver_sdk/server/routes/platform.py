"""/api/v1/platform: figures, administrators and the audit log. For administrators only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from chatserver_sdk.models import (
    AdminListResponse,
    AdminRequest,
    AdminResponse,
    AuditLogResponse,
    PlatformStats,
)

from ..bodies import IDEMPOTENCY_KEY, idempotency_key
from ..errors import json_response
from .access import Admin, Server

router = APIRouter(prefix="/api/v1/platform", tags=["platform"])


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


@router.get("/audit", response_model=AuditLogResponse)
async def get_audit_log(
    server: Server,
    admin: Admin,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000_000)] = 0,
) -> Response:
    """A page of the audit log, newest first."""
    return json_response(200, (await server.platform.audit_log(limit, offset)).to_dict())
