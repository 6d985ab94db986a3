"""Transcripts to take along: JSON lines for programs, Markdown for people. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from chatserver_sdk.models import ChatMessageRecord, ChatSessionSummary

_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#+!|~&-]")
_FENCES = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Format:
    """How a transcript is written: what it begins with, and each message."""

    media_type: str
    suffix: str
    begin: Callable[[ChatSessionSummary], str]
    message: Callable[[ChatMessageRecord], str]


@dataclass(frozen=True)
class Export:
    """A transcript on its way out. name: for a file; safe anywhere."""

    name: str
    media_type: str
    chunks: AsyncIterator[bytes]


def _line(kind: str, fields: dict[str, Any]) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False) + "\n"


def _title(session: ChatSessionSummary) -> str:
    words = " ".join((session.title or "Untitled").split())
    shown = {
        "Session": session.id,
        "User": session.user_id,
        "Model": session.model or "-",
        "Created": session.created_at.isoformat(),
        "Messages": str(session.message_count),
    }
    lines = [f"- {name}: {_plain(value)}" for name, value in shown.items()]
    return f"# {_plain(words)}\n\n" + "\n".join(lines) + "\n"


def _section(message: ChatMessageRecord) -> str:
    role, at = _plain(str(message.role)), message.created_at.isoformat()
    parts = [f"\n## {message.message_index + 1}. {role}, {at}\n"]
    if isinstance(message.content, str):
        parts.append(_fenced(message.content, "text"))
    elif message.content is not None:
        parts.append(_fenced(_pretty(message.content), "json"))
    if calls := message.metadata.get("tool_calls"):
        parts += ["\nTool calls:\n", _fenced(_pretty(calls), "json")]
    return "\n".join(parts)


def _fenced(text: str, language: str) -> str:
    """The text word for word, in a fence that is longer than any in it, so that nothing a message
    says is taken for a heading or for somebody else's message."""
    longest = max(map(len, _FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _plain(text: str) -> str:
    """A text on one line in which nothing is markup."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


FORMATS = {
    "jsonl": Format(
        "application/jsonl",
        "jsonl",
        lambda session: _line("session", session.to_dict()),
        lambda message: _line("message", message.to_dict()),
    ),
    "markdown": Format("text/markdown; charset=utf-8", "md", _title, _section),
}
