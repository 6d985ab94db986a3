"""PlatformService: what administrators see and do."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from chatserver_sdk.models import (
    AdminListResponse,
    AdminRequest,
    AdminResponse,
    AuditHead,
    AuditLogResponse,
    AuditVerification,
    PlatformStats,
    Principal,
    SystemHealth,
)
from chatserver_sdk.storage import Store, admins, audit, idempotency, statistics
from chatserver_sdk.storage.idempotency import Key

from . import auditing, clock, lists
from .catalogue import Catalogue
from .errors import InvalidRequest
from .tally import Tally

# Not RFC 5322, which allows what no mail server takes: one @, something on both sides, no blanks.
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class PlatformService:
    """Figures, administrators and the audit log of one store."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        tally: Tally | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._tally = tally or Tally(store)
        self._catalogue = catalogue
        # Called when somebody may do what they might not do before, or the reverse.
        self._changed = changed

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
        email = email_of(request.email)
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

        once = add if key is None else partial(idempotency.answer_once, key=key, now=now, work=add)
        answer = await self._store.write(once)
        self._changed()
        return answer

    async def remove_admin(self, email: str, by: Principal) -> AdminResponse:
        """Take the role away. Raises NotFound, and Conflict for the last administrator."""
        email = email.strip().lower()
        await self._store.write(admins.remove_admin, email=email, by=by.label, now=clock.now())
        self._changed()
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

    async def audit_log_after(
        self, limit: int, after: str, filters: audit.AuditFilters = audit.AuditFilters()
    ) -> AuditLogResponse:
        """What came after the entry with this id (0: all), oldest first; the id of the last one
        goes on from there. Raises InvalidRequest for what is no entry's id."""
        number = lists.entry_number(after)
        entries = await self._store.read(audit.list_after, number, limit=limit, filters=filters)
        return AuditLogResponse(entries, len(entries), limit, 0)

    async def audit_head(self) -> AuditHead:
        """The last entry's number and hash, to be kept elsewhere."""
        return await auditing.get_head(self._store)

    async def verify_audit_log(self, head: str | None = None) -> AuditVerification:
        """Whether the log is as it was written, and fits a head that was kept elsewhere.

        Raises InvalidRequest for what is no head.
        """
        return await auditing.verify(self._store, auditing.read_head(head))


def email_of(text: str) -> str:
    """An e-mail address as it is stored. Raises InvalidRequest."""
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        raise InvalidRequest("email must be an e-mail address", "invalid_email", "email")
    return email
