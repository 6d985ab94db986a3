"""The audit log's chain: its canonical form, its heads, and logs of every length that fit together."""

from __future__ import annotations

import asyncio
import hashlib
import json
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, strategies as st
from store_records import NOW, SECOND, Db

from chatserver_sdk.engine import auditing
from chatserver_sdk.models import AuditVerification
from chatserver_sdk.storage import Conflict, audit, chain, retention, tables
from chatserver_sdk.storage.chain import Draft, Head

NAMES = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    # What UTF-8 can write.
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3),
    max_leaves=6,
)


def add(connection: Any, action: str = "a.b", **fields: Any) -> None:
    """One more entry."""
    given = {"by": "ada", "now": NOW, "resource": "thing", "resource_id": "x", **fields}
    audit.record(connection, action, **given)


def checked(db: Db, known: Head | None = None) -> AuditVerification:
    """What a verification says."""
    return asyncio.run(auditing.verify(db.store, known))


@given(seq=st.integers(1, 10**15), time=st.integers(-(10**15), 10**15), data=st.data())
def test_the_canonical_form_is_what_it_says(seq: int, time: int, data: st.DataObject) -> None:
    """Any JSON library that sorts keys writes the same bytes."""
    names = [data.draw(NAMES) for _ in range(4)]
    action, metadata = names[0] or "", data.draw(JSON)
    text = chain.canonical_json(metadata)
    user, org, resource = names[1:]
    draft = Draft(seq, time, user, org, action, resource, action, text)

    written = chain.canonical_form(chain.NOTHING, draft)

    plain = {
        "v": 1,
        "previous": chain.NOTHING,
        "seq": seq,
        "timestamp": time,
        "user_id": user,
        "org_id": org,
        "action": action,
        "resource": resource,
        "resource_id": action,
        "metadata": json.loads(text),
    }
    expected = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert written == expected.encode()
    assert chain.hash_of(chain.NOTHING, draft) == hashlib.sha256(written).hexdigest()


def test_a_known_hash() -> None:
    """The form never changes: this is what version 1 gives."""
    draft = Draft(1, 1772366400123456, "ada", None, "admin.added", "admin", "é\n", '{"a":[1,"ü"]}')

    assert chain.canonical_form(chain.NOTHING, draft).decode() == (
        '{"action":"admin.added","metadata":{"a":[1,"ü"]},"org_id":null,"previous":"'
        + "0" * 64
        + '","resource":"admin","resource_id":"é\\n","seq":1,"timestamp":1772366400123456,'
        '"user_id":"ada","v":1}'
    )
    assert chain.hash_of(chain.NOTHING, draft) == (
        "dc199a66d85da5b1af69e7bfebc51989483e8ed7989c4941dccabb349857e63d"
    )


@pytest.mark.parametrize(
    "text", ["", "1", "1:", "01:" + "0" * 64, "-1:" + "0" * 64, "1:" + "G" * 64, "1:" + "0" * 63]
)
def test_what_is_no_head(text: str) -> None:
    """Refused with the form that it must have."""
    with pytest.raises(ValueError, match="number, a colon"):
        chain.parse_head(text)


def test_heads_are_read_as_they_were_written() -> None:
    """Text and back."""
    assert chain.parse_head(str(Head(17, "ab" * 32))) == Head(17, "ab" * 32)
    assert chain.parse_head(str(chain.EMPTY)) == chain.EMPTY


def test_logs_of_every_length_fit_together(db: Db) -> None:
    """None, one, and more than one look of the verification takes in."""
    for _ in range(4):
        found = checked(db)
        head = db.read(audit.get_head)
        assert (found.ok, found.first_bad) == (True, None)
        assert found.entries == head.seq and found.head == str(head)
        db.write(lambda connection: [add(connection, str(number)) for number in range(700)])
    assert head.seq == 2100


@given(
    batches=st.lists(st.lists(st.sampled_from(["one", "three", "refused", "failed"])), max_size=4)
)
def test_any_batches_leave_a_whole_chain(batches: list[list[str]]) -> None:
    """Jobs that are refused, and batches that are rolled back, leave no gap and no fork."""
    db = Db.open(":memory:")
    writer = db.store._writer
    futures: list[Future[Any]] = [
        writer.submit(lambda connection, kind=kind: job(connection, kind))
        for batch in batches
        for kind in batch
    ]
    counts = {"one": 1, "three": 3}
    kinds = [kind for batch in batches for kind in batch]

    for kind, future in zip(kinds, futures):
        wrong = {"refused": Conflict, "failed": ZeroDivisionError}.get(kind)
        assert isinstance(future.exception(), wrong or type(None))
    found = checked(db)
    db.close()

    assert found.ok and found.entries == sum(counts.get(kind, 0) for kind in kinds)


def job(connection: Any, kind: str) -> None:
    """What one caller does in a batch."""
    if kind == "refused":
        raise Conflict("no", "no")
    for number in range(1 if kind == "one" else 3):
        add(connection, f"{kind}.{number}", metadata={"n": number, "a": [1.5, None, "ü"]})
    if kind == "failed":
        raise ZeroDivisionError


def test_metadata_is_given_back(db: Db) -> None:
    """As JSON has it, with keys as texts; its hash is the entry's."""
    db.write(add, metadata={"b": (1, 2), "a": {2: "x", 10: "y"}})

    entry = db.read(audit.list_entries, limit=1)[0]
    stored = db.read(lambda c: c.execute(tables.audit_entries.select()).one())

    assert entry.metadata == {"b": [1, 2], "a": {"2": "x", "10": "y"}}
    assert entry.hash == stored.hash == db.read(audit.get_head).hash


def test_offsets_and_places_after_trimming(db: Db) -> None:
    """Whatever was trimmed, pages by offset and by place are parts of the whole."""
    for number in range(9):
        db.write(add, now=NOW + number * SECOND)
    db.write(retention.trim, NOW + 4 * SECOND, by=None, now=NOW, most=100)
    whole = [entry.id for entry in db.read(audit.list_entries, limit=99)]

    assert whole == [str(number) for number in range(10, 4, -1)]
    for limit in (1, 2, 7):
        for offset in range(14):
            page = db.read(audit.list_entries, limit=limit, offset=offset)
            assert [entry.id for entry in page] == whole[offset : offset + limit]
        for after in range(14):
            newer = db.read(audit.list_after, after, limit=limit)
            expected = [id for id in reversed(whole) if int(id) > after][:limit]
            assert [entry.id for entry in newer] == expected
