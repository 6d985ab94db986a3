"""Chat in a session: what is asked and answered, the session itself, its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from ._base import Model, OpenEnum, omitted
from ._rules import Known, Length, Open
from .completions import MessageRole, UsageInfo
from .content import text_of
from .sessions import ChatSessionSummary


class SessionStatus(OpenEnum):
    """active: it goes on. completed, archived: nothing more is said in it, unless it is reopened."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ARCHIVED = "archived"


@dataclass
class ChatSession(ChatSessionSummary):
    """A session as this protocol has it: ChatSessionSummary, and its status.

    status: active, completed or archived; `archived` says a part of it. id, user_id,
    organization_id, title, model, agent_type, created_at, updated_at, last_message_at,
    message_count, tokens_in, tokens_out, tokens_total, metadata: as there.
    """

    status: SessionStatus = SessionStatus.ACTIVE


@dataclass
class ChatSessionPage(Model):
    """Some of a user's sessions, the one that was opened last first.

    sessions: the page. has_more: whether a next one exists. next_cursor: what gives it.
    """

    sessions: list[ChatSession]
    has_more: bool = False
    next_cursor: str | None = None


@dataclass
class CreateSessionRequest(Model):
    """What a session is opened with.

    model: who answers. user_id: whose it is; a user's own key need not say it. title: for lists.
    metadata: free, but for `on_disconnect`: "continue" or "cancel".
    """

    model: Annotated[str, Length(1, 256)]
    user_id: Annotated[str, Length(1, 256)] | None = omitted()
    title: Annotated[str, Length(0, 1000)] | None = omitted()
    metadata: dict[str, Any] | None = omitted()


@dataclass
class UpdateSessionRequest(Model):
    """What changes in a session; what is None stays as it is.

    title: the new one. metadata: in place of all that there was. status: as of ChatSession.
    """

    title: Annotated[str, Length(0, 1000)] | None = omitted()
    metadata: dict[str, Any] | None = omitted()
    status: Annotated[SessionStatus, Known()] | None = omitted()


@dataclass
class SessionMessage(Model):
    """A message of a session.

    role: who says it; one that is sent is the user's. content: a text, or its parts in order, such
    as `{"type": "text", "text": "Hello"}` and, of files of the session, `{"type": "image",
    "file_id": "..."}` or `"file"`. id, created_at: of one that is stored. tool_calls,
    tool_results: what an answer did on the way.
    """

    role: Annotated[MessageRole, Known()]
    content: Annotated[str, Length(0, 4_000_000)] | list[dict[str, Any]]
    id: Annotated[str, Length(1, 64)] | None = omitted()
    created_at: datetime | None = omitted()
    tool_calls: list[dict[str, Any]] | None = omitted()
    tool_results: list[dict[str, Any]] | None = omitted()

    @property
    def text(self) -> str:
        """The content's words, whichever form it has."""
        return text_of(self.content)


@dataclass
class SessionChatRequest(Model):
    """A message to a session.

    message: what the user says. stream: whether the answer comes as events. metadata: for the
    agent (`variables`), and `on_disconnect` for this turn alone.
    """

    message: Annotated[SessionMessage, Open()]
    stream: bool = True
    metadata: dict[str, Any] | None = omitted()


@dataclass
class SessionChatResponse(Model):
    """A whole answer in a session.

    message: what the agent said. completion_id: its id. turn_id: which turn it ends. usage: what
    it cost. finish_reason: stop, length, tool_calls, cancelled, ...
    """

    message: SessionMessage
    completion_id: str = ""
    turn_id: str = ""
    usage: UsageInfo = field(default_factory=UsageInfo)
    finish_reason: str | None = None


@dataclass
class CancelMessageResponse(Model):
    """What came of stopping a session's turn.

    cancelled: whether one was stopped; it has ended then. turn_id: which one.
    """

    cancelled: bool = False
    turn_id: str | None = omitted()


@dataclass
class DeleteSessionResponse(Model):
    """What came of deleting a session.

    deleted: whether it is gone. session_id: which one.
    """

    deleted: bool = False
    session_id: str = ""


@dataclass
class FileInfo(Model):
    """A file of a session, its content aside.

    file_id: what parts of messages name. filename, content_type: as they were sent. size: in
    bytes. created_at: aware.
    """

    file_id: str
    filename: str = ""
    content_type: str = ""
    size: int = 0
    created_at: datetime | None = omitted()


@dataclass
class FileList(Model):
    """The files of a session, in the order in which they came.

    files: all of them.
    """

    files: list[FileInfo]


_MOST_PARTS = 1000
_LONGEST_TEXT = 4_000_000
_LONGEST_ID = 64


def session_content_problem(content: Any) -> tuple[str, str] | None:
    """What the content of a message to a session must be and is not: the place behind `content`,
    and a sentence's end. None where it is right."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not 0 < len(content) <= _MOST_PARTS:
        return "", f"a text or a list of 1 to {_MOST_PARTS} parts"
    for index, part in enumerate(content):
        problem = _part_problem(part)
        if problem is not None:
            return f"[{index}]{problem[0]}", problem[1]
    says_something = any(part["type"] != "text" or part["text"].strip() for part in content)
    return None if says_something else ("", "more than blanks")


def _part_problem(part: Any) -> tuple[str, str] | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        text = part.get("text")
        is_text = isinstance(text, str) and len(text) <= _LONGEST_TEXT
        return None if is_text else (".text", f"a text of at most {_LONGEST_TEXT} characters")
    if kind not in ("image", "file"):
        return "", 'an object with the "type" text, image or file'
    for key, is_needed in (("file_id", True), ("mime_type", False)):
        value = part.get(key)
        if value is None and not is_needed:
            continue
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
            return f".{key}", f"a text of 1 to {_LONGEST_ID} characters"
    return None
