"""What was done to the audit log behind its back is found, and said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from sqlalchemy import Connection, text
from store_records import NOW, SECOND, Db

from chatserver_sdk.engine import auditing
from chatserver_sdk.models import AuditVerification
from chatserver_sdk.storage import Conflict, audit, retention
from chatserver_sdk.storage.chain import NOTHING, Head
from chatserver_sdk.storage.verification import Walk, step

COLUMNS = "seq timestamp user_id org_id action resource resource_id metadata hash".split()
TEXTS = COLUMNS[2:]
CHECKPOINT = "seq hash entries timestamp".split()
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

LENGTH = 7


class Log:
    """A small log, and what is done to it with bare SQL."""

    def __init__(self, db: Db) -> None:
        self.db = db
        for number in range(LENGTH):
            given = {"resource": "thing", "resource_id": f"x{number}", "metadata": {"n": number}}
            now = NOW + number * SECOND
            db.write(audit.record, f"a.{number}", by="ada", now=now, **given)
        self.keep()

    def keep(self) -> None:
        """This is how it was written."""
        self.head: Head = self.db.read(audit.get_head)
        self._rows = self.sql("SELECT * FROM audit_entries ORDER BY seq")
        self._checkpoints = self.sql("SELECT * FROM audit_checkpoints")

    def sql(self, statement: str, **values: Any) -> Any:
        """What a statement gives."""

        def work(connection: Connection) -> Any:
            found = connection.execute(text(statement), values)
            return found.all() if found.returns_rows else None

        return self.db.write(work)

    def restore(self) -> None:
        """Have it as it was."""
        for table, rows in (
            ("audit_entries", self._rows),
            ("audit_checkpoints", self._checkpoints),
        ):
            self.sql(f"DELETE FROM {table}")
            for row in rows:
                names = ", ".join(f":{name}" for name in row._fields)
                columns = ", ".join(row._fields)
                self.sql(f"INSERT INTO {table} ({columns}) VALUES ({names})", **row._mapping)

    def check(self, known: Head | None = None) -> AuditVerification:
        """What a verification says."""
        return asyncio.run(auditing.verify(self.db.store, known))

    def found(self, known: Head | None = None) -> tuple[int, str] | None:
        """The first bad entry and why."""
        bad = self.check(known).first_bad
        return None if bad is None else (bad.seq, bad.reason)


@pytest.fixture(scope="module")
def opened() -> Iterator[Db]:
    """One database for all of this module."""
    db = Db.open(":memory:")
    yield db
    db.close()


@pytest.fixture(scope="module")
def whole(opened: Db) -> Log:
    """A log from its first entry on."""
    return Log(opened)


@pytest.fixture(scope="module")
def trimmed() -> Iterator[Log]:
    """A log whose first three entries were trimmed."""
    db = Db.open(":memory:")
    log = Log(db)
    db.write(retention.trim, NOW + 3 * SECOND, by=None, now=NOW + 9 * SECOND, most=100)
    log.keep()
    yield log
    db.close()


@pytest.fixture(params=["whole", "trimmed"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """Each of the two, good before and again after."""
    log: Log = request.getfixturevalue(request.param)
    assert log.check(log.head).ok
    yield log
    log.restore()


def first_and_last(log: Log) -> tuple[int, int]:
    """The numbers that the log has."""
    return tuple(log.sql("SELECT min(seq), max(seq) FROM audit_entries")[0])


@settings(max_examples=150, suppress_health_check=HEALTH, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found(log: Log, data: st.DataObject) -> None:
    """Of any field of any entry, to any byte; the entry is named."""
    log.restore()
    first, last = first_and_last(log)
    seq = data.draw(st.integers(first, last))
    column = data.draw(st.sampled_from(TEXTS))
    stored = log.sql(f"SELECT CAST({column} AS BLOB) FROM audit_entries WHERE seq = {seq}")[0][0]
    changed = bytearray(stored or b"null")
    at = data.draw(st.integers(0, len(changed)))
    byte = data.draw(st.integers(0, 255))
    kind = data.draw(st.sampled_from(["change", "insert", "remove", "null"]))
    changed[at : at + (kind != "insert")] = b"" if kind == "remove" else bytes([byte])
    new = None if kind == "null" and column in TEXTS[:2] else bytes(changed)
    assume(new != stored)

    log.sql(f"UPDATE audit_entries SET {column} = CAST(:v AS TEXT) WHERE seq = {seq}", v=new)

    assert log.found() == (seq, "changed")


@settings(max_examples=50, suppress_health_check=HEALTH, deadline=None)
@given(data=st.data())
def test_any_changed_number_is_found(log: Log, data: st.DataObject) -> None:
    """Another time, another number, and what is no number at all."""
    log.restore()
    first, last = first_and_last(log)
    seq = data.draw(st.integers(first, last))
    column = data.draw(st.sampled_from(["seq", "timestamp"]))
    value = data.draw(st.integers(-(2**63), 2**63 - 1) | st.sampled_from(["x", b"x", 1.5]))
    before = log.sql(f"SELECT {column} FROM audit_entries WHERE seq = {seq}")[0][0]
    assume(value != before and not (column == "seq" and first <= _number(value) <= last))

    log.sql(f"UPDATE audit_entries SET {column} = :v WHERE seq = {seq}", v=value)

    bad = log.found(log.head)
    assert bad is not None
    if column == "timestamp":
        assert bad == (seq, "changed")


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) else -1


def test_what_is_removed_is_found(log: Log) -> None:
    """Each run of entries: in the middle by itself, at the end by a head kept elsewhere."""
    first, last = first_and_last(log)
    for begin in range(first, last + 1):
        for end in range(begin, last + 1):
            log.sql(f"DELETE FROM audit_entries WHERE seq BETWEEN {begin} AND {end}")
            expected = (begin, "missing" if end < last else "truncated")
            if end == last and first > 1:
                # The entry that the checkpoint rests on has gone as well.
                expected = (first - 1, "checkpoint")
            assert log.found(log.head) == expected
            log.restore()


def test_any_exchange_is_found(log: Log) -> None:
    """Two entries that change places, whatever of them goes along."""
    first, last = first_and_last(log)
    rest = [name for name in COLUMNS if name != "seq"]
    pairs = [(a, b) for a in range(first, last + 1) for b in range(a + 1, last + 1)]
    for without in (None, "hash"):
        for one, other in pairs:
            for name in rest:
                if name != without:
                    exchange(log, name, one, other)
            assert log.found() == (one, "reordered")
            log.restore()


def exchange(log: Log, column: str, one: int, other: int) -> None:
    """Have two entries exchange what they hold in a column."""
    values = [
        log.sql(f"SELECT {column} FROM audit_entries WHERE seq = {seq}")[0][0]
        for seq in (one, other)
    ]
    for seq, value in zip((other, one), values):
        log.sql(f"UPDATE audit_entries SET {column} = :v WHERE seq = {seq}", v=value)


def test_an_entry_that_went_elsewhere_is_found(whole: Log) -> None:
    """Given another number, behind the end or before the beginning."""
    whole.sql("UPDATE audit_entries SET seq = 99 WHERE seq = 3")
    behind = whole.check()
    whole.restore()
    whole.sql("UPDATE audit_entries SET seq = -3 WHERE seq = 3")
    before = whole.found()
    whole.restore()

    assert behind.first_bad is not None and behind.entries == 2
    assert behind.first_bad.to_dict() == {
        "seq": 3,
        "reason": "reordered",
        "detail": "entry 3 stands where entry 99 should be",
    }
    assert before == (-3, "unexpected")


def test_only_a_head_kept_elsewhere_shows_a_log_written_anew(whole: Log) -> None:
    """It fits together from end to end; the head says that it is another one."""
    head, early = whole.head, Head(3, whole.sql("SELECT hash FROM audit_entries")[2][0])
    whole.sql("DELETE FROM audit_entries")
    for number in range(LENGTH + 2):
        whole.db.write(
            audit.record, "a.b", by="eve", now=NOW, resource="thing", resource_id=str(number)
        )

    assert whole.check().ok
    assert whole.found(head) == (LENGTH, "rewritten")
    assert whole.found(early) == (3, "rewritten")
    whole.sql("DELETE FROM audit_entries WHERE seq >= 5")
    assert whole.check().ok and whole.found(head) == (5, "truncated")
    whole.sql("DELETE FROM audit_entries")
    assert whole.check().ok and whole.found(head) == (1, "truncated")
    whole.restore()


def test_every_head_that_was_kept_fits(log: Log) -> None:
    """Each entry's hash proves the log up to it; one from before the checkpoint proves nothing."""
    rows = log.sql("SELECT seq, hash FROM audit_entries ORDER BY seq")
    for row in rows:
        assert log.check(Head(row.seq, row.hash)).ok
        assert log.found(Head(row.seq, NOTHING)) == (row.seq, "rewritten")
    first = rows[0].seq
    assert log.found(Head(first - 1, "f" * 64)) == (first - 1, "rewritten")
    if first > 1:
        assert log.found(Head(first - 2, "f" * 64)) == (first - 2, "trimmed")
        checkpoint = log.sql("SELECT seq, hash FROM audit_checkpoints")[0]
        assert log.check(Head(checkpoint.seq, checkpoint.hash)).ok


