"""How SQLite finds the entries of lists: by an index, never by reading a table to its end."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from store_records import NOW, Db, make_database, new_id

import chatserver_sdk.storage
from chatserver_sdk.storage import admins, audit, chat_sessions, files, keys, sessions
from chatserver_sdk.storage.audit import AuditFilters

CHOICES: dict[str, Any] = {
    "since": NOW,
    "until": NOW,
    "action": "admin.added",
    "user_id": "ada",
    "org_id": "acme",
    "resource": "admin",
    "resource_id": "x",
}
FILTERS: list[AuditFilters] = [
    AuditFilters(**{name: CHOICES[name] for name in names})
    for count in range(len(CHOICES) + 1)
    for names in combinations(CHOICES, count)
] + [
    AuditFilters(action="admin.*"),
    AuditFilters(action="*.added"),
    AuditFilters(action="none.*"),
    AuditFilters(action="admin.*", user_id="ada"),
    AuditFilters(action="admin.*", since=NOW),
    AuditFilters(NOW, NOW, "admin.*", "ada", "acme", "admin", "x"),
]
LISTS: list[Any] = [
    (admins.list_admins, {}),
    (keys.list_keys, {"most": 10}),
    (keys.list_keys, {"behind": (NOW, new_id()), "most": 10}),
    (files.list_files, {"session_id": new_id()}),
    (chat_sessions.list_from, {"user_id": "ada", "behind": None, "most": 10}),
    (chat_sessions.list_from, {"user_id": "ada", "behind": (NOW, new_id()), "most": 10}),
    (
        chat_sessions.list_from,
        {"user_id": "ada", "behind": None, "most": 10, "status": "archived"},
    ),
    (sessions.list_records, {"session_id": new_id(), "behind": 3, "below": 90, "most": 10}),
    (sessions.list_messages, {"session_id": new_id()}),
    (sessions.list_messages, {"session_id": new_id(), "last": 10}),
    (sessions.list_messages, {"session_id": new_id(), "turn_id": new_id()}),
    (sessions.list_messages, {"session_id": new_id(), "without": new_id(), "last": 10}),
    (sessions.find_session, {"session_id": new_id()}),
    (sessions.count_said, {"session_id": new_id()}),
    (sessions.count_sessions, {"user_id": "ada"}),
    (sessions.list_sessions, {"user_id": "ada", "page": 1, "page_size": 10}),
    (sessions.list_sessions, {"user_id": "ada", "page": 7, "page_size": 10}),
    (sessions.list_from, {"user_id": "ada", "behind": None, "most": 10}),
    (sessions.list_from, {"user_id": "ada", "behind": (NOW, new_id()), "most": 10}),
    *((audit.list_entries, {"limit": 9, "filters": filters}) for filters in FILTERS),
    *((audit.list_entries, {"limit": 9, "offset": 9, "filters": f}) for f in FILTERS),
    *((audit.list_entries, {"limit": 9, "below": 7, "filters": f}) for f in FILTERS),
    *((audit.list_after, {"after": 7, "limit": 9, "filters": f}) for f in FILTERS),
    (audit.get_head, {}),
]


def plans_of(connection: Connection, verb: Any, arguments: dict[str, Any]) -> list[str]:
    """How SQLite goes about each statement of a verb."""
    said: list[str] = []
    driver: Any = connection.connection.dbapi_connection
    # As SQLite itself sees them, with their values.
    driver.set_trace_callback(said.append)
    verb(connection, **arguments)
    driver.set_trace_callback(None)
    lines: list[str] = []
    for statement in said:
        lines += [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
    return lines


def test_no_list_reads_a_whole_table() -> None:
    """Each step of each list's plan is a search, whatever is asked for together."""
    db = Db.open(":memory:")
    for action in ("admin.added", "admin.removed", "x"):
        db.write(audit.record, action, by="ada", now=NOW, resource="admin", resource_id="x")

    plans = [(arguments, db.write(plans_of, verb, arguments)) for verb, arguments in LISTS]
    db.close()

    assert all(lines for _, lines in plans)
    scans = [
        (arguments, line) for arguments, lines in plans for line in lines if line.startswith("SCAN")
    ]
    assert scans == []


def test_no_list_is_left_out() -> None:
    """Whatever verb lists something stands above."""
    verbs = set()
    for module in pkgutil.iter_modules(chatserver_sdk.storage.__path__):
        found = importlib.import_module(f"chatserver_sdk.storage.{module.name}")
        verbs |= {
            value
            for name, value in vars(found).items()
            if name.startswith("list_") and callable(value)
        }
    assert verbs <= {verb for verb, _ in LISTS}


@pytest.mark.parametrize("arguments", [a for verb, a in LISTS if verb is sessions.list_from])
def test_pages_of_sessions_are_not_sorted(sqlite_db: Db, arguments: dict[str, Any]) -> None:
    """The index has them in their order already."""
    lines = sqlite_db.write(plans_of, sessions.list_from, arguments)

    assert "ix_sessions_opened" in str(lines) and "TEMP B-TREE" not in str(lines)


@pytest.mark.parametrize("behind", [None, (NOW, new_id())])
def test_pages_of_one_status_are_not_looked_for(sqlite_db: Db, behind: Any) -> None:
    """The index has the sessions of a user and a status, and no others are passed over."""
    arguments = {"user_id": "ada", "behind": behind, "most": 10, "status": "archived"}
    lines = sqlite_db.write(plans_of, chat_sessions.list_from, arguments)

    assert "ix_sessions_status (user_id=? AND status=?" in str(lines)
    assert "TEMP B-TREE" not in str(lines)


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        ({"user_id": "ada", "action": "admin.*"}, "ix_audit_entries_done (user_id=? AND action=?"),
        ({"user_id": "ada", "action": "admin.x"}, "ix_audit_entries_done (user_id=? AND action=?"),
        ({"user_id": "ada", "resource_id": "x"}, "ix_audit_entries_resource_id (resource_id=?"),
        (
            {"user_id": "ada", "resource": "admin", "action": "admin.x", "resource_id": "x"},
            "ix_audit_entries_resource_id (resource_id=?",
        ),
        ({"user_id": "ada"}, "ix_audit_entries_user (user_id=?"),
    ],
)
@pytest.mark.parametrize("offset", [0, 9])
def test_what_is_rare_is_looked_for(
    sqlite_db: Db, chosen: dict[str, str], index: str, offset: int
) -> None:
    """Of the indexes that a filter could take, the one with the fewest entries behind it."""
    sqlite_db.write(audit.record, "admin.x", by="a", now=NOW, resource="admin", resource_id="x")
    arguments = {"limit": 9, "offset": offset, "filters": AuditFilters(**chosen)}
    lines = sqlite_db.write(plans_of, audit.list_entries, arguments)

    assert index in str(lines) and "TEMP B-TREE" not in str(lines)


def test_an_older_database_gets_its_indexes(tmp_path: Path) -> None:
    """One of the first revision is brought up to date with what it holds."""
    path = tmp_path / "store.db"
    make_database(path, "0001")
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO audit_entries (seq, timestamp, action, metadata) VALUES (1, 1, 'a', '{}')"
    )
    connection.commit()
    connection.close()

    db = Db.open(str(path))
    entries = db.read(audit.list_entries, limit=9, filters=AuditFilters(action="a"))
    names = db.read(lambda c: [row[0] for row in c.execute(text("SELECT name FROM sqlite_master"))])
    db.close()

    assert [entry.id for entry in entries] == ["1"]
    assert {"ix_sessions_opened", "idempotency_keys", "ix_audit_entries_action"} <= set(names)
