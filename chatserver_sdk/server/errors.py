"""Which status each refusal has, and how it is written: one shape everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Send

from chatserver_sdk import engine, storage
from chatserver_sdk._wire.errors import ErrorDetail, encode_error

_JSON = (b"content-type", b"application/json")
_INVALID = "invalid_request_error"

# The first class that fits counts. (status, OpenAI's word for the kind)
_STATUS_FOR: tuple[tuple[type[Exception], int, str], ...] = (
    (engine.InvalidRequest, 400, _INVALID),
    (engine.Unauthenticated, 401, "authentication_error"),
    (engine.Forbidden, 403, "permission_error"),
    (engine.UnknownModel, 404, _INVALID),
    (engine.Gone, 410, _INVALID),
    (engine.Unavailable, 503, "service_unavailable"),
    (engine.RateLimited, 429, "rate_limit_error"),
    (engine.ShuttingDown, 503, "service_unavailable"),
    (storage.NotFound, 404, "not_found_error"),
    (storage.Conflict, 409, "conflict_error"),
    (storage.Unstorable, 400, _INVALID),
    (storage.StoreError, 503, "service_unavailable"),
)
REFUSALS = (engine.EngineError, storage.StoreError)

_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    431: "head_too_large",
}

# Names that pydantic puts into a path to say which branch of a union it tried.
_BRANCHES = {"str", "int", "float", "bool", "list", "dict"}


# Parts of what the caller sent may stand in a message, and never all of something long.
_LONGEST_MESSAGE = 500
_MOST_PROBLEMS = 20


class RequestRefused(HTTPException):
    """HTTP itself is at fault: the status says all."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(status, message, headers)


def response_for(exc: Exception) -> Response:
    """The answer that says what `exc` is about; a 500 without particulars for what is not ours."""
    if isinstance(exc, HTTPException):
        return refusal(exc.status_code, exc.detail, headers=dict(exc.headers or {}))
    for kind, status, word in _STATUS_FOR:
        if isinstance(exc, kind):
            detail = ErrorDetail(
                _shorten(getattr(exc, "sentence", None) or str(exc)),
                type=word,
                code=getattr(exc, "code", None) or _CODES.get(status),
                param=getattr(exc, "param", None),
                errors=list(getattr(exc, "errors", ())),
            )
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            if isinstance(exc, engine.RateLimited):
                headers["Retry-After"] = str(exc.retry_after)
            if kind is engine.ShuttingDown or isinstance(exc, storage.StoreUnavailable):
                # Long enough for another server, or this one again, to be there; and a lock that
                # others hold is mostly gone by then.
                headers["Retry-After"] = "2"
            return json_response(status, encode_error(detail), headers)
    return refusal(500, "the server failed; its log says why, under this request's id")


def refusal(status: int, message: str, *, headers: dict[str, str] | None = None) -> Response:
    """An error that has nothing but a status and a sentence."""
    word = _INVALID if status < 500 else "server_error"
    detail = ErrorDetail(_shorten(message), type=word, code=_CODES.get(status))
    return json_response(status, encode_error(detail), headers or {})


def json_response(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    content = to_json(body)
    return Response(content, status, headers, media_type="application/json")


async def send_json(send: Send, status: int, body: Any, headers: dict[str, str]) -> None:
    """The same, sent at once: what a Response object adds costs as much as the answer."""
    content = to_json(body)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw += [_JSON, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


def invalid_request(problems: Iterable[Any]) -> engine.InvalidRequest:
    """pydantic's list of problems as one refusal. What the caller sent is not repeated."""
    found: dict[str, dict[str, Any]] = {}
    for problem in problems:
        place = _place(problem["loc"])
        line = {"loc": place, "msg": problem["msg"], "type": problem["type"]}
        # The branches of a union each have their say; the first is enough.
        found.setdefault(place, line)
    lines = [
        f"{line['loc']}: {line['msg']}" if line["loc"] else line["msg"] for line in found.values()
    ]
    refused = engine.InvalidRequest(
        "; ".join(lines[:5]), _code_of(found.values()), next(iter(found)) or None
    )
    refused.errors = list(found.values())[:_MOST_PROBLEMS]
    return refused


def _code_of(lines: Iterable[dict[str, Any]]) -> str:
    is_json = all(line["type"] != "json_invalid" for line in lines)
    return "invalid_value" if is_json else "invalid_json"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE - 1]}…"


def _place(loc: Sequence[int | str]) -> str:
    """A path in the body as a caller would write it: messages[0].content."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.isidentifier() and step not in _BRANCHES:
            path += f".{step}" if path else step
    return path
