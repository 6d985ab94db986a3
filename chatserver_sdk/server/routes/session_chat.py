"""/api/v2/sessions/{session_id}/chat, as plain ASGI endpoints: a message, its events, its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from chatserver_sdk._wire import openai, session_chat
from chatserver_sdk._wire.errors import encode_error, stream_status
from chatserver_sdk.engine import InvalidRequest, Turn, resync
from chatserver_sdk.models import (
    CancelMessageResponse,
    MessageRole,
    SessionChatRequest,
    SessionChatResponse,
    SessionMessage,
)
from chatserver_sdk.models.events import (
    Event,
    MessageStored,
    ToolResult,
    TurnCancelled,
    TurnFailed,
)

from ..bodies import idempotency_key, read_body
from ..doorkeeper import ANYBODY
from ..errors import RequestRefused, invalid_request, json_response
from ..services import Services
from ..streaming import Encode, read_end, send_events
from .access import Door
from .completions import headers_of

SESSIONS = "/api/v2/sessions"
CHAT = SESSIONS + "/{session_id}/chat"
EVENTS = CHAT + "/events"

_PLACE = re.compile(SESSIONS + "/([^/]+)/chat(/events)?")
# More digits than that number no event.
_SEQ = re.compile("[0-9]{1,15}")
_requests = TypeAdapter(SessionChatRequest)


def is_here(path: str) -> bool:
    """Whether one of these routes answers at a path."""
    return path.startswith(SESSIONS + "/") and _PLACE.fullmatch(path) is not None


class SessionChat:
    """The endpoints of one server."""

    doors = (
        Door("POST", CHAT, ANYBODY),
        Door("DELETE", CHAT, ANYBODY),
        Door("GET", EVENTS, ANYBODY),
    )

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = _PLACE.fullmatch(scope["path"])
        assert place is not None
        scope["template"] = CHAT if place[2] is None else EVENTS
        method, session_id = scope["method"], place[1]
        if place[2] is not None:
            _check_method(method, "GET")
            await self._join(session_id, scope, receive, send)
        elif method == "POST":
            await self._send_message(session_id, scope, receive, send)
        else:
            _check_method(method, "POST", "DELETE")
            await self._cancel(session_id, scope, receive, send)

    async def _send_message(
        self, session_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        sent = Headers(scope=scope)
        principal = await self._services.door.admit(scope, sent, ANYBODY)
        body = await read_body(receive)
        chat = self._services.chat
        asked = session_id.lower().encode() + b"\n" + body
        try:
            key = idempotency_key(sent, principal, "session_chat", asked)
            request = decode_request(body)
        except InvalidRequest:
            # An unknown session comes first, whatever the body.
            await self._services.sessions.get_session(principal, session_id)
            raise
        turn = await chat.send_message(session_id, request, principal, key)
        with chat.reading(turn):
            if request.stream:
                await send_events(turn, Events(turn), headers_of(turn), receive, send)
                return
            end = await (read_end(turn, receive) if turn.stops_unread else turn.end())
        if end is not None:
            status, answer = _whole(turn, end)
            await json_response(status, answer, headers_of(turn))(scope, receive, send)

    async def _join(self, session_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers, query = Headers(scope=scope), QueryParams(scope["query_string"])
        principal = await self._services.door.admit(scope, headers, ANYBODY, takes_tickets=True)
        turn_id, after = _cursor(headers, query)
        # A body has no meaning here; what is received behind it says that the reader is gone.
        await read_body(receive)
        turn = await self._services.chat.join(session_id, principal, turn_id)
        if after > len(turn.log):
            raise resync(turn.id)
        events = Events(turn)
        encode: Encode = events
        with self._services.chat.reading(turn):
            if turn.ending is not None and after >= len(turn.log):
                # The last event and interaction_end have one id: who has the one may lack the
                # other.
                encode, after = events.ending, len(turn.log) - 1
            await send_events(turn, encode, headers_of(turn), receive, send, after=after)

    async def _cancel(self, session_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._services.door.admit(scope, Headers(scope=scope), ANYBODY)
        named = _turn_id(QueryParams(scope["query_string"]).get("turn_id"))
        turn = await self._services.chat.cancel_message(session_id, principal, named)
        answer = CancelMessageResponse(turn is not None, turn.id if turn else None)
        await json_response(200, answer.to_dict())(scope, receive, send)


class Events:
    """Writes a turn's events in the words of session chat, each with its id for resuming."""

    def __init__(self, turn: Turn) -> None:
        self._heading = _heading(turn)

    def __call__(self, event: Event) -> Iterable[bytes]:
        return session_chat.encode_event(self._heading, event)

    def ending(self, event: Event) -> Iterable[bytes]:
        """What says that there is no more: of a turn's last event, its last part."""
        return list(self(event))[-1:]


