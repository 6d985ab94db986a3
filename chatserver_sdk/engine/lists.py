"""Lists by key: each page begins behind the last entry of the one before, wherever that is now."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from chatserver_sdk.models import AuditLogResponse, ChatSessionListResponse
from chatserver_sdk.storage import Store, audit, sessions

from .cursors import decode_cursor, encode_cursor
from .errors import InvalidRequest

_SESSIONS = "sessions"
_AUDIT = "audit"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NUMBER = re.compile(r"[0-9]{1,18}")
_MICROSECOND = timedelta(microseconds=1)


async def sessions_from(
    store: Store, user_id: str, cursor: str, page_size: int
) -> ChatSessionListResponse:
    """A user's sessions behind a cursor. Raises InvalidRequest."""
    filters = {"user_id": user_id}
    key = decode_cursor(_SESSIONS, filters, cursor, (int, str))
    behind = None if key is None else (_moment(key[0]), key[1])
    # One more than is shown says whether there is more.
    found = await store.read(sessions.list_from, user_id, behind, most=page_size + 1)
    total = await store.read(sessions.count_sessions, user_id)
    shown = found[:page_size]
    answer = ChatSessionListResponse(shown, total, 1, page_size, len(found) > page_size)
    if answer.has_more:
        last = shown[-1]
        opened = (last.created_at - _EPOCH) // _MICROSECOND
        answer.next_cursor = encode_cursor(_SESSIONS, filters, [opened, last.id])
    return answer


def _moment(opened: int) -> datetime:
    return _EPOCH + opened * _MICROSECOND


async def audit_from(
    store: Store, filters: audit.AuditFilters, cursor: str, limit: int
) -> AuditLogResponse:
    """The entries behind a cursor. Raises InvalidRequest."""
    chosen = vars(filters)
    key = decode_cursor(_AUDIT, chosen, cursor, (int,))
    below = audit.MAX_SEQ if key is None else key[0]
    found = await store.read(audit.list_entries, limit=limit + 1, filters=filters, below=below)
    shown = found[:limit]
    answer = AuditLogResponse(shown, len(shown), limit, 0)
    if len(found) > limit:
        answer.next_cursor = encode_cursor(_AUDIT, chosen, [int(shown[-1].id)])
    return answer


def entry_number(text: str) -> int:
    """The number in an entry's id; 0 stands in front of all. Raises InvalidRequest."""
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest("after must be the id of an entry, or 0", "invalid_value", "after")
    return int(text)
