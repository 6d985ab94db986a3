"""The audit log becomes a chain of hashes, those that are there already included.

hash: what chain.py says. metadata becomes text, because the hash is taken of its very letters.

Revision ID: 0005
Revises: 0002
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from chatserver_sdk.storage import chain

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BATCH = 1000
# In microseconds, as everything here.
_SLACK = 60 * 10**6

_ENTRIES = sa.table(
    "audit_entries",
    *(
        sa.column(name)
        for name in "seq timestamp user_id org_id action resource resource_id metadata hash".split()
    ),
)


def upgrade() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(
        op.f("ix_idempotency_keys_turn_id"), "idempotency_keys", ["turn_id"], unique=False
    )
    with op.batch_alter_table("audit_entries") as entries:
        entries.alter_column(
            "metadata",
            existing_type=sa.JSON(),
            type_=sa.Text(),
            existing_nullable=False,
            postgresql_using="metadata::text",
        )
        entries.add_column(sa.Column("hash", sa.String(length=64), nullable=True))
    _chain(op.get_bind())
    with op.batch_alter_table("audit_entries") as entries:
        entries.alter_column("hash", existing_type=sa.String(length=64), nullable=False)


def _chain(connection: sa.Connection) -> None:
    """Give every entry its hash, the oldest first."""
    columns = _ENTRIES.c
    change = (
        sa.update(_ENTRIES)
        .where(columns.seq == sa.bindparam("number"))
        .values(metadata=sa.bindparam("text"), hash=sa.bindparam("seal"))
    )
    behind, previous = -(2**63), chain.NOTHING
    latest = furthest_back = 0
    while True:
        statement = sa.select(_ENTRIES).where(columns.seq > behind).order_by(columns.seq)
        rows = connection.execute(statement.limit(_BATCH)).all()
        changes: list[dict[str, Any]] = []
        for row in rows:
            entry = _canonical(row)
            previous = chain.hash_of(previous, entry)
            changes.append({"number": entry.seq, "text": entry.metadata, "seal": previous})
            latest = max(latest, row.timestamp)
            furthest_back = max(furthest_back, latest - row.timestamp)
        if changes:
            connection.execute(change, changes)
            behind = rows[-1].seq
        if len(rows) < _BATCH:
            break
    if furthest_back > _SLACK:
        _note_clock(connection, chain.Head(behind, previous), latest, furthest_back)


def _canonical(row: Any) -> chain.Draft:
    values = {name: getattr(row, name) for name in chain.Draft.__dataclass_fields__}
    values["metadata"] = chain.canonical_json(json.loads(row.metadata))
    return chain.Draft(**values)


def _note_clock(connection: sa.Connection, head: chain.Head, at: int, back: int) -> None:
    """Say that times are out of order, as the server does from now on where they are."""
    text = chain.canonical_json({"seconds": back // 1_000_000})
    note = chain.Draft(head.seq + 1, at, None, None, "clock.set_back", "clock", "server", text)
    values = {**vars(note), "hash": chain.hash_of(head.hash, note)}
    connection.execute(sa.insert(_ENTRIES), values)
