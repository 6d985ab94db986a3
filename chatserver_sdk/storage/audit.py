"""Verbs on the audit log. An entry is written in the transaction of what it records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from chatserver_sdk.models import AuditEntry

from .tables import audit_entries

_LAST = select(func.max(audit_entries.c.seq))
_NEWEST_FIRST = select(audit_entries).order_by(audit_entries.c.seq.desc())


def record(
    connection: Connection,
    action: str,
    *,
    by: str | None,
    now: datetime,
    resource: str,
    resource_id: str,
    metadata: dict[str, Any] | None = None,
) -> None:
    """One more entry, numbered without a gap behind the last."""
    seq = (connection.scalar(_LAST) or 0) + 1
    values = {"seq": seq, "timestamp": now, "user_id": by, "action": action}
    about = {"resource": resource, "resource_id": resource_id, "metadata": metadata or {}}
    connection.execute(insert(audit_entries), {**values, **about})


def list_entries(connection: Connection, *, limit: int, offset: int) -> list[AuditEntry]:
    """A page of the log, newest first."""
    rows = connection.execute(_NEWEST_FIRST.limit(limit).offset(offset))
    return [
        AuditEntry(
            id=str(row.seq),
            timestamp=row.timestamp,
            user_id=row.user_id,
            org_id=row.org_id,
            action=row.action,
            resource=row.resource,
            resource_id=row.resource_id,
            metadata=row.metadata,
        )
        for row in rows
    ]