@pytest.mark.parametrize(
    "change",
    [
        *(f"UPDATE audit_checkpoints SET {name} = {name} - 1" for name in ("entries", "timestamp")),
        "UPDATE audit_checkpoints SET hash = replace(hash, substr(hash, 9, 1), 'z')",
        "UPDATE audit_checkpoints SET hash = x'ff'",
        "UPDATE audit_checkpoints SET entries = x'ff'",
        "INSERT INTO audit_checkpoints VALUES (1, 'x', 1, 1)",
        "DELETE FROM audit_entries",
    ],
)
def test_a_bad_checkpoint_is_found(trimmed: Log, change: str) -> None:
    """It must be the one that the log says was left."""
    trimmed.sql(change)
    found = trimmed.found()
    trimmed.restore()

    assert found == (3, "checkpoint")


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ("DELETE FROM audit_checkpoints", (1, "missing")),
        ("UPDATE audit_checkpoints SET seq = 2", (3, "missing")),
        ("UPDATE audit_checkpoints SET seq = 4", (4, "unexpected")),
    ],
)
def test_a_checkpoint_elsewhere_is_found(trimmed: Log, change: str, bad: Any) -> None:
    """Where the log does not begin behind it."""
    trimmed.sql(change)
    found = trimmed.found()
    trimmed.restore()

    assert found in (bad, (bad[0] - 1, "checkpoint"), (4, "checkpoint"))


