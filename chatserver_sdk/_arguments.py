"""What callers pass, made into what is sent; bad input is refused here, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from . import models
from .exceptions import BadRequestError, DecodeError

if TYPE_CHECKING:
    from .models import Message

    OneMessage = Message | Mapping[str, Any] | str
    Messages = OneMessage | Iterable[OneMessage]


def metadata_of(
    given: Mapping[str, Any] | None, explicit: Mapping[str, Any], user: str | None
) -> dict[str, Any] | None:
    """The metadata that is sent: the caller's, the keyword arguments over it."""
    if given is not None and not isinstance(given, Mapping):
        raise BadRequestError("metadata must be an object", param="metadata")
    metadata = dict(given or {})
    metadata.update({key: value for key, value in explicit.items() if value is not None})
    if user is not None:
        metadata["user_id"] = user
        # Servers whose own fingerprints are no UUIDs need one from us to record the history.
        if metadata.get("session_id") is None:
            metadata["session_id"] = str(uuid4())
    return metadata or None


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
        _check_content(given.get("content"), given.get("tool_calls"), f"{param}.content")
        try:
            return models.Message.from_dict({**given, "role": role})
        except DecodeError as exc:
            raise BadRequestError(f"{param}: {exc.message}", param=param) from exc
    if not isinstance(given, models.Message):
        raise _wrong(param, "a Message, a dict or a string", given)
    text(given.role, f"{param}.role")
    _check_content(given.content, given.tool_calls, f"{param}.content")
    return given


def _check_content(content: object, tool_calls: object, param: str) -> None:
    problem = models.content_problem(content, tool_calls)
    if problem is not None:
        place, expected = problem
        if not isinstance(content, list):
            raise _wrong(param, expected, content)
        raise BadRequestError(f"{param}{place} must be {expected}", param=param + place)


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


def _wrong(param: str, expected: str, value: object) -> BadRequestError:
    # The value's type and not the value: it may be a prompt.
    got = "nothing" if value is None else type(value).__name__
    return BadRequestError(f"{param} must be {expected}, not {got}", param=param)
