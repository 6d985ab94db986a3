"""Conversation: a dialogue that sends what is needed, and survives a restart from its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from . import _arguments as arguments
from . import models
from .exceptions import NotFoundError

if TYPE_CHECKING:
    from ._arguments import Messages
    from .models import ChatCompletionResponse, ChatSessionDetailResponse, Message
    from .raw import RawResponse
    from .streaming import CompletionStream


class Conversation:
    """A dialogue with a model, for one thread at a time.

    session_id: its id; given to `client.conversation()` in another process, with the same user,
    it goes on there (where nothing was said under it yet, it begins there). A server of ours
    that records it is sent what is new; any other one the whole transcript each time. A question
    belongs to the dialogue once its answer is whole; until then it can be asked again.
    """

    def __init__(
        self,
        client: Any,
        model: str,
        *,
        user: str | None = None,
        session_id: str | None = None,
        system_prompt: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = arguments.text(model, "model")
        self.user = arguments.optional_identifier(user, "user")
        self.session_id = arguments.optional_identifier(session_id, "session_id") or str(uuid4())
        self._client = client
        self._options = dict(options or {})
        self._said: list[Message] = []
        self._unsaid = _instructions(arguments.optional_text(system_prompt, "system_prompt"))
        self._is_kept = False
        self._is_loaded = session_id is None or self.user is None

    @property
    def messages(self) -> list[Message]:
        """What was said so far, oldest first. Raises what get_session raises."""
        self._load()
        return list(self._said)

    def ask(self, messages: Messages, **options: Any) -> ChatCompletionResponse:
        """The answer to what is said next. The options are create_completion's."""
        sent, given = self._prepare(messages, options)
        answer: ChatCompletionResponse = self._client.create_completion(
            self.model, self._context(sent), **given
        )
        self._note(sent, answer, answer.raw)
        return answer

    def stream(self, messages: Messages, **options: Any) -> CompletionStream:
        """The same as it arrives; it counts as said once it was read to its end."""
        sent, given = self._prepare(messages, options)
        stream: CompletionStream = self._client.create_completion(
            self.model, self._context(sent), stream=True, **given
        )
        stream.on_whole(lambda answer: self._note(sent, answer, stream.raw))
        return stream

    def __repr__(self) -> str:
        return f"<Conversation {self.session_id} with {self.model}>"

    def _prepare(
        self, messages: Messages, options: Mapping[str, Any]
    ) -> tuple[list[Message], dict[str, Any]]:
        self._load()
        given = {**self._options, **options, "user": self.user, "session_id": self.session_id}
        return [*self._unsaid, *arguments.read_messages(messages)], given

    def _context(self, sent: list[Message]) -> list[Message]:
        return sent if self._is_kept else [*self._said, *sent]

    def _note(
        self, sent: list[Message], answer: ChatCompletionResponse, raw: RawResponse | None
    ) -> None:
        self._said += [*sent, *(choice.message for choice in answer.choices[:1])]
        self._unsaid = []
        self._is_kept = self.user is not None and raw is not None and "X-Chatserver" in raw.headers
        if self._is_kept and answer.system_fingerprint:
            self.session_id = answer.system_fingerprint

    def _load(self) -> None:
        """What was said under this id before this process knew it."""
        if self._is_loaded:
            return
        assert self.user is not None
        try:
            found: ChatSessionDetailResponse = self._client.get_session(
                self.session_id, user_id=self.user
            )
        except NotFoundError:
            self._is_loaded = True
            return
        self._said = [_as_said(record.to_dict()) for record in found.messages]
        self._unsaid = [message for message in self._unsaid if message not in self._said]
        self._is_kept = found.raw is not None and "X-Chatserver" in found.raw.headers
        self._is_loaded = True


def _instructions(system_prompt: str | None) -> list[Message]:
    if not system_prompt:
        return []
    # A message, and not the request's own field, which OpenAI's protocol does not have.
    return [models.Message(models.MessageRole.SYSTEM, system_prompt)]


def _as_said(record: Mapping[str, Any]) -> Message:
    """A stored message as it is sent again: what stood beside its content is in its metadata."""
    beside = record.get("metadata") or {}
    kept = {key: beside[key] for key in ("name", "tool_calls", "tool_call_id") if key in beside}
    return models.Message.from_dict({"role": record["role"], "content": record["content"], **kept})
