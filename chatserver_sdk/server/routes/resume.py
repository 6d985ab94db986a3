"""GET /v1/chat/completions/{turn_id}/events: a streamed answer from where its reader left it."""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from chatserver_sdk.engine import InvalidRequest, Turn

from ..bodies import read_body
from ..doorkeeper import ANYBODY
from ..errors import RequestRefused
from ..services import Services
from ..streaming import Encode, send_events
from .access import Door
from .completions import PATH as COMPLETIONS
from .completions import Chunks, headers_of

PATH = COMPLETIONS + "/{turn_id}/events"

_PLACE = re.compile(re.escape(COMPLETIONS) + "/([^/]+)/events")
# More digits than that number no event.
_SEQ = re.compile("[0-9]{1,15}")


class _Cursor(NamedTuple):
    """The number of the last event that a reader has, and where the request says so."""

    seq: int
    param: str


def is_here(path: str) -> bool:
    """Whether this route answers at a path."""
    return path.startswith(COMPLETIONS + "/") and _PLACE.fullmatch(path) is not None


class Resume:
    """The endpoint of one server."""

    doors = (Door("GET", PATH, ANYBODY),)
    template = PATH

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            raise RequestRefused(405, f"{scope['method']} is not possible here; GET", Allow="GET")
        headers = Headers(scope=scope)
        principal = await self._services.door.admit(scope, headers, ANYBODY, takes_tickets=True)
        turn_id = scope["path"].split("/")[-2].lower()
        cursor = _cursor(turn_id, headers, QueryParams(scope["query_string"]))
        # A body has no meaning here; what is received behind it says that the reader is gone.
        await read_body(receive)
        turn = await self._services.chat.get_turn(turn_id, principal)
        _check_said(turn, cursor)
        chunks = Chunks(turn)
        encode: Encode = chunks
        after = cursor.seq
        with self._services.chat.reading(turn):
            if turn.ending is not None and after >= len(turn.log):
                # The last chunk and [DONE] have one id: who has the one may lack the other.
                encode, after = chunks.ending, len(turn.log) - 1
            await send_events(turn, encode, headers_of(turn), receive, send, after=after)


def _cursor(turn_id: str, headers: Headers, query: QueryParams) -> _Cursor:
    """Where to go on. Raises InvalidRequest for what is no place in this turn."""
    last_id = headers.get("last-event-id")
    # An EventSource that has seen no id sends an empty one.
    if not last_id:
        after = query.get("after", "0")
        if not _SEQ.fullmatch(after):
            raise _invalid("after must be the number of an event, or 0", "after")
        return _Cursor(int(after), "after")
    named, _, seq = last_id.rpartition(":")
    if named.lower() != turn_id or not _SEQ.fullmatch(seq):
        raise _invalid("Last-Event-ID must be the id of an event of this turn", "Last-Event-ID")
    return _Cursor(int(seq), "Last-Event-ID")


def _check_said(turn: Turn, cursor: _Cursor) -> None:
    if cursor.seq > len(turn.log):
        raise _invalid(f"the turn has said {len(turn.log)} events so far", cursor.param)


def _invalid(sentence: str, param: str) -> InvalidRequest:
    return InvalidRequest(sentence, "invalid_value", param)