def decode_request(body: bytes) -> SessionChatRequest:
    """The request in a body. Raises InvalidRequest with the field at fault."""
    try:
        request = _requests.validate_json(body, strict=True)
        # JSON knows no NaN and no 1e999, and what came in has to be able to go out again.
        if request.metadata or not isinstance(request.message.content, str):
            json.dumps([request.metadata, request.message.content], allow_nan=False)
    except ValidationError as exc:
        raise invalid_request(
            exc.errors(include_url=False, include_context=False, include_input=False)
        ) from None
    except ValueError:
        raise InvalidRequest("the body holds a number that is none", "invalid_json") from None
    return request


def _check_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        listed = ", ".join(allowed)
        raise RequestRefused(405, f"{method} is not possible here; {listed}", Allow=listed)


def _cursor(headers: Headers, query: QueryParams) -> tuple[str | None, int]:
    """Which turn is wanted, and the number of the last event that the reader has.

    Raises InvalidRequest for what is no place.
    """
    # An EventSource that has seen no id sends an empty one.
    last_id = headers.get("last-event-id") or query.get("after") or "0"
    named, colon, seq = last_id.rpartition(":")
    turn_id = _turn_id(query.get("turn_id"))
    if not _SEQ.fullmatch(seq) or (colon and turn_id not in (None, named.lower())):
        raise InvalidRequest(
            "Last-Event-ID and after must be the id of an event of the turn, or its number",
            "invalid_value",
            "Last-Event-ID" if headers.get("last-event-id") else "after",
        )
    return _turn_id(named) if colon else turn_id, int(seq)


def _turn_id(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return str(UUID(given))
    except ValueError:
        raise InvalidRequest("turn_id must be a turn's id", "invalid_value", "turn_id") from None


def _whole(turn: Turn, end: Event) -> tuple[int, object]:
    if isinstance(end, TurnFailed):
        detail = openai.failure_detail(end)
        return stream_status({"status": end.status}, detail), encode_error(detail)
    reason = "cancelled" if isinstance(end, TurnCancelled) else getattr(end, "finish_reason")
    answer = SessionChatResponse(
        _answer(turn), _heading(turn).completion_id, turn.id, turn.usage, reason
    )
    return 200, answer.to_dict()


def _answer(turn: Turn) -> SessionMessage:
    said = openai.message_of(turn.text, turn.log)
    results = [
        {"call_id": event.call_id, "result": event.content}
        for event in turn.log
        if isinstance(event, ToolResult)
    ]
    stored = [event.message for event in turn.log if isinstance(event, MessageStored)]
    return SessionMessage(
        MessageRole.ASSISTANT,
        [{"type": "text", "text": turn.text}],
        stored[-1].id if stored else None,
        stored[-1].created_at if stored else None,
        [_call(call) for call in said.get("tool_calls", ())] or None,
        results or None,
    )


def _call(call: dict[str, object]) -> dict[str, object]:
    function = call["function"]
    assert isinstance(function, dict)
    return {"id": call["id"], "name": function["name"], "arguments": function["arguments"]}


def _heading(turn: Turn) -> session_chat.Heading:
    return session_chat.Heading(turn.id, turn.session_id, turn.model)
