"""Which messages of a request are new. Pure; the rule is documented in the README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from chatserver_sdk.models import Message, MessageRole

from .errors import InvalidRequest

_SYSTEM = (MessageRole.SYSTEM, MessageRole.DEVELOPER)


def choose_new(stored: Sequence[Message], sent: Sequence[Message]) -> list[Message]:
    """What of `sent` is new to a session that holds `stored`.

    A request is a transcript only when it begins with everything that was said (an assistant's
    message included, system messages aside); then what follows is new. Otherwise all of it is:
    the same text said twice is two messages, and a history that was trimmed or edited is never a
    change of what is stored. An unanswered question at the end may be sent again as it stands.

    Raises InvalidRequest for a transcript that holds nothing new.
    """
    said = [_key(message) for message in stored if message.role not in _SYSTEM]
    places = [place for place, message in enumerate(sent) if message.role not in _SYSTEM]
    repeated = [_key(sent[place]) for place in places[: len(said)]]
    if repeated != said or not any(role == "assistant" for role, _ in said):
        return list(sent)
    end = places[len(said) - 1] + 1
    new = [*_unknown_system_messages(stored, sent[:end]), *sent[end:]]
    if not sent[end:] and said[-1][0] == "assistant":
        raise InvalidRequest(
            "messages hold nothing new: the last one is the answer that this session ended with",
            code="nothing_new",
            param="messages",
        )
    return new


def _unknown_system_messages(stored: Sequence[Message], sent: Sequence[Message]) -> list[Message]:
    """Instructions that were changed or added at the head of a transcript count from now on."""
    known = Counter(_key(message) for message in stored if message.role in _SYSTEM)
    new = []
    for message in sent:
        if message.role not in _SYSTEM:
            continue
        if known[_key(message)] > 0:
            known[_key(message)] -= 1
        else:
            new.append(message)
    return new


def _key(message: Message) -> tuple[str, str]:
    role = "system" if message.role in _SYSTEM else str(message.role)
    calls = [call.to_dict() for call in message.tool_calls or ()]
    return role, repr((_plain(message.content), calls, message.tool_call_id))


def _plain(content: Any) -> Any:
    """A lone text part says the same as the text."""
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "\n".join(part["text"] for part in content)
    return content


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )
