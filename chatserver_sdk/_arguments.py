"""What callers pass, made into what is sent; bad input is refused here, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from . import models
from ._options import CompletionOptions, DefaultInt
from .exceptions import BadRequestError, DecodeError

if TYPE_CHECKING:
    from .models import ChatCompletionRequest, Message

    OneMessage = Message | Mapping[str, Any] | str
    Messages = OneMessage | Iterable[OneMessage]


_KEY = "idempotency-key"


def metadata_of(
    given: Mapping[str, Any] | None,
    explicit: Mapping[str, Any],
    user: str | None,
    idempotency_key: str | None = None,
) -> dict[str, Any] | None:
    """The metadata that is sent: the caller's, the keyword arguments over it.

    idempotency_key: of the caller's own; the same call under it must be the same request.
    """
    if given is not None and not isinstance(given, Mapping):
        raise BadRequestError("metadata must be an object", param="metadata")
    metadata = dict(given or {})
    metadata.update({key: value for key, value in explicit.items() if value is not None})
    if user is not None:
        metadata["user_id"] = user
        # Servers whose own fingerprints are no UUIDs need one from us to record the history.
        if metadata.get("session_id") is None:
            named = idempotency_key and uuid5(NAMESPACE_URL, f"chatserver:{user}:{idempotency_key}")
            metadata["session_id"] = str(named or uuid4())
    return metadata or None


def idempotency_key(headers: object) -> str | None:
    """The caller's own key, where there is one."""
    listed = headers.items() if isinstance(headers, Mapping) else ()
    return next((str(value) for name, value in listed if str(name).lower() == _KEY), None)


def read_messages(given: Messages) -> list[Message]:
    """The messages in whatever form they were given. Raises BadRequestError with the place."""
    if isinstance(given, (str, models.Message, Mapping)):
        given = [given]
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise _wrong("messages", "a list of messages", given)
    messages = [_read_message(one, f"messages[{index}]") for index, one in enumerate(given)]
    if not messages:
        raise BadRequestError("messages must not be empty", param="messages")
    return messages


def _read_message(given: OneMessage, param: str) -> Message:
    if isinstance(given, str):
        return models.Message(models.MessageRole.USER, given)
    if isinstance(given, Mapping):
        role = text(given.get("role"), f"{param}.role")
        # Content first: what is wrong with it is named as the caller wrote it.
        _check_content(given.get("content"), given, f"{param}.content")
        try:
            return models.Message.from_dict({**given, "role": role})
        except DecodeError as exc:
            raise BadRequestError(f"{param}: {exc.message}", param=param) from exc
    if not isinstance(given, models.Message):
        raise _wrong(param, "a Message, a dict or a string", given)
    text(given.role, f"{param}.role")
    said = {**given.extra, "tool_calls": given.tool_calls, "refusal": given.refusal}
    _check_content(given.content, said, f"{param}.content")
    return given


def _check_content(content: object, message: Mapping[str, Any], param: str) -> None:
    problem = models.content_problem(content, models.speaks_otherwise(message))
    if problem is not None:
        place, expected = problem
        if not isinstance(content, list):
            raise _wrong(param, expected, content)
        raise BadRequestError(f"{param}{place} must be {expected}", param=param + place)


def set_options(request: ChatCompletionRequest, options: Mapping[str, Any]) -> None:
    """Write the options that are given and not None into the request.

    Raises BadRequestError with the option, TypeError for a name that is none.
    """
    for name in options:
        if name not in CompletionOptions.__annotations__:
            raise TypeError(_unexpected(name))
    given = {name: value for name, value in options.items() if value is not None}
    for name, check in _CHECKS.items():
        if name in given:
            setattr(request, name, check(given[name], name))
    # OpenAI refuses both together, and nobody asked for ours.
    if "max_completion_tokens" in given and isinstance(request.max_tokens, DefaultInt):
        request.max_tokens = None


def _unexpected(name: str) -> str:
    from difflib import get_close_matches  # only mistakes need it

    known = [field.name for field in fields(models.ChatCompletionRequest)]
    close = get_close_matches(name, [*known, *_IN_METADATA], n=1)
    hint = f". Did you mean {close[0]!r}?" if close else ""
    return f"create_completion() got an unexpected keyword argument {name!r}{hint}"


_IN_METADATA = (
    "session_id",
    "organization_id",
    "workflow",
    "variables",
    "allowed_tools",
    "setting_sources",
    "mcp_servers",
)


