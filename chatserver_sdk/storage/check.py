"""The figures that are kept, against the rows that they come from.

Exact are a user's sessions, and a session's messages and tokens. A day's figures have a lower
bound: turns that are not stored, or were deleted, count in them as well, so they are too small
where the turns that are stored come to more, and never seen to be too large. In the same way an
organization that a session names must be known, and others may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    cast,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from .tables import (
    EPOCH,
    Timestamp,
    messages,
    organizations,
    sessions,
    turn_logs,
    turns,
    usage_days,
    users,
)

# How many are named; a repair mends all of them.
MOST = 1000

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Difference:
    """kept: what stands in the record's column; stored: what the rows come to, or at least."""

    record: str
    column: str
    kept: int
    stored: int
    is_least: bool = False

    def __str__(self) -> str:
        least = "at least " if self.is_least else ""
        return (
            f"{self.record}: {self.column} is {self.kept}, stored rows come to {least}{self.stored}"
        )


@dataclass(frozen=True)
class _Rule:
    """Columns of a table that are kept, and the query that says what each should be."""

    name: str
    table: Table
    counted: Any
    columns: tuple[str, ...]
    is_least: bool = False


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    # PostgreSQL sums integers into decimals.
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


_OF_USERS = _Rule(
    "user",
    users,
    select(sessions.c.user_id.label("of"), func.count().label("session_count"))
    .group_by(sessions.c.user_id)
    .subquery(),
    ("session_count",),
)
_SAID = _Rule(
    "session",
    sessions,
    select(messages.c.session_id.label("of"), func.count().label("message_count"))
    .group_by(messages.c.session_id)
    .subquery(),
    ("message_count",),
)
_SPENT = _Rule(
    "session",
    sessions,
    select(
        turns.c.session_id.label("of"),
        _sum(turns.c.tokens_in).label("tokens_in"),
        _sum(turns.c.tokens_out).label("tokens_out"),
    )
    .group_by(turns.c.session_id)
    .subquery(),
    ("tokens_in", "tokens_out"),
)
_ENDED_ON = type_coerce(turns.c.ended_at, BigInteger) // _DAY
# A turn that has a log was counted when it ended; what a dead process left was not.
_OF_DAYS = _Rule(
    "day",
    usage_days,
    select(
        _ENDED_ON.label("of"),
        func.count().label("requests"),
        _sum(turns.c.tokens_in).label("tokens_in"),
        _sum(turns.c.tokens_out).label("tokens_out"),
    )
    .join(turn_logs, turn_logs.c.turn_id == turns.c.id)
    .where(turns.c.ended_at.is_not(None))
    .group_by(_ENDED_ON)
    .subquery(),
    ("requests", "tokens_in", "tokens_out"),
    is_least=True,
)
_RULES = (_OF_USERS, _SAID, _SPENT, _OF_DAYS)


def find(connection: Connection, most: int = MOST) -> list[Difference]:
    """What differs, so many at most."""
    return list(islice(_all(connection), most))


def mend(connection: Connection) -> None:
    """Set every figure to what the stored rows come to; a day's is raised, never lowered."""
    for name, first_seen in connection.execute(_unknown_organizations()).all():
        connection.execute(insert(organizations), {"id": name, "first_seen_at": first_seen})
    for day in connection.scalars(_missing_days()).all():
        zeros = {"requests": 0, "tokens_in": 0, "tokens_out": 0}
        connection.execute(insert(usage_days), {"day": day, **zeros})
    for rule in _RULES:
        key = rule.table.primary_key.columns[0]
        for row in connection.execute(_differing(rule)).all():
            pairs = {name: _pair(rule, row, name) for name in rule.columns}
            better = {name: pair[1] for name, pair in pairs.items() if _differ(rule, *pair)}
            connection.execute(update(rule.table).where(key == row.id).values(better))


def _all(connection: Connection) -> Iterator[Difference]:
    for name, _ in connection.execute(_unknown_organizations()):
        yield Difference(f"organization {name}", "known", 0, 1)
    for day in connection.scalars(_missing_days()):
        yield Difference(f"day {_date(day)}", "known", 0, 1)
    for rule in _RULES:
        for row in connection.execute(_differing(rule)):
            yield from _of_row(rule, row)


def _of_row(rule: _Rule, row: Any) -> Iterator[Difference]:
    record = f"{rule.name} {_date(row.id) if rule.is_least else row.id}"
    for name in rule.columns:
        kept, stored = _pair(rule, row, name)
        if _differ(rule, kept, stored):
            yield Difference(record, name, kept, stored, rule.is_least)


def _differing(rule: _Rule) -> Select[Any]:
    """The records that differ in any of the columns, with both values of each."""
    kept, counted = rule.table.c, rule.counted.c
    key = rule.table.primary_key.columns[0]
    stored = {name: func.coalesce(counted[name], 0) for name in rule.columns}
    differs: Callable[[str], ColumnElement[bool]] = lambda name: (
        kept[name] < stored[name] if rule.is_least else kept[name] != stored[name]
    )
    return (
        select(
            key.label("id"),
            *(kept[name].label(f"kept_{name}") for name in rule.columns),
            *(stored[name].label(f"stored_{name}") for name in rule.columns),
        )
        .select_from(rule.table.outerjoin(rule.counted, counted.of == key))
        .where(or_(*(differs(name) for name in rule.columns)))
        .order_by(key)
    )


def _pair(rule: _Rule, row: Any, name: str) -> tuple[int, int]:
    values = row._mapping
    return int(values[f"kept_{name}"]), int(values[f"stored_{name}"])


def _differ(rule: _Rule, kept: int, stored: int) -> bool:
    return kept < stored if rule.is_least else kept != stored


def _unknown_organizations() -> Select[Any]:
    """The organizations that sessions name and nobody counts, and since when."""
    named = sessions.c.organization_id
    return (
        select(named, func.min(sessions.c.created_at, type_=Timestamp))
        .where(named.is_not(None), named.not_in(select(organizations.c.id)))
        .group_by(named)
        .order_by(named)
    )


def _missing_days() -> Select[Any]:
    counted = _OF_DAYS.counted.c.of
    return select(counted).where(counted.not_in(select(usage_days.c.day))).order_by(counted)


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()
