"""Shares: how many of the running turns are one user's, so that nobody takes all of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from chatserver_sdk.models import Principal, Role

from .errors import RateLimited

if TYPE_CHECKING:
    from .turn import Turn


class Shares:
    """most: for each user. What services and administrators ask in users' names is not counted:
    they act for many, and the operator gave them their keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._owners: dict[Turn, str] = {}
        self._counts: Counter[str] = Counter()

    def check(self, principal: Principal) -> None:
        """Raises RateLimited where the user has as many as there may be."""
        owner = _owner(principal)
        if owner is not None and self._counts[owner] >= self._most:
            raise RateLimited(
                f"{self._most} answers are being given to you already; wait for one to end",
                "too_many_turns",
                retry_after=1,
            )

    def take(self, turn: Turn, principal: Principal) -> None:
        """It runs from now on."""
        owner = _owner(principal)
        if owner is not None:
            self._owners[turn] = owner
            self._counts[owner] += 1

    def give_back(self, turn: Turn) -> None:
        """It has ended."""
        owner = self._owners.pop(turn, None)
        if owner is None:
            return
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]


def _owner(principal: Principal) -> str | None:
    if principal.role in (Role.SERVICE, Role.ADMIN):
        return None
    return principal.user_id or principal.id
