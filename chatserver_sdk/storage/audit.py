"""Verbs on the audit log. An entry is written in the transaction of what it records.

Each entry's hash covers the one in front of it; chain.py says how, verification.py finds what was
changed afterwards, and says what that does not prove.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    insert,
    select,
    type_coerce,
)

from chatserver_sdk.models import AuditEntry

from . import chain
from .chain import Head
from .tables import audit_checkpoints, audit_entries, microseconds

# Entries may be this much out of the order of their times: who writes one takes its time first.
# Where the clock was set back by more, an entry of its own says so.
SLACK = timedelta(minutes=1)
CLOCK_SET_BACK = "clock.set_back"

# Every entry's number is below it. Said in each query, so that an index on it is searched.
MAX_SEQ = 2**63 - 1


_LAST = (
    select(audit_entries.c.seq, audit_entries.c.hash, audit_entries.c.timestamp)
    .where(audit_entries.c.seq < MAX_SEQ)
    .order_by(audit_entries.c.seq.desc())
    .limit(1)
)
_CHECKPOINT = (
    select(audit_checkpoints.c.seq, audit_checkpoints.c.hash)
    .where(audit_checkpoints.c.seq < MAX_SEQ)
    .order_by(audit_checkpoints.c.seq.desc())
    .limit(1)
)
_ENTRIES = select(audit_entries)
_CLOCK = select(audit_entries.c.seq).where(audit_entries.c.action == CLOCK_SET_BACK).limit(1)


def get_head(connection: Connection) -> Head:
    """The last entry's number and hash; number 0 where there was none yet."""
    row = connection.execute(_LAST).one_or_none() or connection.execute(_CHECKPOINT).one_or_none()
    return chain.EMPTY if row is None else Head(row.seq, row.hash)


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
    # Asked each time: of a transaction that is rolled back nothing may be remembered.
    last = connection.execute(_LAST).one_or_none()
    head = get_head(connection) if last is None else Head(last.seq, last.hash)
    if last is not None and now < last.timestamp - SLACK:
        back = {"seconds": int((last.timestamp - now).total_seconds())}
        head = _append(connection, head, now, None, CLOCK_SET_BACK, "clock", "server", back)
    _append(connection, head, now, by, action, resource, resource_id, metadata or {})


def _append(
    connection: Connection,
    head: Head,
    now: datetime,
    by: str | None,
    action: str,
    resource: str,
    resource_id: str,
    metadata: dict[str, Any],
) -> Head:
    """One more entry behind this one; the new head."""
    text = chain.canonical_json(metadata)
    at = microseconds(now)
    draft = chain.Draft(head.seq + 1, at, by, None, action, resource, resource_id, text)
    new = Head(draft.seq, chain.hash_of(head.hash, draft))
    values = {**vars(draft), "timestamp": now, "metadata": metadata, "hash": new.hash}
    connection.execute(insert(audit_entries), values)
    return new


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
    if offset and filters == AuditFilters():
        # Numbers have no gaps: the page's place is known, and nothing need be passed over.
        below = min(below, get_head(connection).seq + 1) - offset
        offset = 0
    wanted = _wanted(connection, filters).where(audit_entries.c.seq < below)
    page = wanted.order_by(audit_entries.c.seq.desc()).limit(limit).offset(offset)
    return [_entry(row) for row in connection.execute(page)]


def list_after(
    connection: Connection, after: int, *, limit: int, filters: AuditFilters = AuditFilters()
) -> list[AuditEntry]:
    """What came after the entry of this number, oldest first."""
    wanted = _wanted(connection, filters).where(audit_entries.c.seq > after)
    rows = connection.execute(wanted.order_by(audit_entries.c.seq).limit(limit))
    return [_entry(row) for row in rows]


def _wanted(connection: Connection, filters: AuditFilters) -> Select[Any]:
    columns = audit_entries.c
    conditions = [*_conditions(filters, connection.dialect.name)]
    if filters.since is not None or filters.until is not None:
        if connection.scalar(_CLOCK) is None:
            conditions += _places(connection, filters)
        # Places bound the search; by times it would have to sort all that it finds.
        at = type_coerce(columns.timestamp, BigInteger) + 0
        if filters.since is not None:
            conditions.append(at >= microseconds(filters.since))
        if filters.until is not None:
            conditions.append(at < microseconds(filters.until))
    return _ENTRIES.where(*conditions)


def _places(connection: Connection, filters: AuditFilters) -> Iterator[ColumnElement[bool]]:
    """Between which numbers the entries of these times are, where the clock was never set back:
    what is more than the slack before a time has only what is before that time in front of it."""
    columns = audit_entries.c
    if filters.since is not None:
        earlier = select(columns.seq).where(columns.timestamp < filters.since - SLACK)
        last = earlier.order_by(columns.timestamp.desc(), columns.seq.desc()).limit(1)
        if (seq := connection.scalar(last)) is not None:
            yield columns.seq > seq
    if filters.until is not None:
        later = select(columns.seq).where(columns.timestamp >= filters.until + SLACK)
        first = later.order_by(columns.timestamp, columns.seq).limit(1)
        if (seq := connection.scalar(first)) is not None:
            yield columns.seq < seq


def _conditions(filters: AuditFilters, dialect: str) -> Iterator[ColumnElement[bool]]:
    columns = audit_entries.c
    if filters.action is not None:
        yield _matches(columns.action, filters.action, dialect)
    for name in ("user_id", "org_id", "resource", "resource_id"):
        if (value := getattr(filters, name)) is not None:
            yield columns[name] == value


def _matches(column: ColumnElement[str], pattern: str, dialect: str) -> ColumnElement[bool]:
    if "*" not in pattern:
        return column == pattern
    pattern = re.sub(r"\*+", "*", pattern)
    if dialect != "sqlite":
        return column.like(re.sub(r"[\\%_]", r"\\\g<0>", pattern).replace("*", "%"), escape="\\")
    # Not LIKE, which takes "A" for "a" in SQLite. Of its own wildcards GLOB keeps one.
    escaped = re.sub(r"[\[?]", r"[\g<0>]", pattern)
    return column.op("GLOB", is_comparison=True)(escaped)


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
        hash=row.hash,
    )
