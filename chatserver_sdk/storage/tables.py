"""The tables, as SQLAlchemy Core knows them. The migrations are what creates them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

from .chain import canonical_json

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class Timestamp(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970.

    SQLite has no type for times, and text would sort by its spelling. The integer is exact and
    the same on every database.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        return None if value is None else EPOCH + value * _MICROSECOND


class CanonicalJson(TypeDecorator[Any]):
    """JSON, kept as text of one form, so that a hash may be taken of it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str:
        return canonical_json(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return json.loads(value)


# A Python None is stored as SQL NULL, not as JSON's null: there is one way to be absent.
_JSON = JSON(none_as_null=True)


def microseconds(moment: datetime) -> int:
    """An aware time, in microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def day_of(moment: datetime) -> int:
    """The UTC day of an aware time, in days since 1970."""
    return (moment - EPOCH).days


# Whose sessions are being deleted. No request can name a user with an empty id.
NOBODY = ""

metadata = MetaData()

# Everybody in whose name something was asked. session_count is kept, not counted.
users = Table(
    "users",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("session_count", Integer, nullable=False),
    Column("first_seen_at", Timestamp, nullable=False),
    Column("last_seen_at", Timestamp, nullable=False, index=True),
)

# The labels that callers put on sessions; a row each, so that they need not be counted.
organizations = Table(
    "organizations",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("first_seen_at", Timestamp, nullable=False),
)

# external_id: the id that protocols whose callers bring their own know the session by.
sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(256), ForeignKey("users.id"), nullable=False),
    Column("protocol", String(32), nullable=False),
    Column("external_id", String(256)),
    Column("organization_id", String(256)),
    Column("title", Text),
    Column("model", String(256)),
    Column("agent_type", String(256)),
    Column("status", String(16), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("last_message_at", Timestamp),
    Column("message_count", Integer, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("metadata", _JSON, nullable=False),
    UniqueConstraint("user_id", "protocol", "external_id", name="uq_sessions_external"),
    Index("ix_sessions_latest", "user_id", "updated_at", "id"),
    # The order that nothing changes: what pages by key goes through.
    Index("ix_sessions_opened", "user_id", "created_at", "id"),
    Index("ix_sessions_status", "user_id", "status", "created_at", "id"),
)

# One question and its answer. At most one of a session runs at a time; the index holds that.
turns = Table(
    "turns",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("session_id", String(36), ForeignKey("sessions.id"), nullable=False),
    Column("principal_id", String(64), nullable=False),
    Column("model", String(256), nullable=False),
    Column("state", String(16), nullable=False),
    Column("finish_reason", String(32)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Index("ix_turns_session", "session_id", "started_at"),
    Index(
        "uq_turns_running",
        "session_id",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

# What a finished turn said, event by event; apart from `turns`, which lists read.
turn_logs = Table(
    "turn_logs",
    metadata,
    Column("turn_id", String(36), ForeignKey("turns.id"), primary_key=True),
    Column("events", _JSON, nullable=False),
)

# extra: what the sender wrote into the message beside role and content (name, tool_calls, ...).
messages = Table(
    "messages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("session_id", String(36), ForeignKey("sessions.id"), nullable=False),
    Column("message_index", Integer, nullable=False),
    Column("role", String(32), nullable=False),
    Column("author", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("content", _JSON),
    Column("extra", _JSON),
    Column("metadata", _JSON, nullable=False),
    Column("tokens", Integer),
    Column("turn_id", String(36), ForeignKey("turns.id"), index=True),
    Column("expert_id", String(64)),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp),
    # By index and not by time: two messages may share a tick of the clock.
    UniqueConstraint("session_id", "message_index", name="uq_messages_place"),
)

# What callers have sent to a session, for its messages to name. The content stands last: what is
# listed is read without it.
files = Table(
    "files",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("session_id", String(36), ForeignKey("sessions.id"), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("content_type", String(128), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("ix_files_session", "session_id", "created_at", "id"),
)

# What a request stands for that may be sent again: a turn (which may be deleted before its key),
# or an answer with its status. What tells of a session has that one's id in the place of a turn's,
# and is deleted with it.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal_id", String(64), primary_key=True),
    Column("route", String(32), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("turn_id", String(36), index=True),
    Column("status", Integer),
    Column("answer", _JSON),
    Column("created_at", Timestamp, nullable=False, index=True),
)

# Who keys and rights belong to.
principals = Table(
    "principals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("email", String(254), unique=True),
    Column("workos_id", String(256), unique=True),
    Column("name", String(256)),
    Column("created_at", Timestamp, nullable=False),
)

admins = Table(
    "admins",
    metadata,
    Column("principal_id", String(36), ForeignKey("principals.id"), primary_key=True),
    Column("created_at", Timestamp, nullable=False),
    Column("created_by", String(256)),
    Index("ix_admins_created", "created_at", "principal_id"),
)

# Only the SHA-256 of a key is kept; the prefix is for people to tell keys apart.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("principal_id", String(36), ForeignKey("principals.id"), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("prefix", String(16), nullable=False),
    Column("name", String(256)),
    Column("role", String(16), nullable=False),
    Column("user_id", String(256)),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp),
    Column("last_used_at", Timestamp),
    Column("revoked_at", Timestamp),
    Column("created_by", String(256)),
    Index("ix_api_keys_made", "created_at", "id"),
    Index("ix_api_keys_principal", "principal_id"),
)

# One row, counted up in every transaction that changes what a key may do: who remembers keys reads
# it to know whether that is still so, also where another process has written.
key_generation = Table(
    "key_generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("timestamp", Timestamp, nullable=False),
    Column("user_id", String(256)),
    Column("org_id", String(256)),
    Column("action", String(64), nullable=False),
    Column("resource", String(64)),
    Column("resource_id", String(256)),
    Column("metadata", CanonicalJson, nullable=False),
    # Of this entry and, by way of the one in front, of all before it; see chain.py.
    Column("hash", String(64), nullable=False),
    # What the log is filtered by, each in the log's own order.
    Index("ix_audit_entries_user", "user_id", "seq"),
    Index("ix_audit_entries_done", "user_id", "action", "seq"),
    Index("ix_audit_entries_org", "org_id", "seq"),
    Index("ix_audit_entries_action", "action", "seq"),
    Index("ix_audit_entries_resource", "resource", "seq"),
    Index("ix_audit_entries_resource_id", "resource_id", "seq"),
    Index("ix_audit_entries_timestamp", "timestamp", "seq"),
)

# Where the log begins since its old end was trimmed: behind this entry. One row, or none.
audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("timestamp", Timestamp, nullable=False),
)

# Figures of a UTC day (days since 1970), added to as turns end, stored ones and others alike.
usage_days = Table(
    "usage_days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
)
