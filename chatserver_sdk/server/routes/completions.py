"""POST /v1/chat/completions, as a plain ASGI endpoint: it carries the load."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from chatserver_sdk import _json
from chatserver_sdk._wire import openai, sse
from chatserver_sdk._wire.errors import encode_error, stream_status
from chatserver_sdk.engine import InvalidRequest, Turn
from chatserver_sdk.engine.turn import CANCELLED, FAILED
from chatserver_sdk.models import Message, MessageRole
from chatserver_sdk.models._rules import Between
from chatserver_sdk.models.completions import ChatCompletionRequest
from chatserver_sdk.models.content import content_problem, speaks_otherwise
from chatserver_sdk.models.events import Event, TextDelta, TurnFailed

from ..bodies import idempotency_key, read_body
from ..doorkeeper import ANYBODY
from ..errors import RequestRefused, invalid_request, send_json
from ..services import Services
from ..streaming import read_end, send_events
from .access import Door

PATH = "/v1/chat/completions"


@dataclass
class _Received(ChatCompletionRequest):
    """A request in which what was not asked for stays open; the defaults are a client's."""

    temperature: Annotated[float, Between(0, 2)] | None = None
    max_tokens: Annotated[int, Between(1, 10_000_000)] | None = None
    top_p: Annotated[float, Between(0, 1)] | None = None


_requests = TypeAdapter(_Received)
_FREE = ("tool_choice", "response_format", "logit_bias", "stream_options")


class Completions:
    """The endpoint of one server."""

    doors = (Door("POST", PATH, ANYBODY),)
    template = PATH

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise RequestRefused(405, f"{scope['method']} is not possible here; POST", Allow="POST")
        sent = Headers(scope=scope)
        principal = await self._services.door.admit(scope, sent, ANYBODY)
        body = await read_body(receive)
        key = idempotency_key(sent, principal, "completions", body)
        request = decode_request(body)
        turn = await self._services.chat.ask(request, principal, key)
        headers = headers_of(turn)
        with self._services.chat.reading(turn):
            if request.stream:
                await send_events(turn, Chunks(turn), headers, receive, send)
                return
            goes_on = turn.is_stored and not turn.stops_unread
            end = await (turn.end() if goes_on else read_end(turn, receive))
        if end is not None:
            status, answer = _whole(turn, end)
            self._services.chat.release(turn)
            await send_json(send, status, answer, headers)


class Chunks:
    """Writes a turn's events as completion chunks, each with its id for resuming."""

    def __init__(self, turn: Turn) -> None:
        self._heading = _heading(turn)
        self._turn_id = turn.id
        self._text_chunk = openai.text_chunk(self._heading)

    def __call__(self, event: Event) -> Iterable[bytes]:
        event_id = f"{self._turn_id}:{event.seq}"
        if type(event) is TextDelta:
            return (sse.encode_line(self._text_chunk(event.text), id=event_id),)
        return self._encode(event, event_id)

    def _encode(self, event: Event, event_id: str) -> Iterable[bytes]:
        chunk = openai.chunk_body(self._heading, event)
        if chunk is not None:
            yield sse.encode_line(_json.compact(chunk), id=event_id)
        if event.is_terminal and not isinstance(event, TurnFailed):
            yield sse.encode_event(openai.DONE, id=event_id)

    def ending(self, event: Event) -> Iterable[bytes]:
        """What says that there is no more: of a turn's last event, its last part."""
        return list(self(event))[-1:]


def decode_request(body: bytes) -> ChatCompletionRequest:
    """The request in a body. Raises InvalidRequest with the field at fault."""
    try:
        # JSON knows no NaN, and what came in has to be able to go out again.
        if b"NaN" in body or b"Infinity" in body:
            from_json(body, allow_inf_nan=False)
        request = _requests.validate_json(body, strict=True)
    except ValidationError as exc:
        raise invalid_request(
            exc.errors(include_url=False, include_context=False, include_input=False)
        ) from None
    except ValueError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}", "invalid_json") from None
    _check_contents(request)
    _check_numbers(request)
    _check_count(request)
    if request.max_completion_tokens is not None:
        request.max_tokens = request.max_completion_tokens
    return request


def _check_contents(request: ChatCompletionRequest) -> None:
    """Raises InvalidRequest for a message that says nothing, or what is no part of one."""
    for index, message in enumerate(request.messages):
        problem = content_problem(message.content, message.content is None and _acts(message))
        if problem is not None:
            param = f"messages[{index}].content{problem[0]}"
            raise InvalidRequest(f"{param} must be {problem[1]}", "invalid_value", param)
        _check_reference(message, f"messages[{index}]")


def _check_reference(message: Message, place: str) -> None:
    """Raises InvalidRequest for the answer of no call."""
    if message.role == MessageRole.TOOL and message.tool_call_id is None:
        param = f"{place}.tool_call_id"
        raise InvalidRequest(f"{param} must name the call that is answered", "invalid_value", param)


def _acts(message: Message) -> bool:
    """Whether a message without content says something all the same."""
    return speaks_otherwise(
        {**message.extra, "tool_calls": message.tool_calls, "refusal": message.refusal}
    )


def _check_count(request: ChatCompletionRequest) -> None:
    """Raises InvalidRequest where more than one answer is asked for."""
    if request.n is not None and request.n > 1:
        raise InvalidRequest(
            "this server gives one answer to a request: n must be 1", "invalid_value", "n"
        )


def _check_numbers(request: ChatCompletionRequest) -> None:
    """Raises InvalidRequest for 1e999 and the like, which are infinite once they are read."""
    free = {
        "messages": [m.to_dict() for m in request.messages if not _is_text(m)],
        "metadata": request.metadata,
        "tools": [tool.to_dict() for tool in request.tools or ()],
        **{param: getattr(request, param) for param in _FREE},
    }
    for param, values in free.items():
        if not values:
            continue
        try:
            json.dumps(values, allow_nan=False)
        except ValueError:
            sentence = f"there is a number in {param} that is too large"
            raise InvalidRequest(sentence, "invalid_value", param) from None


def _is_text(message: Message) -> bool:
    """Whether there is nothing in a message that could hold a number."""
    return isinstance(message.content, str) and not message.tool_calls and not message.extra


def headers_of(turn: Turn) -> dict[str, str]:
    """What every answer says of its turn before the first event."""
    return {"x-session-id": turn.session_id, "x-turn-id": turn.id}


def _whole(turn: Turn, end: Event) -> tuple[int, object]:
    if turn.state == FAILED and isinstance(end, TurnFailed):
        detail = openai.failure_detail(end)
        return stream_status({"status": end.status}, detail), encode_error(detail)
    reason = "cancelled" if turn.state == CANCELLED else getattr(end, "finish_reason", "stop")
    return 200, openai.completion_body(_heading(turn), turn.text, reason, turn.usage, turn.log)


def _heading(turn: Turn) -> openai.Heading:
    return openai.Heading(
        id=f"chatcmpl-{turn.id.replace('-', '')}",
        created=turn.created,
        model=turn.model,
        fingerprint=turn.session_id,
    )
