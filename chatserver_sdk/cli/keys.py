"""`chatserver keys`: API keys, straight in the store. No server is needed, and none disturbed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import click

from chatserver_sdk.engine import KeyIssuer
from chatserver_sdk.engine.keys import FIRST_ADMIN
from chatserver_sdk.engine.platform import email_of
from chatserver_sdk.models import ApiKeyInfo, ApiKeyRequest, Role
from chatserver_sdk.models._values import parse_timestamp
from chatserver_sdk.storage import Store, admins

from .stores import with_store

# What the audit log calls whoever may write the store's file.
_OPERATOR = "chatserver keys"
_PAGE = 200
_SPAN = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_COLUMNS = "{:<36}  {:<12}  {:<7}  {:<8}  {:<10}  {:<10}  {}"


def create(
    db: str | None,
    *,
    name: str,
    role: str,
    user_id: str | None,
    email: str | None,
    workos_id: str | None,
    expires: str | None,
) -> None:
    """Make a key and show it, alone on the output. Raises ClickException."""
    end = None if expires is None else moment_of(expires)
    request = ApiKeyRequest(name, Role(role), user_id, None, email, workos_id, end)

    async def work(store: Store) -> str:
        if request.role == Role.ADMIN:
            request.email = await _administrator(store, request)
        made = await KeyIssuer(store).create_key(request, _OPERATOR)
        click.echo(f"key {made.id}: shown this once, only its hash is stored", err=True)
        return made.key

    click.echo(with_store(db, work, may_make=True))


async def _administrator(store: Store, request: ApiKeyRequest) -> str | None:
    """Whom a key of the role admin is for: in a store without administrators, a first one."""
    found = await store.read(admins.list_admins)
    if request.workos_id is not None or (found and request.email is not None):
        return request.email
    if found:
        raise click.UsageError("name the administrator whose key it is: --email EMAIL")
    email = email_of(request.email or FIRST_ADMIN)
    now = datetime.now(timezone.utc)
    await store.write(
        admins.add_admin, workos_id=None, email=email, name=None, by=_OPERATOR, now=now
    )
    return email


def show(db: str | None) -> None:
    """List every key, the newest first. Raises ClickException."""

    async def work(store: Store) -> list[ApiKeyInfo]:
        issuer, found, cursor = KeyIssuer(store), [], ""
        while True:
            page = await issuer.list_keys(_PAGE, cursor)
            found += page.keys
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor

    click.echo(_COLUMNS.format("id", "prefix", "role", "state", "last use", "whose", "name"))
    now = datetime.now(timezone.utc)
    for key in with_store(db, work):
        whose = key.user_id or key.email or key.workos_id or "-"
        last = "-" if key.last_used_at is None else f"{key.last_used_at:%Y-%m-%d}"
        state = _state(key, now)
        row = _COLUMNS.format(key.id, key.prefix, key.role, state, last, whose, key.name or "")
        # What others have typed is not to move the cursor of whoever reads it.
        click.echo("".join(letter if letter.isprintable() else "?" for letter in row))


def _state(key: ApiKeyInfo, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


def revoke(db: str | None, key_id: str) -> None:
    """Take a key out of use; a server that runs on the store refuses it from its next request on.
    Raises ClickException."""

    async def work(store: Store) -> ApiKeyInfo:
        return await KeyIssuer(store).revoke_key(key_id, _OPERATOR)

    revoked = with_store(db, work)
    click.echo(f"revoked {revoked.prefix or revoked.id} ({revoked.name})")


def moment_of(text: str) -> datetime:
    """A time to come: ISO 8601, or a span such as 90d, 12h, 30m. Raises ClickException."""
    span = _SPAN.fullmatch(text.strip())
    try:
        if span is not None:
            return datetime.now(timezone.utc) + timedelta(**{_UNITS[span[2]]: int(span[1])})
        return parse_timestamp(text)
    except (ValueError, OverflowError) as exc:
        raise click.UsageError(
            "--expires must be a span such as 90d, 12h or 30m, or a time in ISO 8601"
        ) from exc
