"""Paging: lists that are longer than a page, one item after the other.

Our server is asked page by page with a cursor, behind which nothing is lost or repeated whatever
happens meanwhile. Other servers know pages and offsets only: there, what a page has shown before is
left out. A server that goes round in circles is left with an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from .exceptions import DecodeError
from .raw import is_able

if TYPE_CHECKING:
    from .models import AuditEntry, AuditLogResponse, ChatSessionListResponse, ChatSessionSummary

    Listed = TypeVar("Listed", AuditEntry, ChatSessionSummary)
    Page: TypeAlias = AuditLogResponse | ChatSessionListResponse

# The longest pages that the protocol knows.
SESSIONS_PAGE = 100
AUDIT_PAGE = 200
# How many ids are kept to tell what came before: some megabytes.
_REMEMBERED = 100_000
# Pages in a row that hold nothing new. Many new entries may push the old ones that far; a server
# that repeats itself goes on for ever.
_PATIENCE = 20


def iter_sessions(
    fetch: Callable[[int, str | None], ChatSessionListResponse],
) -> Iterator[ChatSessionSummary]:
    """Every session that the pages hold, once. fetch: the page of this number and cursor.

    Raises DecodeError where the server never comes to an end.
    """
    shown = _Shown()
    page = 1
    cursor: str | None = ""
    while True:
        found = fetch(page, cursor)
        new = shown.new(found.sessions)
        yield from new
        if not found.next_cursor:
            # Some say for ever that there is more; then the number of all says when it is enough.
            is_all = not new and 0 < found.total <= shown.count
            if cursor or is_all or not found.has_more or not found.sessions:
                return
        cursor = shown.go_on(cursor, found)
        page += 1


class AuditFilter:
    """Which entries are wanted; servers that cannot tell send all, and this picks.

    since, until: from and before; aware times. action: `*` stands for any text, and nothing else
    is special, as on our server.
    """

    def __init__(
        self,
        since: datetime | None,
        until: datetime | None,
        action: str | None = None,
        **equal: str | None,
    ) -> None:
        self._since = since
        self._until = until
        # Of fnmatch's wildcards one is left.
        self._action = action and re.sub(r"[\[?]", r"[\g<0>]", action)
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

    def is_behind(self, entries: Sequence[AuditEntry]) -> bool:
        """Whether a page, and with it all that follow, is older than what is wanted."""
        since = self._since
        if since is None or not entries:
            return False
        return all(entry.timestamp < since for entry in entries)


def iter_audit_log(
    fetch: Callable[[int, str | None], AuditLogResponse], wanted: AuditFilter
) -> Iterator[AuditEntry]:
    """Every wanted entry once, newest first. fetch: the page at this offset and cursor.

    Raises DecodeError where the server never comes to an end.
    """
    # What arrives meanwhile pushes entries to a later page, the latest of the seen ones first.
    shown = _Shown()
    offset = longest = 0
    cursor: str | None = ""
    while True:
        found = fetch(offset, cursor)
        yield from filter(wanted, shown.new(found.entries))
        is_end = not found.next_cursor and (cursor or _is_last(found, longest))
        if is_end or wanted.is_behind(found.entries):
            return
        cursor = shown.go_on(cursor, found)
        longest = max(longest, len(found.entries))
        offset += len(found.entries)


def _is_last(found: AuditLogResponse, longest: int) -> bool:
    # A server may give less than it was asked for: only a page that is empty, or shorter than
    # another one, is the last. Ours would have given a cursor.
    has_cursors = found.raw is not None and is_able(found.raw.headers)
    return has_cursors or len(found.entries) < max(longest, 1)


class _Shown:
    """What the pages have shown so far, as far back as it is remembered. count: how many."""

    def __init__(self) -> None:
        self.count = 0
        self._ids: dict[str, None] = {}
        self._fruitless = 0

    def new(self, listed: Sequence[Listed]) -> list[Listed]:
        """What was not shown before."""
        found = {item.id: item for item in listed if item.id not in self._ids}
        self.count += len(found)
        self._fruitless = 0 if found else self._fruitless + 1
        self._ids.update(dict.fromkeys(found))
        while len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return list(found.values())

    def go_on(self, cursor: str | None, found: Page) -> str | None:
        """The cursor of the next page; None where the server knows none. Raises DecodeError."""
        if found.next_cursor and found.next_cursor == cursor:
            raise self._circle("gave the same next_cursor again", found)
        if self._fruitless >= _PATIENCE:
            raise self._circle(f"gave {_PATIENCE} pages in a row with nothing new in them", found)
        return found.next_cursor or None

    def _circle(self, what: str, found: Page) -> DecodeError:
        sentence = f"the list has no end: behind {self.count} entries the server {what}"
        request_id = found.raw.request_id if found.raw else None
        return DecodeError(sentence, response=found.raw, request_id=request_id)
