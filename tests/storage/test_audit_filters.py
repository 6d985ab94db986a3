"""Filters of the audit log: what they give is what reading all of it would give."""

from __future__ import annotations

import re
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from store_records import NOW, Db, make_database

from chatserver_sdk.models import AuditEntry
from chatserver_sdk.storage import audit
from chatserver_sdk.storage.audit import AuditFilters
from chatserver_sdk.storage.tables import microseconds
from test_chain import checked

MINUTE = timedelta(minutes=1)
ACTIONS = ["admin.added", "admin.removed", "ADMIN.x", "key[a]", "key?", "a%b", "a_b", "x"]
PATTERNS = ["*", "admin.*", "*.added", "a*d", "key[a]*", "key?*", "a%*", "a_*", "**x", "no*"]
MOMENTS = st.integers(-4, 4).map(lambda minutes: NOW + minutes * MINUTE)
NOTES = st.tuples(
    MOMENTS, st.sampled_from(ACTIONS), st.sampled_from(["ada", "bob"]), st.sampled_from("rs")
)
CHOSEN = st.builds(
    AuditFilters,
    since=st.none() | MOMENTS,
    until=st.none() | MOMENTS,
    action=st.none() | st.sampled_from(ACTIONS + PATTERNS),
    user_id=st.none() | st.sampled_from(["ada", "eve"]),
    resource=st.none() | st.just("r"),
)


def matches(filters: AuditFilters, entry: AuditEntry) -> bool:
    """The filters, one by one."""
    pattern = ".*".join(map(re.escape, (filters.action or "*").split("*")))
    return (
        (filters.since is None or entry.timestamp >= filters.since)
        and (filters.until is None or entry.timestamp < filters.until)
        and re.fullmatch(pattern, entry.action) is not None
        and filters.user_id in (None, entry.user_id)
        and filters.resource in (None, entry.resource)
    )


def filled(notes: list[Any]) -> Db:
    """A log of these entries, whatever the clock did."""
    db = Db.open(":memory:")

    def work(connection: Any) -> None:
        for now, action, user, resource in notes:
            audit.record(connection, action, by=user, now=now, resource=resource, resource_id="i")

    db.write(work)
    return db


@given(
    notes=st.lists(NOTES, max_size=25),
    in_order=st.booleans(),
    chosen=st.lists(CHOSEN, min_size=1, max_size=4),
    place=st.integers(0, 30),
    limit=st.integers(1, 30),
)
def test_filters_give_what_reading_everything_gives(
    notes: list[Any], in_order: bool, chosen: list[AuditFilters], place: int, limit: int
) -> None:
    """In every order, from every place, also where the clock was set back."""
    db = filled(sorted(notes, key=lambda note: note[0]) if in_order else notes)
    whole = db.read(audit.list_entries, limit=999)
    for filters in chosen:
        wanted = [entry for entry in whole if matches(filters, entry)]
        older = [entry for entry in wanted if int(entry.id) < place]
        newer = [entry for entry in wanted[::-1] if int(entry.id) > place]
        how: Any = {"limit": limit, "filters": filters}
        pages = [
            db.read(audit.list_entries, **how),
            db.read(audit.list_entries, offset=place, **how),
            db.read(audit.list_entries, below=place, **how),
            db.read(audit.list_after, place, **how),
        ]
        assert pages == [
            wanted[:limit],
            wanted[place : place + limit],
            older[:limit],
            newer[:limit],
        ]
    db.close()


@pytest.mark.parametrize(("back", "is_said"), [(0, False), (60, False), (61, True), (9999, True)])
def test_a_clock_that_was_set_back_is_said(db: Db, back: int, is_said: bool) -> None:
    """Once, in front of the first entry from then; callers who write late are no such case."""
    given: Any = {"by": "ada", "resource": "r", "resource_id": "i"}
    for seconds in (0, -back, -back + 1):
        db.write(audit.record, "a", now=NOW + timedelta(seconds=seconds), **given)

    entries = db.read(audit.list_entries, limit=9)[::-1]

    expected = ["a", "clock.set_back", "a", "a"] if is_said else ["a"] * 3
    assert [entry.action for entry in entries] == expected
    assert not is_said or entries[1].metadata == {"seconds": back}
    assert checked(db).ok


@pytest.mark.parametrize("back", [0, 60, 99])
def test_an_older_log_becomes_a_chain(tmp_path: Path, back: int) -> None:
    """All that it holds has hashes that fit, and a clock that was set back is said at its end."""
    given: Any = {"by": "ada", "resource": "r", "resource_id": "i", "metadata": {"b": 1, "a": "ü"}}
    db = Db.open(":memory:")
    for number in range(1005):
        db.write(audit.record, "a", now=NOW + timedelta(seconds=number), **given)
    before = db.read(audit.list_entries, limit=2000)
    db.close()
    path = tmp_path / "store.db"
    make_database(path, "0004")
    write_unchained(path, back)

    db = Db.open(str(path))
    found, after = checked(db), db.read(audit.list_entries, limit=2000)
    db.close()

    said = back - 1 > 60
    assert found.ok and found.entries == 1005 + said
    assert [entry.id for entry in after[said:]] == [entry.id for entry in before]
    assert (after[said].hash == before[0].hash) == (back == 0)
    assert after[-5].metadata == {"b": 1, "a": "ü"}


def write_unchained(path: Path, back: int) -> None:
    """A thousand entries as they were before there was a chain, two of them so many seconds late;
    and one whose metadata is spelled in another way."""
    connection = sqlite3.connect(path)
    begun = microseconds(NOW)
    for seq in range(1, 1006):
        at = begun + (seq - 1) * 1_000_000 - (back * 1_000_000 if seq in (2, 3) else 0)
        spelled = '{ "b": 1, "a": "\\u00fc" }' if seq == 5 else '{"a":"ü","b":1}'
        connection.execute(
            "INSERT INTO audit_entries (seq, timestamp, user_id, action, resource, resource_id,"
            " metadata) VALUES (?, ?, 'ada', 'a', 'r', 'i', ?)",
            (seq, at, spelled),
        )
    connection.commit()
    connection.close()