def _flag(value: object, param: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(param, "True or False", value)
    return value


def _count(value: object, param: str) -> int:
    return _at_least(1, integer(value, param), param)


def _count_or_none(value: object, param: str) -> int:
    return _at_least(0, integer(value, param), param)


def _at_least(least: int, value: int, param: str) -> int:
    if value < least:
        raise BadRequestError(f"{param} must be at least {least}", param=param)
    return value


def _object(value: object, param: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(param, "an object", value)
    return dict(value)


def _typed_object(value: object, param: str) -> dict[str, Any]:
    given = _object(value, param)
    if not isinstance(given.get("type"), str):
        raise BadRequestError(f'{param} must be an object with a "type"', param=param)
    return given


def _name_or_object(value: object, param: str) -> str | dict[str, Any]:
    if isinstance(value, str):
        return text(value, param)
    if not isinstance(value, Mapping):
        raise _wrong(param, "a string or an object", value)
    return dict(value)


def _stops(value: object, param: str) -> str | list[str]:
    if isinstance(value, str):
        return value
    return [
        _stop(one, f"{param}[{at}]") for at, one in enumerate(_list(value, param, "a string or "))
    ]


def _stop(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise _wrong(param, "a string", value)
    return value


def _biases(value: object, param: str) -> dict[str, float]:
    # JSON has only texts as keys; a token's number is mostly an int in Python.
    given = _object(value, param).items()
    return {str(token): _given(bias, f"{param}[{str(token)[:20]}]") for token, bias in given}


def _given(value: object, param: str) -> float:
    if value is None:
        raise _wrong(param, "a number", value)
    return float(number(value, param))


def _tools(value: object, param: str) -> list[models.Tool]:
    return [_tool(one, f"{param}[{at}]") for at, one in enumerate(_list(value, param))]


def _tool(value: object, param: str) -> models.Tool:
    if not isinstance(value, models.Tool):
        given = _object(value, param)
        # Who forgets the wrapper writes the function itself.
        if "name" in given and "function" not in given:
            sentence = f'{param} must be an object with a "type" and a "function"'
            raise BadRequestError(sentence, param=param)
        try:
            value = models.Tool.from_dict(given)
        except DecodeError as exc:
            raise BadRequestError(f"{param}: {exc.message}", param=param) from exc
    if value.type == "function":
        text(getattr(value.function, "name", None), f"{param}.function.name")
    return value


def _list(value: object, param: str, alternative: str = "") -> list[Any]:
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        raise _wrong(param, f"{alternative}a list", value)
    return list(value)


def text(value: object, param: str) -> str:
    """A text that says something. Raises BadRequestError."""
    if not isinstance(value, str):
        raise _wrong(param, "a string", value)
    if not value.strip():
        raise BadRequestError(f"{param} must not be empty", param=param)
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise BadRequestError(f"{param} holds what UTF-8 cannot write", param=param) from exc
    return str(value)


def optional_text(value: str | None, param: str) -> str | None:
    """A text, or None. Raises BadRequestError."""
    if value is not None and not isinstance(value, str):
        raise _wrong(param, "a string", value)
    return value


def identifier(value: object, param: str) -> str:
    """An id: a text that says something, or a UUID. Raises BadRequestError."""
    return text(str(value) if isinstance(value, UUID) else value, param)


def optional_identifier(value: object, param: str) -> str | None:
    """An id, or None. Raises BadRequestError."""
    return None if value is None else identifier(value, param)


def number(value: Any, param: str) -> Any:
    """A finite number, or None. Raises BadRequestError."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise _wrong(param, "a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequestError(f"{param} must be a finite number", param=param)
    return value


def integer(value: object, param: str) -> int:
    """A whole number. Raises BadRequestError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(param, "a whole number", value)
    return value


def method(value: object) -> str:
    """An HTTP method. Raises BadRequestError."""
    given = text(value, "method").upper()
    if not given.isascii() or not given.isalpha():
        raise BadRequestError("method must be an HTTP method, such as GET", param="method")
    return given


def moment(value: object, param: str) -> datetime | None:
    """An aware time from ISO text or a datetime, or None. Raises BadRequestError."""
    if value is None:
        return None
    from .models._values import parse_timestamp  # the models are loaded at the first call

    try:
        return parse_timestamp(value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise _wrong(param, "a datetime or ISO 8601 text", value) from exc


def _wrong(param: str, expected: str, value: object) -> BadRequestError:
    # The value's type and not the value: it may be a prompt.
    got = "nothing" if value is None else type(value).__name__
    return BadRequestError(f"{param} must be {expected}, not {got}", param=param)


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "tools": _tools,
    "tool_choice": _name_or_object,
    "parallel_tool_calls": _flag,
    "response_format": _typed_object,
    "n": _count,
    "stop": _stops,
    "seed": integer,
    "logprobs": _flag,
    "top_logprobs": _count_or_none,
    "logit_bias": _biases,
    "presence_penalty": number,
    "frequency_penalty": number,
    "max_completion_tokens": _count,
    "stream_options": _object,
    "reasoning_effort": text,
}
