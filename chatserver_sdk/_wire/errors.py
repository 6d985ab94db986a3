"""Error bodies: from every shape that chat servers send to one exception, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from chatserver_sdk.exceptions import (
    APIStatusError,
    StreamFailedError,
    class_for_status,
    class_for_stream_status,
)
from chatserver_sdk.raw import RawResponse

_LONGEST_MESSAGE = 500

# What OpenAI-compatible servers write into `type` and `code` when an error comes inside a stream,
# where there is no status line. https://platform.openai.com/docs/guides/error-codes
_STATUS_FOR_WORD = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "conflict_error": 409,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "api_error": 500,
    "overloaded_error": 503,
    "service_unavailable": 503,
}


@dataclass(frozen=True)
class ErrorDetail:
    """What a server says of an error. An empty message means that it said nothing readable."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    errors: list[Any] = field(default_factory=list)


def error_from(response: RawResponse) -> APIStatusError:
    """The exception for an HTTP answer of 400 or more."""
    body = _decode(response.content)
    detail = parse_error(body)
    status = response.status_code
    return class_for_status(status)(
        detail.message or f"the server answered {_phrase(status)} and said nothing more",
        status,
        response,
        code=detail.code,
        type=detail.type,
        param=detail.param,
        errors=detail.errors,
        request_id=response.request_id,
        retry_after=parse_retry_after(response.headers),
        body=body,
    )


def stream_error_from(
    payload: Any, *, partial: str, metadata: Mapping[str, Any]
) -> StreamFailedError:
    """The exception for an error that came as an event of a stream."""
    detail = parse_error(payload)
    status = stream_status(payload, detail)
    return class_for_stream_status(status)(
        detail.message or "the server broke the answer off with an error that it did not name",
        status,
        partial=partial,
        metadata=metadata,
        code=detail.code,
        type=detail.type,
        param=detail.param,
        errors=detail.errors,
        request_id=metadata.get("request_id"),
        body=payload,
    )


def error_in_success(payload: Any, response: RawResponse | None = None) -> APIStatusError:
    """The exception for an error that came with the status 200."""
    detail = parse_error(payload)
    return class_for_status(stream_status(payload, detail))(
        detail.message or "the server answered with an error that it did not name",
        stream_status(payload, detail),
        response,
        code=detail.code,
        type=detail.type,
        param=detail.param,
        errors=detail.errors,
        request_id=response.request_id if response else None,
        body=payload,
    )


def stream_status(payload: Any, detail: ErrorDetail) -> int:
    """The HTTP status that an error inside a stream would have had; 500 where it does not say."""
    inner = payload.get("error") if isinstance(payload, Mapping) else None
    for source in (inner, payload, {"code": detail.code}):
        if isinstance(source, Mapping):
            for key in ("status", "status_code", "code", "error_code"):
                value = str(source.get(key, ""))
                if re.fullmatch("[45][0-9][0-9]", value):
                    return int(value)
    for word in (detail.code, detail.type):
        if word in _STATUS_FOR_WORD:
            return _STATUS_FOR_WORD[word]
    return 500


def encode_error(detail: ErrorDetail) -> dict[str, Any]:
    """The error body that our server sends; parse_error is its inverse."""
    error: dict[str, Any] = {
        "message": detail.message,
        "type": detail.type,
        "param": detail.param,
        "code": detail.code,
    }
    if detail.errors:
        error["errors"] = detail.errors
    return {"error": error}


def parse_error(body: Any) -> ErrorDetail:
    """What a decoded body, or its text, says of the error. Never raises."""
    if isinstance(body, str):
        return ErrorDetail(_shorten(_text_of_page(body)))
    if not isinstance(body, Mapping):
        # Google's gateways wrap an error in a list.
        first = body[0] if isinstance(body, list) and body else None
        said = parse_error(first) if isinstance(first, Mapping) else ErrorDetail()
        return said if said.message else ErrorDetail(_shorten(_json(body)))
    error = body.get("error")
    if isinstance(error, Mapping):
        return _parse_fields(error)
    detail = body.get("detail")
    if isinstance(detail, Mapping):
        return _parse_fields(detail)
    if isinstance(detail, list):
        return _parse_validation(detail)
    problems = error if isinstance(error, list) else body.get("errors")
    if isinstance(problems, list) and problems and not _parse_flat(body).message:
        first = problems[0] if isinstance(problems[0], Mapping) else {"message": problems[0]}
        return replace(_parse_fields(first), errors=problems)
    return _parse_flat(body)


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header's value, whatever the case of its name."""
    for key, value in headers.items():
        if key.lower() == name:
            return value
    return None


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (RFC 9110 10.2.3: seconds or a date) or Retry-After-Ms."""
    if (milliseconds := _number(header(headers, "retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = header(headers, "retry-after")
    if value is None or (seconds := _number(value)) is not None:
        return None if value is None else seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max((moment - datetime.now(timezone.utc)).total_seconds(), 0.0)


def _number(text: str | None) -> float | None:
    # Not float(): it takes "nan", "inf" and "1_000".
    return float(text) if text and re.fullmatch(r"\s*\d{1,12}(\.\d+)?\s*", text) else None


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def _parse_fields(error: Mapping[str, Any]) -> ErrorDetail:
    message = error.get("message") or error.get("error") or error.get("detail")
    errors = error.get("errors")
    return ErrorDetail(
        message=_shorten(message if isinstance(message, str) else _json(message)),
        type=_word(error.get("type")),
        code=_word(error.get("code") or error.get("error_code")),
        param=_word(error.get("param")),
        errors=errors if isinstance(errors, list) else [],
    )


def _parse_validation(problems: list[Any]) -> ErrorDetail:
    """FastAPI's list of {"loc", "msg", "type"}."""
    lines = [_validation_line(problem) for problem in problems]
    params = [path for path, _ in lines if path]
    return ErrorDetail(
        message=_shorten("; ".join(f"{path}: {text}" if path else text for path, text in lines)),
        param=params[0] if params else None,
        errors=problems,
    )


def _validation_line(problem: Any) -> tuple[str, str]:
    if not isinstance(problem, Mapping):
        return "", _json(problem)
    loc = problem.get("loc")
    places = [str(place) for place in loc] if isinstance(loc, (list, tuple)) else []
    inside = places[1:] if places[:1] in (["body"], ["query"], ["path"]) else places
    message = problem.get("msg")
    return ".".join(inside), message if isinstance(message, str) else _json(problem)


def _parse_flat(body: Mapping[str, Any]) -> ErrorDetail:
    """{"error": "text"}, {"detail": "text"}, {"message": "text"}, problem+json."""
    texts = [body.get(key) for key in ("detail", "message", "error", "title", "text")]
    message = next((text for text in texts if isinstance(text, str) and text), "")
    # {"error": "rate_limit_error", "message": "Too many requests"}: a code beside a sentence.
    error = body.get("error")
    code = error if isinstance(error, str) and error != message else body.get("code")
    return ErrorDetail(_shorten(message), type=_word(body.get("type")), code=_word(code))


def _text_of_page(text: str) -> str:
    """The words of a proxy's HTML page: its title, or all of it without tags."""
    if not text.lstrip().startswith("<"):
        return text
    # Neither pattern looks past the next "<": a page of nothing else takes no longer.
    title = re.search(r"<title[^<>]*>([^<]*)<", text, re.IGNORECASE)
    return title.group(1) if title else re.sub(r"<[^<>]*>", " ", text)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 3] + "..."


def _json(value: Any) -> str:
    try:
        return json.dumps(value) if value else ""
    except RecursionError:
        return ""


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) and value != "" else None


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
