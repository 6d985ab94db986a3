"""Keys are listed, found by their holder, and remembered as long as their generation stands.

Revision ID: 0004
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("created_by", sa.String(length=256), nullable=True))
    op.create_index("ix_api_keys_made", "api_keys", ["created_at", "id"], unique=False)
    op.create_index("ix_api_keys_principal", "api_keys", ["principal_id"], unique=False)
    generation = op.create_table(
        "key_generation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(generation, [{"id": 1, "value": 1}])
