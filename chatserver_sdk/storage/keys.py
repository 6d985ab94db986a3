"""Verbs on API keys. The key itself never comes here, only its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, literal, or_, select, tuple_, update

from chatserver_sdk._ids import new_id
from chatserver_sdk.models import ApiKeyInfo, Principal, Role

from . import admins as admin_verbs
from . import audit, generation
from .errors import Conflict, NotFound
from .principals import Named, find, is_admin, settle
from .tables import EPOCH, Timestamp, admins, api_keys, principals

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
_SHOWN = (
    select(
        *(column for column in api_keys.c if column.name not in ("hash", "principal_id")),
        api_keys.c.principal_id,
        principals.c.email,
        principals.c.workos_id,
    )
    .join(principals, principals.c.id == api_keys.c.principal_id)
    # Every key's time is behind it. Said in each query, so that an index on it is searched.
    .where(api_keys.c.created_at > EPOCH)
    .order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc())
)


@dataclass(frozen=True)
class NewKey:
    """A key that is to be stored: its hash, and what people tell it apart by."""

    hash: str
    prefix: str
    name: str
    role: Role
    user_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Holder:
    """Who holds a key, until when, and when it was last used."""

    principal: Principal
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


def find_principal(connection: Connection, key_hash: str, now: datetime) -> Principal | None:
    """Who holds the key; None for a key that is unknown, revoked or expired."""
    holder = find_holder(connection, key_hash, now)
    return None if holder is None else holder.principal


def find_holder(connection: Connection, key_hash: str, now: datetime) -> Holder | None:
    """The same with what there is to know before it is remembered."""
    found = connection.execute(_BY_HASH.where(api_keys.c.hash == key_hash)).one_or_none()
    return _holder(found, now)


def find_by_id(connection: Connection, key_id: str, now: datetime) -> Principal | None:
    """Who holds the key with an id; None as of find_principal()."""
    found = connection.execute(_BY_HASH.where(api_keys.c.id == key_id)).one_or_none()
    holder = _holder(found, now)
    return None if holder is None else holder.principal


def _holder(row: Any, now: datetime) -> Holder | None:
    if row is None or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    role = Role(row.role)
    # A key gives no more than its holder has: who was an administrator is none with old keys.
    if role == Role.ADMIN and row.admin_id is None:
        role = Role.USER
    principal = Principal(
        id=row.principal_id,
        role=role,
        email=row.email,
        name=row.principal_name,
        user_id=row.user_id,
        key_id=row.id,
    )
    return Holder(principal, row.expires_at, row.last_used_at)


def any_key(connection: Connection) -> bool:
    """Whether there is a key of an administrator's, valid or not."""
    is_there = select(api_keys.c.id).where(api_keys.c.role == Role.ADMIN.value).limit(1)
    return connection.scalar(is_there) is not None


def list_keys(
    connection: Connection, behind: tuple[datetime, str] | None = None, *, most: int
) -> list[ApiKeyInfo]:
    """So many keys, the newest first; only those behind a place: a key's time and id."""
    statement = _SHOWN
    if behind is not None:
        made, key_id = behind
        place = tuple_(api_keys.c.created_at, api_keys.c.id)
        statement = statement.where(place < tuple_(literal(made, Timestamp), literal(key_id)))
    return [_info(row) for row in connection.execute(statement.limit(most))]


def get_key(connection: Connection, key_id: str) -> ApiKeyInfo:
    """One of them. Raises NotFound."""
    row = connection.execute(_SHOWN.where(api_keys.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such API key")
    return _info(row)


def _info(row: Any) -> ApiKeyInfo:
    return ApiKeyInfo(**{**row._mapping, "role": Role(row.role)})


def create_first(connection: Connection, key: NewKey, *, email: str, now: datetime) -> bool:
    """Store the first administrator and their key; False, and nothing done, if there is an
    administrator's key."""
    if any_key(connection):
        return False
    principal_id = connection.scalar(select(principals.c.id).where(principals.c.email == email))
    if principal_id is None:
        principal_id = admin_verbs.add_admin(
            connection, workos_id=None, email=email, name=key.name, by=None, now=now
        )
    elif not is_admin(connection, principal_id):
        admin_verbs.add_admin(connection, workos_id=None, email=email, name=None, by=None, now=now)
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
        "created_by": by,
        "expires_at": key.expires_at,
    }
    connection.execute(insert(api_keys), values)
    generation.advance(connection)
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


def create(
    connection: Connection, key: NewKey, named: Named, *, by: str | None, now: datetime
) -> ApiKeyInfo:
    """Store a key for whoever is named, who is noted where they are new.

    Raises NotFound and Conflict as principals.find() does, and Conflict where a key of the role
    `admin` is meant for somebody who is no administrator.
    """
    if key.role == Role.ADMIN:
        principal_id = find(connection, named)
        if principal_id is None or not is_admin(connection, principal_id):
            raise Conflict(
                "a key of the role admin is for an administrator; add them as one first",
                "not_an_admin",
            )
    principal_id = settle(connection, named, name=None, now=now)
    return get_key(
        connection, insert_key(connection, key, principal_id=principal_id, by=by, now=now)
    )


def revoke(connection: Connection, key_id: str, *, by: str | None, now: datetime) -> ApiKeyInfo:
    """The key, which is not valid from now on; one that was revoked before stays as it is.

    Raises NotFound, and Conflict for the last valid key of an administrator.
    """
    key = get_key(connection, key_id)
    if key.revoked_at is not None:
        return key
    if _is_last_of_admins(connection, key, now):
        raise Conflict(
            "this is the last valid key of an administrator; make another one first",
            "last_admin_key",
        )
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
    generation.advance(connection)
    audit.record(
        connection,
        "key.revoked",
        by=by,
        now=now,
        resource="key",
        resource_id=key_id,
        metadata={"prefix": key.prefix, "role": key.role.value, "name": key.name},
    )
    key.revoked_at = now
    return key


def _is_last_of_admins(connection: Connection, key: ApiKeyInfo, now: datetime) -> bool:
    valid = (
        select(api_keys.c.id)
        .join(admins, admins.c.principal_id == api_keys.c.principal_id)
        .where(
            api_keys.c.role == Role.ADMIN.value,
            api_keys.c.revoked_at.is_(None),
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
        )
        .limit(2)
    )
    return [key.id] == list(connection.scalars(valid))


def touch(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Note when keys were last used."""
    for key_id, moment in used.items():
        connection.execute(
            update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=moment)
        )