def test_a_checkpoint_that_cannot_be_read_is_found(trimmed: Log) -> None:
    """A text that is none is not a failure of the verification."""
    trimmed.sql("UPDATE audit_checkpoints SET hash = CAST(x'ff' AS TEXT)")
    found = trimmed.found()
    trimmed.restore()

    assert found is not None and found[1] in ("missing", "checkpoint")


def test_evidence_is_not_trimmed(db: Db) -> None:
    """A log that was changed keeps its old end; nothing is written."""
    log = Log(db)
    log.sql("UPDATE audit_entries SET user_id = 'eve' WHERE seq = 2")
    later = NOW + 1000 * SECOND

    with pytest.raises(Conflict, match="entry 2 is not as it was written"):
        db.write(retention.trim, later, by=None, now=later, most=100)

    assert first_and_last(log) == (1, LENGTH)


def test_trimming_in_steps(db: Db) -> None:
    """Each step leaves one checkpoint and one entry, and the log whole; at the end nothing is
    done."""
    log = Log(db)
    taken = []
    while not taken or taken[-1]:
        taken.append(db.write(retention.trim, NOW + 5 * SECOND, by="cron", now=NOW, most=2))
        assert log.check(log.head).ok is True

    entries = db.read(audit.list_entries, limit=3)
    assert taken == [2, 2, 1, 0]
    assert first_and_last(log) == (6, LENGTH + 3)
    assert [tuple(row)[:3] for row in log.sql("SELECT * FROM audit_checkpoints")] == [
        (5, entries[0].metadata["hash"], 1)
    ]
    assert (entries[0].action, entries[0].user_id) == ("audit.trimmed", "cron")
    assert entries[1].metadata["through"] == 4 and entries[1].metadata["entries"] == 2


def test_trimming_everything(db: Db) -> None:
    """What is left is the entry that says so, and numbers go on."""
    log = Log(db)
    later = NOW + 1000 * SECOND

    taken = db.write(retention.trim, later, by=None, now=NOW, most=100)
    again = db.write(retention.trim, later, by=None, now=NOW, most=100)

    assert (taken, again) == (LENGTH, 1)
    assert log.check().ok and first_and_last(log) == (LENGTH + 2, LENGTH + 2)


def test_a_log_that_is_trimmed_meanwhile_is_whole(db: Db) -> None:
    """The walk begins anew behind the checkpoint that was left under its feet."""
    log = Log(db)
    walk = Walk(log.head)
    db.read(step, walk, 2)
    db.write(retention.trim, NOW + 5 * SECOND, by=None, now=NOW, most=100)
    while not walk.is_over:
        db.read(step, walk, 2)

    assert walk.fault is None and (walk.entries, walk.at.seq) == (3, LENGTH + 1)
