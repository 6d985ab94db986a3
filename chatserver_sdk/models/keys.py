"""API keys as administrators see them. The key itself stands in one answer, and in no repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from ._base import Model, omitted
from ._rules import Known, Length
from .principal import Role


@dataclass
class ApiKeyInfo(Model):
    """An API key, without the key.

    id: what revoke_key() takes. prefix: how the key begins, for people to tell keys apart. name:
    what it is for. role: what it may do. user_id: whom a key of the role `user` is bound to.
    principal_id, email, workos_id: who holds it. created_at, created_by: when and by whom it was
    made. expires_at: from when on it is not valid (None: it has no end). last_used_at: to the
    minute. revoked_at: since when it is not valid any more.
    """

    id: str
    role: Role
    prefix: str = ""
    name: str | None = None
    user_id: str | None = None
    principal_id: str | None = None
    email: str | None = None
    workos_id: str | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass
class ApiKeyCreated(ApiKeyInfo):
    """A new API key.

    key: the key itself; nobody can show it again. id, role, prefix, name, user_id, principal_id,
    email, workos_id, created_at, created_by, expires_at, last_used_at, revoked_at: as of ApiKeyInfo.
    """

    key: str = field(default="", repr=False)


@dataclass
class ApiKeyListResponse(Model):
    """A page of the API keys, the newest first.

    keys: the page. count: how long it is. next_cursor: what gives the next page, if there is one.
    """

    keys: list[ApiKeyInfo]
    count: int = 0
    next_cursor: str | None = omitted()


@dataclass
class ApiKeyRequest(Model):
    """The API key that is to be made.

    name: what it is for. role: what it may do. user_id: whom a key of the role `user` is bound to.
    principal_id, email, workos_id: whom it belongs to, by one of these; who is not known yet is
    noted. expires_at: from when on it is not valid.
    """

    name: Annotated[str, Length(1, 256)]
    role: Annotated[Role, Known()] = Role.USER
    user_id: Annotated[str, Length(1, 256)] | None = None
    principal_id: Annotated[str, Length(1, 64)] | None = None
    email: Annotated[str, Length(3, 254)] | None = None
    workos_id: Annotated[str, Length(1, 256)] | None = None
    expires_at: datetime | None = None


@dataclass
class TicketResponse(Model):
    """A ticket that lets a reader in once. ticket: the secret. expires_at: its end."""

    ticket: str = field(repr=False)
    expires_at: datetime | None = None
