"""Verbs on administrators: principals that hold the admin role."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from chatserver_sdk._ids import new_id
from chatserver_sdk.models import AdminInfo, Role

from . import audit, generation
from .errors import Conflict, NotFound
from .tables import EPOCH, admins, api_keys, principals

# A list of all of them has a bound too; no platform has so many.
MOST = 1000

_ADMINS = (
    select(
        principals.c.id,
        principals.c.email,
        principals.c.name,
        admins.c.created_at,
        admins.c.created_by,
    )
    .join(admins, admins.c.principal_id == principals.c.id)
    # Always so, and said that the index is searched.
    .where(admins.c.created_at > EPOCH)
    .order_by(admins.c.created_at, admins.c.principal_id)
    .limit(MOST)
)


def list_admins(connection: Connection) -> list[AdminInfo]:
    """The administrators, the first one first; the first 1,000 of more."""
    return [AdminInfo(**row._mapping) for row in connection.execute(_ADMINS)]


def add_admin(
    connection: Connection,
    *,
    workos_id: str | None,
    email: str,
    name: str | None,
    by: str | None,
    now: datetime,
) -> str:
    """Give the role to a principal, who is made where they are new; their id.

    Raises Conflict for one who has it, and where e-mail and WorkOS id are two principals'.
    """
    known = _find_principal(connection, workos_id, email)
    if known is not None and _is_admin(connection, known):
        raise Conflict(f"{email} is an administrator already", "admin_exists")
    if known is None:
        principal_id = _insert_principal(connection, workos_id, email, name, now)
    else:
        principal_id = known
        _note(connection, principal_id, workos_id, name)
    granted = {"principal_id": principal_id, "created_at": now, "created_by": by}
    connection.execute(insert(admins), granted)
    generation.advance(connection)
    audit.record(connection, "admin.added", by=by, now=now, resource="admin", resource_id=email)
    return principal_id


def remove_admin(connection: Connection, *, email: str, by: str | None, now: datetime) -> None:
    """Take the role away. Raises NotFound, and Conflict for the last one who can sign in."""
    principal_id = connection.scalar(
        select(principals.c.id)
        .join(admins, admins.c.principal_id == principals.c.id)
        .where(principals.c.email == email)
    )
    if principal_id is None:
        raise NotFound(f"there is no administrator {email}")
    is_last = connection.scalar(select(func.count()).select_from(admins)) == 1
    # Of a platform whose administrators come with tokens none need hold a key.
    is_at_stake = email == by or _holds_key(connection, admins.c.principal_id == principal_id, now)
    others = admins.c.principal_id != principal_id
    if is_last or (is_at_stake and not _holds_key(connection, others, now)):
        raise Conflict(
            (
                f"{email} is the last administrator with a key; give another one a key first"
                if not is_last
                else f"{email} is the last administrator; add another one first"
            ),
            "last_admin",
        )
    connection.execute(delete(admins).where(admins.c.principal_id == principal_id))
    generation.advance(connection)
    audit.record(connection, "admin.removed", by=by, now=now, resource="admin", resource_id=email)


def _holds_key(connection: Connection, who: ColumnElement[bool], now: datetime) -> bool:
    """Whether one of these administrators can sign in with a key."""
    holders = (
        select(admins.c.principal_id)
        .join(api_keys, api_keys.c.principal_id == admins.c.principal_id)
        .where(
            who,
            api_keys.c.role == Role.ADMIN.value,
            api_keys.c.revoked_at.is_(None),
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
        )
    )
    return connection.scalar(holders.limit(1)) is not None


def _find_principal(connection: Connection, workos_id: str | None, email: str) -> str | None:
    by_email = connection.execute(
        select(principals.c.id, principals.c.workos_id).where(principals.c.email == email)
    ).one_or_none()
    by_workos = None
    if workos_id is not None:
        by_workos = connection.scalar(
            select(principals.c.id).where(principals.c.workos_id == workos_id)
        )
    same = by_email is not None and by_email.workos_id in (None, workos_id)
    if (by_workos is not None or by_email is not None) and not (
        same and by_workos in (None, by_email.id if by_email else None)
    ):
        raise Conflict(f"{email} and {workos_id} belong to two people", "principal_mismatch")
    return by_email.id if by_email is not None else None


def _is_admin(connection: Connection, principal_id: str) -> bool:
    found = select(admins.c.principal_id).where(admins.c.principal_id == principal_id)
    return connection.scalar(found) is not None


def _note(
    connection: Connection, principal_id: str, workos_id: str | None, name: str | None
) -> None:
    """What was not known of a principal before; what was, stands."""
    known = update(principals).where(principals.c.id == principal_id)
    noted = {
        "workos_id": func.coalesce(principals.c.workos_id, workos_id),
        "name": func.coalesce(principals.c.name, name),
    }
    connection.execute(known.values(noted))


def _insert_principal(
    connection: Connection, workos_id: str | None, email: str, name: str | None, now: datetime
) -> str:
    principal_id = new_id()
    values = {"id": principal_id, "email": email, "workos_id": workos_id, "name": name}
    connection.execute(insert(principals), {**values, "created_at": now})
    return principal_id
