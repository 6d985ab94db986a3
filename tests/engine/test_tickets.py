"""Tickets: one use, thirty seconds, so many at most; nothing of them is kept but a hash."""

from __future__ import annotations

import time

import pytest

from chatserver_sdk.engine import RateLimited, TicketOffice, Unauthenticated
from chatserver_sdk.engine.tickets import SECONDS
from chatserver_sdk.models import Principal, Role

ADA = Principal("p-ada", Role.USER, user_id="ada")
EVE = Principal("p-eve", Role.USER, user_id="eve")


def refused(office: TicketOffice, ticket: str, now: float | None = None) -> str | None:
    """The code with which a ticket is refused."""
    with pytest.raises(Unauthenticated) as caught:
        office.redeem(ticket, now)
    assert not ticket or ticket not in str(caught.value)
    return caught.value.code


def test_a_ticket_is_its_principals_once() -> None:
    """The second use, and any other text, is refused."""
    office = TicketOffice()
    first, second = office.issue(ADA), office.issue(EVE)

    assert office.redeem(second.ticket) is EVE and office.redeem(first.ticket) is ADA
    for ticket in (first.ticket, second.ticket, "", "x", "cst_", "ü" * 10_000):
        assert refused(office, ticket) == "invalid_ticket"
    assert len(office) == 0 and first.ticket not in repr(first)


def test_a_ticket_ends() -> None:
    """Thirty seconds later it is nobody's, and its place is free."""
    office = TicketOffice(most=1)
    issued = office.issue(ADA)

    assert refused(office, issued.ticket, time.monotonic() + SECONDS) == "invalid_ticket"
    assert len(office) == 0 and office.issue(EVE).expires_at is not None


def test_so_many_tickets() -> None:
    """Of one principal and in all; a used one makes room."""
    office = TicketOffice(most=3, most_of_one=2)
    held = [office.issue(ADA) for _ in range(2)]
    with pytest.raises(RateLimited) as own:
        office.issue(ADA)
    office.issue(EVE)
    with pytest.raises(RateLimited) as all_of_them:
        office.issue(EVE)
    office.redeem(held[0].ticket)

    assert (own.value.code, all_of_them.value.retry_after) == ("too_many_tickets", 30)
    assert office.issue(ADA).ticket.startswith("cst_")
