"""Verbs on idempotency keys: what was asked with one is done once, however often it is sent.

A key is taken in the transaction of what it stands for. Its answer is a turn, or a stored body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, tuple_

from .errors import Conflict, Refused
from .tables import idempotency_keys

KEPT = timedelta(hours=24)

Answer = tuple[int, dict[str, Any]]
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Key:
    """A key as it was sent: by whom, where, and with which body."""

    principal_id: str
    route: str
    text: str
    body_hash: str

    @property
    def place(self) -> Place:
        """What is the same for all requests that the key makes one."""
        return self.principal_id, self.route, self.text


@dataclass(frozen=True)
class Claim:
    """A key that a turn is to take. freed_by: the turn that has it and lost it by failing.
    repeats: that turn's question is asked again, and is not stored a second time."""

    key: Key
    freed_by: str | None = None
    repeats: bool = False


@dataclass(frozen=True)
class Taken:
    """What a key stands for: a turn, or an answer; and since when, where that is stored."""

    body_hash: str
    turn_id: str | None = None
    status: int | None = None
    answer: dict[str, Any] | None = None
    taken_at: datetime | None = field(default=None, compare=False)


class KeyTaken(Refused):
    """The key stands for something already."""

    def __init__(self, earlier: Taken) -> None:
        super().__init__("this idempotency key was used before")
        self.earlier = earlier


def find(connection: Connection, key: Key, now: datetime) -> Taken | None:
    """What the key stands for; None where it is free, or too old."""
    columns = idempotency_keys.c
    statement = select(columns.body_hash, columns.turn_id, columns.status, columns.answer)
    row = connection.execute(
        statement.where(_at(key), columns.created_at > now - KEPT)
    ).one_or_none()
    return None if row is None else Taken(**row._mapping)


def find_all(connection: Connection, claims: Sequence[Claim]) -> dict[Place, Taken]:
    """What stands at the places of these keys, however old it is."""
    if not claims:
        return {}
    columns = idempotency_keys.c
    place = (columns.principal_id, columns.route, columns.key)
    wanted = tuple_(*place).in_([claim.key.place for claim in claims])
    rows = connection.execute(select(idempotency_keys).where(wanted))
    return {
        (row.principal_id, row.route, row.key): Taken(
            row.body_hash, row.turn_id, row.status, row.answer, row.created_at
        )
        for row in rows
    }


def check_free(claim: Claim, known: Mapping[Place, Taken], now: datetime) -> None:
    """Raises KeyTaken where the key stands for something else than the turn that freed it."""
    earlier = known.get(claim.key.place)
    if earlier is None or (earlier.taken_at is not None and earlier.taken_at <= now - KEPT):
        return
    if earlier.turn_id is None or earlier.turn_id != claim.freed_by:
        raise KeyTaken(earlier)


def check_one_free(connection: Connection, claim: Claim, now: datetime) -> None:
    """The same for a key that is looked up now."""
    check_free(claim, find_all(connection, [claim]), now)


def take_all(
    connection: Connection,
    taken: Sequence[tuple[Key, datetime, str]],
    known: Mapping[Place, Taken],
) -> None:
    """From now on these keys stand for turns; they were free, freed or too old before."""
    for key, _, _ in taken:
        if key.place in known:
            connection.execute(delete(idempotency_keys).where(_at(key)))
    rows = [_row(key, now, turn_id=turn_id) for key, now, turn_id in taken]
    connection.execute(insert(idempotency_keys), rows)


def take(
    connection: Connection,
    key: Key,
    now: datetime,
    *,
    turn_id: str | None = None,
    status: int | None = None,
    answer: dict[str, Any] | None = None,
) -> None:
    """From now on the key stands for this; it was free, freed or too old before."""
    connection.execute(delete(idempotency_keys).where(_at(key)))
    row = _row(key, now, turn_id=turn_id, status=status, answer=answer)
    connection.execute(insert(idempotency_keys), row)


def answer_once(
    connection: Connection,
    key: Key,
    now: datetime,
    work: Callable[[Connection], Answer],
    *,
    session_id: str | None = None,
) -> Answer:
    """The answer that the key stands for; where it is free, what the work gives now.

    session_id: of the session that the answer tells of, and is deleted with. Raises Conflict for another body, and what the work refuses with: then the key stays free.
    """
    earlier = find(connection, key, now)
    if earlier is not None:
        check_same(earlier, key)
        return earlier.status or 200, earlier.answer or {}
    status, answer = work(connection)
    take(connection, key, now, turn_id=session_id, status=status, answer=answer)
    return status, answer


def check_same(earlier: Taken, key: Key) -> None:
    """Raises Conflict where the key came with another body before."""
    if earlier.body_hash != key.body_hash:
        raise Conflict(
            "this idempotency key was used for another request; take a new one",
            "idempotency_key_reused",
        )


def delete_expired(connection: Connection, now: datetime, most: int) -> int:
    """Delete the oldest of the keys that are too old, so many at most; how many there were."""
    columns = idempotency_keys.c
    place = (columns.principal_id, columns.route, columns.key)
    oldest = (
        select(*place)
        .where(columns.created_at <= now - KEPT)
        .order_by(columns.created_at)
        .limit(most)
    )
    return connection.execute(delete(idempotency_keys).where(tuple_(*place).in_(oldest))).rowcount


def _row(
    key: Key,
    now: datetime,
    *,
    turn_id: str | None = None,
    status: int | None = None,
    answer: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "principal_id": key.principal_id,
        "route": key.route,
        "key": key.text,
        "body_hash": key.body_hash,
        "turn_id": turn_id,
        "status": status,
        "answer": answer,
        "created_at": now,
    }


def _at(key: Key) -> ColumnElement[bool]:
    columns = idempotency_keys.c
    return and_(
        columns.principal_id == key.principal_id,
        columns.route == key.route,
        columns.key == key.text,
    )
