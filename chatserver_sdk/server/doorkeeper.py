"""Who comes in: what a request brings along, made into a principal whose role may use the route."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from chatserver_sdk.engine import (
    FailedAuthentications,
    Forbidden,
    KeyRing,
    TicketOffice,
    Unauthenticated,
)
from chatserver_sdk.models import Principal, Role

from . import visits

if TYPE_CHECKING:
    from chatserver_sdk.engine.limits import RateLimits
    from chatserver_sdk.engine.tokens import TokenReader

ANYBODY = frozenset(Role)
ADMINS = frozenset({Role.ADMIN})

# What callers may leave out altogether is no attempt that anybody needs to know of.
_NOTHING_SENT = "missing_api_key"


@dataclass
class Doorkeeper:
    """Keys, tokens and tickets of one server. tokens, limits: None where there are none."""

    keys: KeyRing
    tickets: TicketOffice
    failures: FailedAuthentications
    tokens: TokenReader | None = None
    limits: RateLimits | None = None

    async def admit(
        self,
        scope: Scope,
        headers: Headers,
        roles: Collection[Role] = ANYBODY,
        *,
        takes_tickets: bool = False,
    ) -> Principal:
        """Who is asking. takes_tickets: `?ticket=` will do where no key is sent.

        Raises Unauthenticated, Forbidden for a role that is none of these, RateLimited.
        """
        try:
            principal = await self._known(scope, headers, takes_tickets)
        except Unauthenticated as exc:
            if exc.code != _NOTHING_SENT:
                self.failures.note((scope.get("client") or ("unknown",))[0])
            raise
        visits.note_principal(principal.id)
        if self.limits is not None:
            self.limits.check_key(principal.key_id or principal.id)
        if principal.role not in roles:
            raise _forbidden(roles)
        return principal

    async def _known(self, scope: Scope, headers: Headers, takes_tickets: bool) -> Principal:
        scheme, _, text = headers.get("authorization", "").partition(" ")
        credential = text.strip() if scheme.lower() == "bearer" else ""
        if not credential and takes_tickets and b"ticket=" in scope["query_string"]:
            ticket = QueryParams(scope["query_string"]).get("ticket", "")
            return await self.keys.renewed(self.tickets.redeem(ticket))
        # Three parts with dots between them; no key of ours has any.
        if self.tokens is not None and credential.count(".") == 2:
            return await self.tokens.authenticate(credential)
        return await self.keys.authenticate(credential or None)

    async def close(self) -> None:
        """Store what waits to be stored."""
        await self.failures.close()
        await self.keys.close()


def _forbidden(roles: Collection[Role]) -> Forbidden:
    if set(roles) == ADMINS:
        return Forbidden("this needs an administrator's API key", "admin_required")
    named = ", ".join(sorted(role.value for role in roles))
    return Forbidden(f"this needs an API key of another role: {named}", "wrong_role")
