"""Indexes for a user's sessions of one status, and for what a user did of one kind.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    places = ["user_id", "status", "created_at", "id"]
    op.create_index("ix_sessions_status", "sessions", places, unique=False)
    done = ["user_id", "action", "seq"]
    op.create_index("ix_audit_entries_done", "audit_entries", done, unique=False)
