"""Verbs on principals: whom keys and rights belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import Connection, func, insert, or_, select, update

from .errors import Conflict, NotFound
from .tables import admins, principals


@dataclass(frozen=True)
class Named:
    """Whom something is to belong to, by any of these; by none: whoever stands for user_id."""

    principal_id: str | None = None
    email: str | None = None
    workos_id: str | None = None
    user_id: str | None = None


def id_of_user(user_id: str) -> str:
    """The id of the principal who stands for a user that nobody has named otherwise: the same
    with each of their keys and tokens."""
    return str(uuid5(NAMESPACE_URL, f"chatserver:user:{user_id}"))


def find(connection: Connection, named: Named) -> str | None:
    """The id of the principal; None where they are not known yet.

    Raises NotFound for an unknown principal_id, Conflict where the names are two people's.
    """
    columns = principals.c
    wanted = [
        column == value
        for column, value in (
            (columns.id, named.principal_id),
            (columns.email, named.email),
            (columns.workos_id, named.workos_id),
        )
        if value is not None
    ]
    if not wanted:
        wanted = [columns.id == id_of_user(named.user_id)] if named.user_id is not None else []
    found = connection.execute(select(principals).where(or_(*wanted))).all() if wanted else []
    if named.principal_id is not None and named.principal_id not in [row.id for row in found]:
        raise NotFound("there is no such principal")
    if len(found) > 1 or any(not _is_same(row, named) for row in found):
        raise Conflict("e-mail, WorkOS id and principal belong to two people", "principal_mismatch")
    return found[0].id if found else None


def _is_same(row: object, named: Named) -> bool:
    """Whether nothing that is known of them is named otherwise."""
    given = (("email", named.email), ("workos_id", named.workos_id))
    return all(value in (None, getattr(row, name) or value) for name, value in given)


def settle(connection: Connection, named: Named, *, name: str | None, now: datetime) -> str:
    """The id of the principal, who is made where they are new. Raises as find() does."""
    principal_id = find(connection, named)
    if principal_id is None:
        return _insert(connection, named, name, now)
    noted = {
        "email": func.coalesce(principals.c.email, named.email),
        "workos_id": func.coalesce(principals.c.workos_id, named.workos_id),
    }
    known = update(principals).where(principals.c.id == principal_id)
    connection.execute(known.values(noted))
    return principal_id


def _insert(connection: Connection, named: Named, name: str | None, now: datetime) -> str:
    is_user = named.user_id is not None and named.email is None and named.workos_id is None
    principal_id = id_of_user(named.user_id or "") if is_user else str(uuid4())
    values = {"id": principal_id, "email": named.email, "workos_id": named.workos_id, "name": name}
    connection.execute(insert(principals), {**values, "created_at": now})
    return principal_id


def is_admin(connection: Connection, principal_id: str) -> bool:
    """Whether they hold the admin role."""
    found = select(admins.c.principal_id).where(admins.c.principal_id == principal_id)
    return connection.scalar(found) is not None
