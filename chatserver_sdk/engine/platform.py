"""PlatformService: what administrators see and do."""

from __future__ import annotations

import re
from typing import Any

from chatserver_sdk.models import (
    AdminListResponse,
    AdminRequest,
    AdminResponse,
    AuditLogResponse,
    PlatformStats,
    Principal,
    SystemHealth,
)
from chatserver_sdk.storage import Store, admins, audit, idempotency, statistics
from chatserver_sdk.storage.idempotency import Key

from . import clock, lists
from .catalogue import Catalogue
from .errors import InvalidRequest
from .tally import Tally

# Not RFC 5322, which allows what no mail server takes: one @, something on both sides, no blanks.
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class PlatformService:
    """Figures, administrators and the audit log of one store."""

    def __init__(self, store: Store, catalogue: Catalogue, tally: Tally | None = None) -> None:
        self._store = store
        self._tally = tally or Tally(store)
        self._catalogue = catalogue

    async def stats(self) -> PlatformStats:
        """The figures of the whole platform."""
        await self._tally.flush()
        stats = await self._store.read(statistics.platform_stats, clock.now())
        stats.system_health = SystemHealth("healthy", active_agents=self._catalogue.names)
        return stats

    async def list_admins(self) -> AdminListResponse:
        """Every administrator."""
        found = await self._store.read(admins.list_admins)
        return AdminListResponse(found, len(found))

    async def add_admin(self, request: AdminRequest, by: Principal) -> AdminResponse:
        """Grant the role. Raises InvalidRequest for what is no e-mail address, Conflict."""
        return AdminResponse.from_dict((await self.add_admin_once(request, by, None))[1])

    async def add_admin_once(
        self, request: AdminRequest, by: Principal, key: Key | None
    ) -> tuple[int, dict[str, Any]]:
        """Grant the role as add_admin() does; the status and the body of the answer, which are
        those of the first time where the key was sent before."""
        email = request.email.strip().lower()
        if not _EMAIL.fullmatch(email) or not email.isprintable():
            raise InvalidRequest("email must be an e-mail address", "invalid_email", "email")
        workos_id = request.workos_id.strip()
        if not workos_id:
            raise InvalidRequest("workos_id must not be blank", "invalid_value", "workos_id")
        now = clock.now()

        def add(connection: Any) -> tuple[int, dict[str, Any]]:
            admins.add_admin(
                connection,
                workos_id=workos_id,
                email=email,
                name=request.name or None,
                by=by.label,
                now=now,
            )
            return 201, AdminResponse("added", email).to_dict()

        if key is None:
            return await self._store.write(add)
        return await self._store.write(idempotency.answer_once, key, now, add)

    async def remove_admin(self, email: str, by: Principal) -> AdminResponse:
        """Take the role away. Raises NotFound, and Conflict for the last administrator."""
        email = email.strip().lower()
        await self._store.write(admins.remove_admin, email=email, by=by.label, now=clock.now())
        return AdminResponse("removed", email)

    async def audit_log(
        self, limit: int, offset: int, filters: audit.AuditFilters = audit.AuditFilters()
    ) -> AuditLogResponse:
        """A page of the audit log, newest first."""
        entries = await self._store.read(
            audit.list_entries, limit=limit, offset=offset, filters=filters
        )
        return AuditLogResponse(entries, len(entries), limit, offset)

    async def audit_log_from(
        self, limit: int, cursor: str, filters: audit.AuditFilters = audit.AuditFilters()
    ) -> AuditLogResponse:
        """The audit log behind a cursor (empty: all), newest first; no entry is lost or repeated
        where others are written meanwhile. Raises InvalidRequest for what is no cursor of it."""
        return await lists.audit_from(self._store, filters, cursor, limit)
