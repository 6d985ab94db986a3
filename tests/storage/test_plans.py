"""How SQLite finds the entries of lists: by an index, never by reading a table to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from store_records import NOW, Db, new_id

from chatserver_sdk.storage import audit, sessions
from chatserver_sdk.storage.audit import AuditFilters

FILTERS: list[AuditFilters] = [
    AuditFilters(),
    AuditFilters(since=NOW),
    AuditFilters(until=NOW),
    AuditFilters(since=NOW, until=NOW),
    AuditFilters(action="admin.added"),
    AuditFilters(action="admin.*"),
    AuditFilters(action="*.added"),
    AuditFilters(user_id="ada"),
    AuditFilters(org_id="acme"),
    AuditFilters(resource="admin"),
    AuditFilters(resource_id="x"),
    AuditFilters(NOW, NOW, "admin.*", "ada", "acme", "admin", "x"),
]
LISTS: list[Any] = [
    (sessions.list_sessions, {"user_id": "ada", "page": 1, "page_size": 10}),
    (sessions.list_sessions, {"user_id": "ada", "page": 7, "page_size": 10}),
    (sessions.list_from, {"user_id": "ada", "behind": None, "most": 10}),
    (sessions.list_from, {"user_id": "ada", "behind": (NOW, new_id()), "most": 10}),
    *((audit.list_entries, {"limit": 9, "filters": filters}) for filters in FILTERS),
    *((audit.list_entries, {"limit": 9, "offset": 9, "filters": f}) for f in FILTERS),
    *((audit.list_entries, {"limit": 9, "below": 7, "filters": f}) for f in FILTERS),
]


def plans_of(connection: Connection, verb: Any, arguments: dict[str, Any]) -> list[str]:
    """How SQLite goes about each statement of a verb."""
    said: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    verb(connection, **arguments)
    event.remove(connection, "before_cursor_execute", note)
    lines: list[str] = []
    for statement, parameters in said:
        explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        lines += [row[3] for row in explained]
    return lines


@pytest.mark.parametrize(
    ("verb", "arguments"), LISTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_no_list_reads_a_whole_table(db: Db, verb: Any, arguments: dict[str, Any]) -> None:
    """Each step of each list's plan is a search."""
    lines = db.write(plans_of, verb, arguments)

    assert lines and not [line for line in lines if line.startswith("SCAN")]


@pytest.mark.parametrize("arguments", [a for verb, a in LISTS if verb is sessions.list_from])
def test_pages_of_sessions_are_not_sorted(db: Db, arguments: dict[str, Any]) -> None:
    """The index has them in their order already."""
    lines = db.write(plans_of, sessions.list_from, arguments)

    assert "ix_sessions_opened" in str(lines) and "TEMP B-TREE" not in str(lines)


def test_an_older_database_gets_its_indexes(tmp_path: Path) -> None:
    """One of the first revision is brought up to date with what it holds."""
    path = str(tmp_path / "store.db")
    db = Db.open(path)
    db.write(audit.record, "a", by=None, now=NOW, resource="r", resource_id="i")
    db.write(to_first_revision)
    db.close()

    db = Db.open(path)
    entries = db.read(audit.list_entries, limit=9, filters=AuditFilters(action="a"))
    names = db.read(lambda c: [row[0] for row in c.execute(text("SELECT name FROM sqlite_master"))])
    db.close()

    assert [entry.id for entry in entries] == ["1"]
    assert {"ix_sessions_opened", "idempotency_keys", "ix_audit_entries_action"} <= set(names)


def to_first_revision(connection: Connection) -> int:
    """Take away what later steps have made."""
    made = "SELECT name FROM sqlite_master WHERE type = 'index' AND (name LIKE 'ix_audit%'"
    for name in connection.execute(text(f"{made} OR name = 'ix_sessions_opened')")).scalars().all():
        connection.execute(text(f"DROP INDEX {name}"))
    connection.execute(text("DROP TABLE idempotency_keys"))
    connection.execute(text("DROP TABLE files"))
    return connection.execute(text("UPDATE alembic_version SET version_num = '0001'")).rowcount
