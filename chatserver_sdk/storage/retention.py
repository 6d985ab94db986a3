"""Verbs that trim the old end of the audit log, and leave a checkpoint where it begins now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert

from . import audit
from .errors import Conflict
from .tables import audit_checkpoints, audit_entries, microseconds
from .verification import TRIMMED, Walk, read_rows, step


def trim(
    connection: Connection, before: datetime, *, by: str | None, now: datetime, most: int
) -> int:
    """Trim entries from before this time, the oldest first and so many at most; how many.

    What is trimmed is verified first, and the trimming is an entry itself. Raises Conflict for
    entries that are not as they were written: they are evidence.
    """
    rows = read_rows(connection, None, most)
    end = microseconds(before)
    old = next((at for at, row in enumerate(rows) if not _is_before(row, end)), len(rows))
    if old == 0:
        return 0
    walk = Walk()
    step(connection, walk, old)
    if walk.fault is not None or not walk.is_vouched:
        why = walk.fault.detail if walk.fault else "its checkpoint is not the one that was left"
        raise Conflict(f"the audit log is not trimmed: {why}", "audit_log_broken")
    last = walk.at
    left = {"through": last.seq, "hash": last.hash, "entries": old}
    audit.record(
        connection, TRIMMED, by=by, now=now, resource="audit", resource_id="log", metadata=left
    )
    connection.execute(delete(audit_entries).where(audit_entries.c.seq <= last.seq))
    connection.execute(delete(audit_checkpoints))
    values = {"seq": last.seq, "hash": last.hash, "entries": old, "timestamp": now}
    connection.execute(insert(audit_checkpoints), values)
    return old


def _is_before(row: object, end: int) -> bool:
    timestamp = getattr(row, "timestamp", None)
    # What is no time is left to the verification.
    return not isinstance(timestamp, int) or timestamp < end
