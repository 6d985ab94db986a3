"""Idempotency keys, so that what is sent twice is done once; indexes for lists that lose nothing.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("principal_id", sa.String(length=64), nullable=False),
        sa.Column("route", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("turn_id", sa.String(length=36), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal_id", "route", "key"),
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False
    )
    op.create_index("ix_sessions_opened", "sessions", ["user_id", "created_at", "id"], unique=False)
    for name, column in (
        ("user", "user_id"),
        ("org", "org_id"),
        ("action", "action"),
        ("resource", "resource"),
        ("resource_id", "resource_id"),
        ("timestamp", "timestamp"),
    ):
        op.create_index(f"ix_audit_entries_{name}", "audit_entries", [column, "seq"], unique=False)
