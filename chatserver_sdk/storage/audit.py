"""Verbs on the audit log. An entry is written in the transaction of what it records.

Each entry's hash covers the one in front of it; chain.py says how, verification.py finds what was
changed afterwards, and says what that does not prove.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
# As a number: a time before the first year is one too.
_AT = type_coerce(audit_entries.c.timestamp, BigInteger)
_SLACK = SLACK // timedelta(microseconds=1)
_NEWEST = (
    select(audit_entries.c.timestamp)
    .where(_AT < MAX_SEQ)
    .order_by(audit_entries.c.timestamp.desc())
    .limit(1)
)
_EQUAL = ("user_id", "org_id", "resource", "resource_id")
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
    place = audit_entries.c.seq < below
    found = _find(connection, filters, place, limit, offset)
    return [_entry(row) for row in found]


def list_after(
    connection: Connection, after: int, *, limit: int, filters: AuditFilters = AuditFilters()
) -> list[AuditEntry]:
    """What came after the entry of this number, oldest first."""
    place = audit_entries.c.seq > after
    found = _find(connection, filters, place, limit, oldest_first=True)
    return [_entry(row) for row in found]


def _find(
    connection: Connection,
    filters: AuditFilters,
    place: ColumnElement[bool],
    limit: int,
    offset: int = 0,
    *,
    oldest_first: bool = False,
) -> Sequence[Row[Any]]:
    seq = audit_entries.c.seq
    order = seq.asc() if oldest_first else seq.desc()
    wanted = _wanted(connection, filters).where(place).order_by(order)
    page = wanted.limit(limit).offset(offset)
    pattern = filters.action
    if pattern is None or "*" not in pattern:
        return connection.execute(page).all()
    action = audit_entries.c.action
    matching = _actions(connection, pattern)
    if matching and any(getattr(filters, name) is not None for name in _EQUAL[1:]):
        # Not by the actions' index, which has no order across several of them.
        return connection.execute(page.where(action.concat("").in_(matching))).all()
    # An index has each action's entries in their order, all users' and each user's.
    numbers = wanted.with_only_columns(seq).limit(limit + offset)
    found = [n for one in matching for n in connection.scalars(numbers.where(action == one))]
    places = sorted(found, reverse=not oldest_first)[offset : offset + limit]
    if not places:
        return []
    return connection.execute(_ENTRIES.where(seq.in_(places)).order_by(order)).all()


def _actions(connection: Connection, pattern: str) -> list[str]:
    """Which actions of the log match, where `*` stands for any text. There are few actions, and
    the index leads from one to the next."""
    column = audit_entries.c.action
    found: list[str] = []
    action = ""
    while True:
        following = select(column).where(column > action).order_by(column).limit(1)
        if (known := connection.scalar(following)) is None:
            return found
        action = known
        if matches(pattern, action):
            found.append(action)


def _wanted(connection: Connection, filters: AuditFilters) -> Select[Any]:
    conditions = [*_conditions(filters)]
    if filters.since is not None or filters.until is not None:
        if _is_in_order(connection):
            conditions += _places(connection, filters)
        # Places bound the search; by times it would have to sort all that it finds.
        at = _AT + 0
        if filters.since is not None:
            conditions.append(at >= microseconds(filters.since))
        if filters.until is not None:
            conditions.append(at < microseconds(filters.until))
    return _ENTRIES.where(*conditions)


def _is_in_order(connection: Connection) -> bool:
    """Whether no entry is further from its place by time than the slack."""
    newest, last = connection.scalar(_NEWEST), connection.execute(_LAST).one_or_none()
    if newest is None or last is None or newest - SLACK > last.timestamp:
        return False
    return connection.scalar(_CLOCK) is None


def _places(connection: Connection, filters: AuditFilters) -> Iterator[ColumnElement[bool]]:
    """Between which numbers the entries of these times are, in a log that is in order: what is
    more than the slack before a time has only what is before that time in front of it."""
    seq, at = audit_entries.c.seq, _AT
    if filters.since is not None:
        earlier = select(seq).where(at < microseconds(filters.since) - _SLACK)
        last = earlier.order_by(at.desc(), seq.desc()).limit(1)
        if (place := connection.scalar(last)) is not None:
            yield seq > place
    if filters.until is not None:
        later = select(seq).where(at >= microseconds(filters.until) + _SLACK)
        first = later.order_by(at, seq).limit(1)
        if (place := connection.scalar(first)) is not None:
            yield seq < place


def matches(pattern: str, text: str) -> bool:
    """Whether the text fits a pattern in which `*` stands for any text and nothing else is
    special. Not a regular expression: many stars would take one for ever."""
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end) + len(part)
        if at < len(part):
            return False
    return text.endswith(last)


def _conditions(filters: AuditFilters) -> Iterator[ColumnElement[bool]]:
    columns = audit_entries.c
    wanted = {name: getattr(filters, name) for name in _EQUAL}
    if filters.action is not None and "*" not in filters.action:
        wanted["action"] = filters.action
    for name, value in wanted.items():
        if value is not None and name != "resource_id" and filters.resource_id is not None:
            # Of one thing there is little. Written so that no other index is taken for it.
            yield columns[name].concat("") == value
        elif value is not None:
            yield columns[name] == value


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
