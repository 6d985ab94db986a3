"""Paging: lists that are longer than a page, one item after the other.

Our server is asked page by page with a cursor, behind which nothing is lost or repeated whatever
happens meanwhile. Other servers know pages and offsets only: there, what a page has shown before is
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import AuditEntry, AuditLogResponse, ChatSessionListResponse, ChatSessionSummary

# The longest pages that the protocol knows.
SESSIONS_PAGE = 100
AUDIT_PAGE = 200
_REMEMBERED = 100_000


def iter_sessions(
    fetch: Callable[[int, str], ChatSessionListResponse],
) -> Iterator[ChatSessionSummary]:
    """Every session that the pages hold, once. fetch: the page of this number and cursor."""
    seen: set[str] = set()
    page, cursor = 1, ""
    while True:
        found = fetch(page, cursor)
        for session in found.sessions:
            if session.id not in seen:
                seen.add(session.id)
                yield session
        if found.next_cursor:
            cursor = found.next_cursor
        elif not (found.has_more and found.sessions) or cursor:
            return
        page += 1


class AuditFilter:
    """Which entries are wanted; servers that cannot tell send all, and this picks.

    since, until: from and before; aware times.
    """

    def __init__(
        self,
        since: datetime | None,
        until: datetime | None,
        action: str | None,
        **equal: str | None,
    ) -> None:
        self._since = since
        self._until = until
        self._action = action
        self._equal = {name: value for name, value in equal.items() if value is not None}

    def __call__(self, entry: AuditEntry) -> bool:
        """Whether this entry is one."""
        if self._since is not None and entry.timestamp < self._since:
            return False
        if self._until is not None and entry.timestamp >= self._until:
            return False
        if self._action is not None and not fnmatchcase(entry.action, self._action):
            return False
        return all(getattr(entry, name) == value for name, value in self._equal.items())

    def is_behind(self, entries: list[AuditEntry]) -> bool:
        """Whether a page, and with it all that follow, is older than what is wanted."""
        since = self._since
        return since is not None and all(entry.timestamp < since for entry in entries)


def iter_audit_log(
    fetch: Callable[[int, str], AuditLogResponse], wanted: AuditFilter
) -> Iterator[AuditEntry]:
    """Every wanted entry once, newest first. fetch: the page at this offset and cursor."""
    # What arrives meanwhile pushes entries to a later page, the latest of the seen ones first.
    seen: dict[str, None] = {}
    offset, cursor = 0, ""
    while True:
        found = fetch(offset, cursor)
        new = [entry for entry in found.entries if entry.id not in seen]
        seen.update(dict.fromkeys(entry.id for entry in new))
        for forgotten in list(islice(seen, max(len(seen) - _REMEMBERED, 0))):
            del seen[forgotten]
        yield from (entry for entry in new if wanted(entry))
        if found.next_cursor:
            # Behind a cursor nothing comes twice: there is nothing to remember.
            cursor = found.next_cursor
            seen.clear()
        elif cursor or _is_last(found) or wanted.is_behind(found.entries):
            return
        offset += len(found.entries)


def _is_last(found: AuditLogResponse) -> bool:
    # A server may give less than it was asked for, and says so in `limit`.
    return not found.entries or len(found.entries) < min(found.limit, AUDIT_PAGE)
