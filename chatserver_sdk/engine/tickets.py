"""Tickets: for readers that can send no header. Each lets its principal in once, for 30 s."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter, OrderedDict
from datetime import timedelta
from typing import NamedTuple

from chatserver_sdk.models import Principal, TicketResponse

from . import clock
from .errors import RateLimited, Unauthenticated

SECONDS = 30.0
_MOST = 10_000
_MOST_OF_ONE = 100


class _Issued(NamedTuple):
    principal: Principal
    until: float


class TicketOffice:
    """The tickets of one process; it keeps their hashes and nothing else of them."""

    def __init__(self, most: int = _MOST, most_of_one: int = _MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        # The oldest first: all are good for the same time.
        self._issued: OrderedDict[str, _Issued] = OrderedDict()
        self._held: Counter[str] = Counter()

    def issue(self, principal: Principal) -> TicketResponse:
        """A new ticket. Raises RateLimited where too many wait to be used."""
        now = time.monotonic()
        self._drop_expired(now)
        if self._held[principal.id] >= self._most_of_one or len(self._issued) >= self._most:
            raise RateLimited(
                "too many tickets wait to be used", "too_many_tickets", retry_after=int(SECONDS)
            )
        ticket = f"cst_{secrets.token_urlsafe(32)}"
        self._issued[_hash(ticket)] = _Issued(principal, now + SECONDS)
        self._held[principal.id] += 1
        return TicketResponse(ticket, clock.now() + timedelta(seconds=SECONDS))

    def redeem(self, ticket: str, now: float | None = None) -> Principal:
        """Whose it is; it is used up. Raises Unauthenticated. now: of time.monotonic()."""
        self._drop_expired(time.monotonic() if now is None else now)
        # By its hash: how long that takes says nothing about the ticket.
        issued = self._issued.pop(_hash(ticket), None)
        if issued is None:
            raise Unauthenticated(
                "this ticket was used, is too old, or was never issued; get a new one",
                "invalid_ticket",
            )
        self._leave(issued)
        return issued.principal

    def _drop_expired(self, now: float) -> None:
        while self._issued and next(iter(self._issued.values())).until <= now:
            self._leave(self._issued.popitem(last=False)[1])

    def _leave(self, issued: _Issued) -> None:
        self._held[issued.principal.id] -= 1
        if self._held[issued.principal.id] <= 0:
            del self._held[issued.principal.id]

    def __len__(self) -> int:
        return len(self._issued)


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
