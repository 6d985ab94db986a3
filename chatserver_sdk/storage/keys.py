"""Verbs on API keys. The key itself never comes here, only its hash."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from chatserver_sdk._ids import new_id
from chatserver_sdk.models import Principal, Role

from . import admins as admin_verbs
from . import audit
from .tables import admins, api_keys, principals

_BY_HASH = (
    select(
        api_keys,
        principals.c.email,
        principals.c.name.label("principal_name"),
        admins.c.principal_id.label("admin_id"),
    )
    .join(principals, principals.c.id == api_keys.c.principal_id)
    .outerjoin(admins, admins.c.principal_id == principals.c.id)
)


@dataclass(frozen=True)
class NewKey:
    """A key that is to be stored: its hash, and what people tell it apart by."""

    hash: str
    prefix: str
    name: str
    role: Role
    user_id: str | None = None


def find_principal(connection: Connection, key_hash: str, now: datetime) -> Principal | None:
    """Who holds the key; None for a key that is unknown, revoked or expired."""
    row = connection.execute(_BY_HASH.where(api_keys.c.hash == key_hash)).one_or_none()
    if row is None or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    role = Role(row.role)
    # A key gives no more than its holder has: who was an administrator is none with old keys.
    if role == Role.ADMIN and row.admin_id is None:
        role = Role.USER
    return Principal(
        id=row.principal_id,
        role=role,
        email=row.email,
        name=row.principal_name,
        user_id=row.user_id,
    )


def any_key(connection: Connection) -> bool:
    """Whether there is a key, valid or not."""
    return connection.scalar(select(api_keys.c.id).limit(1)) is not None


def create_first(connection: Connection, key: NewKey, *, email: str, now: datetime) -> bool:
    """Store the first administrator and their key; False, and nothing done, if there is a key."""
    if any_key(connection):
        return False
    principal_id = connection.scalar(select(principals.c.id).where(principals.c.email == email))
    if principal_id is None:
        principal_id = admin_verbs.add_admin(
            connection, workos_id=None, email=email, name=key.name, by=None, now=now
        )
    insert_key(connection, key, principal_id=principal_id, by=None, now=now)
    return True


def insert_key(
    connection: Connection, key: NewKey, *, principal_id: str, by: str | None, now: datetime
) -> str:
    """Store a key for a principal; the key's id."""
    key_id = new_id()
    values = {
        "id": key_id,
        "principal_id": principal_id,
        "hash": key.hash,
        "prefix": key.prefix,
        "name": key.name,
        "role": key.role.value,
        "user_id": key.user_id,
        "created_at": now,
    }
    connection.execute(insert(api_keys), values)
    audit.record(
        connection,
        "key.created",
        by=by,
        now=now,
        resource="key",
        resource_id=key_id,
        metadata={"prefix": key.prefix, "role": key.role.value, "name": key.name},
    )
    return key_id
