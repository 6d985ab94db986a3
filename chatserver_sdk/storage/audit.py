"""Verbs on the audit log. An entry is written in the transaction of what it records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select

from chatserver_sdk.models import AuditEntry

from .patterns import fits
from .tables import audit_entries

# Every entry's number is below it. Said in each query, so that an index on it is searched.
MAX_SEQ = 2**63 - 1

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


@dataclass(frozen=True)
class AuditFilters:
    """Which entries are wanted: all that match what is not None. since is inclusive, until is not;
    an action may hold `*` for any text."""

    since: datetime | None = None
    until: datetime | None = None
    action: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    resource: str | None = None
    resource_id: str | None = None


def list_entries(
    connection: Connection,
    *,
    limit: int,
    offset: int = 0,
    filters: AuditFilters = AuditFilters(),
    below: int = MAX_SEQ,
) -> list[AuditEntry]:
    """A page of the log, newest first; only entries whose number is below one that is given."""
    statement = _NEWEST_FIRST.where(audit_entries.c.seq < below, *_conditions(filters))
    rows = connection.execute(statement.limit(limit).offset(offset))
    return [_entry(row) for row in rows]


def _conditions(filters: AuditFilters) -> Iterator[ColumnElement[bool]]:
    columns = audit_entries.c
    if filters.since is not None:
        yield columns.timestamp >= filters.since
    if filters.until is not None:
        yield columns.timestamp < filters.until
    if filters.action is not None:
        yield _matches(columns.action, filters.action)
    for name in ("user_id", "org_id", "resource", "resource_id"):
        if (value := getattr(filters, name)) is not None:
            yield columns[name] == value


def _matches(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    if "*" not in pattern:
        return column == pattern
    return fits(column, pattern)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=str(row.seq),
        timestamp=row.timestamp,
        user_id=row.user_id,
        org_id=row.org_id,
        action=row.action,
        resource=row.resource,
        resource_id=row.resource_id,
        metadata=row.metadata,
    )
