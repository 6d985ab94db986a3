"""KeyIssuer: API keys are made, listed and revoked. A key is shown by the call that makes it."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any

from chatserver_sdk.models import (
    ApiKeyCreated,
    ApiKeyInfo,
    ApiKeyListResponse,
    ApiKeyRequest,
    Role,
)
from chatserver_sdk.storage import Conflict, Store, idempotency
from chatserver_sdk.storage import keys as verbs
from chatserver_sdk.storage.idempotency import Key
from chatserver_sdk.storage.principals import Named

from . import clock
from .cursors import decode_cursor, encode_cursor
from .errors import InvalidRequest
from .keys import KeyRing, hash_key, key_prefix, new_key
from .platform import email_of

_LIST = "keys"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class KeyIssuer:
    """The keys of one store. ring: what remembers them in this process."""

    def __init__(self, store: Store, ring: KeyRing | None = None) -> None:
        self._store = store
        self._ring = ring

    async def list_keys(self, limit: int = 50, cursor: str = "") -> ApiKeyListResponse:
        """A page of the keys, the newest first, revoked ones too. Raises InvalidRequest for what
        is no cursor of this list."""
        place = decode_cursor(_LIST, {}, cursor, (int, str))
        behind = None if place is None else (_EPOCH + place[0] * _MICROSECOND, place[1])
        found = await self._store.read(verbs.list_keys, behind, most=limit + 1)
        shown = found[:limit]
        answer = ApiKeyListResponse(shown, len(shown))
        if len(found) > limit:
            made = shown[-1].created_at or _EPOCH
            answer.next_cursor = encode_cursor(
                _LIST, {}, [(made - _EPOCH) // _MICROSECOND, shown[-1].id]
            )
        return answer

    async def create_key(
        self, request: ApiKeyRequest, by: str, key: Key | None = None
    ) -> ApiKeyCreated:
        """A new key. `by` is what the audit log calls who makes it.

        key: the second request with it is a Conflict, since nothing can show the first one's
        answer again. Raises InvalidRequest with the field, NotFound for an unknown principal,
        Conflict where names are two people's and for who is no administrator.
        """
        now = clock.now()
        named, new, secret = _prepared(request, now)

        def create(connection: Any) -> ApiKeyInfo:
            if key is not None and (earlier := idempotency.find(connection, key, now)) is not None:
                idempotency.check_same(earlier, key)
                raise _shown_once(earlier.answer or {})
            made = verbs.create(connection, new, named, by=by, now=now)
            if key is not None:
                idempotency.take(connection, key, now, status=201, answer={"id": made.id})
            return made

        made = await self._store.write(create)
        self._changed()
        values = {field.name: getattr(made, field.name) for field in fields(ApiKeyInfo)}
        return ApiKeyCreated(**values, key=secret)

    async def revoke_key(self, key_id: str, by: str) -> ApiKeyInfo:
        """The key, which counts nowhere any more; one that was revoked before stays as it is.
        Raises NotFound, and Conflict for the last valid key of an administrator."""
        revoked = await self._store.write(verbs.revoke, key_id, by=by, now=clock.now())
        self._changed()
        return revoked

    def _changed(self) -> None:
        if self._ring is not None:
            self._ring.forget()


def _prepared(request: ApiKeyRequest, now: datetime) -> tuple[Named, verbs.NewKey, str]:
    """Whom the key is for, what is stored of it, and the key. Raises InvalidRequest."""
    name = request.name.strip()
    if not name or not name.isprintable():
        raise _wrong("name", "name must say what the key is for, in one line")
    _check_role(request)
    end = request.expires_at
    if end is not None and end.tzinfo is None:
        end = end.replace(tzinfo=timezone.utc)
    if end is not None and end <= now:
        raise _wrong("expires_at", "expires_at must be a time to come")
    secret = new_key()
    new = verbs.NewKey(
        hash_key(secret), key_prefix(secret), name, request.role, request.user_id, end
    )
    return _named(request), new, secret


def _named(request: ApiKeyRequest) -> Named:
    workos_id = None if request.workos_id is None else request.workos_id.strip()
    if workos_id is not None and not (workos_id and workos_id.isprintable()):
        raise _wrong("workos_id", "workos_id must be a text in one line")
    email = None if request.email is None else email_of(request.email)
    return Named(request.principal_id, email, workos_id, request.user_id)


def _check_role(request: ApiKeyRequest) -> None:
    """Raises InvalidRequest where the role and the rest do not fit."""
    role, user_id = request.role, request.user_id
    if user_id is not None and not user_id.isprintable():
        raise _wrong("user_id", "user_id must be a text in one line")
    if role == Role.USER and (user_id is None or not user_id.strip()):
        raise _wrong("user_id", "a key of the role user needs a user_id: whose it is")
    if role in (Role.SERVICE, Role.ADMIN) and user_id is not None:
        raise _wrong("user_id", f"a key of the role {role} is for any user; give no user_id")
    if role == Role.ADMIN and not (request.email or request.workos_id or request.principal_id):
        raise _wrong("email", "a key of the role admin needs the email of an administrator")


def _shown_once(answer: dict[str, Any]) -> Conflict:
    return Conflict(
        f"the key {answer.get('id', '')} was made with this Idempotency-Key before, and nobody can"
        " show it again; revoke it and make another one",
        "key_shown_once",
    )


def _wrong(param: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, "invalid_value", param)
