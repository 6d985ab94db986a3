"""Verbs that walk the audit log and find the first entry that is not as it was written.

The chain shows every change, removal and exchange by somebody who did not write all that follows
anew. It does not show more: who may write the database can change an entry and give it and all
behind it new hashes, or cut off the end, and the rest fits together. Only a head that is kept
where they cannot write shows that: nothing up to it has changed while it still fits. Nor does
the chain prove that what was recorded is true, or that everything was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, Text, select, type_coerce
from sqlalchemy.exc import OperationalError

from chatserver_sdk.models import AuditFault

from . import chain
from .chain import EMPTY, Head
from .tables import audit_checkpoints, audit_entries

TRIMMED = "audit.trimmed"

# As they are stored: what was changed by hand need be neither a time nor JSON.
_ROWS: Select[Any] = select(
    *(audit_entries.c[name] for name in "seq user_id org_id action resource resource_id".split()),
    type_coerce(audit_entries.c.timestamp, BigInteger).label("timestamp"),
    type_coerce(audit_entries.c.metadata, Text).label("metadata"),
    audit_entries.c.hash,
).order_by(audit_entries.c.seq)
_CHECKPOINTS = select(
    audit_checkpoints.c.seq,
    audit_checkpoints.c.hash,
    audit_checkpoints.c.entries,
    type_coerce(audit_checkpoints.c.timestamp, BigInteger).label("timestamp"),
).order_by(audit_checkpoints.c.seq)


@dataclass
class Walk:
    """How far the log was walked. known: a head that was kept elsewhere; at: the last good entry,
    of so many entries; is_over: nothing is left to look at."""

    known: Head | None = None
    at: Head = EMPTY
    entries: int = 0
    fault: AuditFault | None = None
    is_over: bool = False
    checkpoints: tuple[Any, ...] | None = None
    is_vouched: bool = True
    # What stands where the chain breaks.
    found_hash: Any = None


def step(connection: Connection, walk: Walk, most: int) -> None:
    """Look at the next entries, so many at most. No step needs a step before it in its
    transaction."""
    if walk.checkpoints is None:
        _begin(connection, walk)
    if walk.is_over:
        return
    rows = read_rows(connection, _behind(walk), most)
    for row in rows:
        fault = _fault(walk, row)
        if fault is not None:
            walk.found_hash = row.hash
            _stop(connection, walk, fault)
            return
        walk.at = Head(row.seq, row.hash)
        walk.entries += 1
    if len(rows) < most:
        _end(walk)


def find_moved(connection: Connection, walk: Walk, behind: int | None, most: int) -> Row[Any] | Any:
    """Whether the entry that should stand where the walk ended is among the next ones: its row;
    else the number that they end with, None at the end of the log."""
    rows = read_rows(connection, behind, most)
    for row in rows:
        if not isinstance(row, Unreadable) and _belongs(walk, row):
            return row
    return rows[-1].seq if len(rows) == most else None


@dataclass(frozen=True)
class Unreadable:
    """A row that the database itself cannot make out."""

    seq: Any = None
    hash: Any = None
    entries: Any = None
    timestamp: Any = None


def read_rows(connection: Connection, behind: int | None, most: int) -> list[Any]:
    """The next entries as they are stored, up to one that cannot be read."""
    statement = _ROWS if behind is None else _ROWS.where(audit_entries.c.seq > behind)
    readable = _read(connection, statement.limit(most))
    if readable is not None:
        return readable
    if most == 1:
        return [Unreadable()]
    rows: list[Any] = []
    while len(rows) < most and not (rows and isinstance(rows[-1], Unreadable)):
        found = read_rows(connection, rows[-1].seq if rows else behind, 1)
        if not found:
            break
        rows += found
    return rows


def _read(connection: Connection, statement: Any) -> list[Any] | None:
    """The rows; None where one of them cannot be read."""
    try:
        return list(connection.execute(statement))
    except OperationalError as exc:
        # What SQLite's module says of a text that is no UTF-8.
        if "UTF-8" not in str(exc.orig):
            raise
        return None


def _begin(connection: Connection, walk: Walk) -> None:
    walk.checkpoints = _checkpoints(connection)
    walk.entries = 0
    start = walk.at = EMPTY
    if walk.checkpoints:
        last = walk.checkpoints[-1]
        start = walk.at = Head(last.seq, last.hash)
        walk.is_vouched = len(walk.checkpoints) == 1 and _vouches(connection, last)
    if walk.known is None or walk.known.seq > start.seq or walk.known == start:
        return
    walk.is_over = True
    if walk.known.seq == start.seq:
        walk.fault = _rewritten(start.seq)
    else:
        said = f"the head is of entry {walk.known.seq}, and all up to {start.seq} was trimmed"
        walk.fault = AuditFault(walk.known.seq, "trimmed", said)


def _vouches(connection: Connection, checkpoint: Any) -> bool:
    """Whether the log itself says that it was trimmed there."""
    columns = audit_entries.c
    statement = (
        select(
            type_coerce(columns.metadata, Text).label("metadata"),
            type_coerce(columns.timestamp, BigInteger).label("timestamp"),
        )
        .where(columns.action == TRIMMED)
        .order_by(columns.seq.desc())
        .limit(1)
    )
    left = {"through": checkpoint.seq, "hash": checkpoint.hash, "entries": checkpoint.entries}
    try:
        expected = chain.canonical_json(left), checkpoint.timestamp
    except (TypeError, ValueError):
        return False
    # One that cannot be read is found where it stands.
    said = _read(connection, statement)
    return said is None or [tuple(row) for row in said] == [expected]


def _checkpoints(connection: Connection) -> tuple[Any, ...]:
    found = _read(connection, _CHECKPOINTS.limit(2))
    if found is None or not all(isinstance(row.seq, int) for row in found):
        return (Unreadable(0, ""),)
    return tuple(found)


def _behind(walk: Walk) -> int | None:
    # At first there is no lower bound: what was given a number too low is found as well.
    return walk.at.seq if walk.entries else None


def _fault(walk: Walk, row: Any) -> AuditFault | None:
    expected = walk.at.seq + 1
    if isinstance(row, Unreadable):
        return AuditFault(expected, "changed", f"entry {expected} cannot be read")
    if row.seq != expected:
        if isinstance(row.seq, int) and row.seq < expected:
            said = f"entry {row.seq} stands before the first"
            return AuditFault(row.seq, "unexpected", said)
        return AuditFault(expected, "missing", f"entry {expected} is missing")
    if not _fits(walk, row, row.hash):
        return AuditFault(expected, "changed", f"entry {expected} is not as it was written")
    known = walk.known
    is_other = known is not None and known.seq == expected and known.hash != row.hash
    return _rewritten(expected) if is_other else None


def _fits(walk: Walk, row: Any, *hashes: Any) -> bool:
    try:
        return chain.hash_of(walk.at.hash, row, walk.at.seq + 1) in hashes
    except (TypeError, ValueError):
        return False


def _belongs(walk: Walk, row: Any) -> bool:
    return bool(row.seq != walk.at.seq + 1) and _fits(walk, row, row.hash, walk.found_hash)


def _rewritten(seq: int) -> AuditFault:
    said = f"entry {seq}, or one before it, is not the one that the head was taken of"
    return AuditFault(seq, "rewritten", said)


def _stop(connection: Connection, walk: Walk, fault: AuditFault) -> None:
    if walk.checkpoints != _checkpoints(connection):
        # The old end was trimmed meanwhile: begin anew behind it.
        walk.checkpoints = None
        return
    walk.is_over = True
    walk.fault = fault
    is_first = walk.entries == 0
    if is_first and not walk.is_vouched:
        walk.fault = _bad_checkpoint(walk)


def _bad_checkpoint(walk: Walk) -> AuditFault:
    seq = walk.checkpoints[-1].seq if walk.checkpoints else 0
    said = f"the checkpoint at entry {seq} is not the one that was left when the log was trimmed"
    return AuditFault(seq, "checkpoint", said)


def _end(walk: Walk) -> None:
    walk.is_over = True
    if not walk.is_vouched:
        walk.fault = _bad_checkpoint(walk)
    elif walk.known is not None and walk.known.seq > walk.at.seq:
        seq = walk.at.seq + 1
        said = f"the log ends with entry {walk.at.seq}, and the head is of {walk.known.seq}"
        walk.fault = AuditFault(seq, "truncated", said)
