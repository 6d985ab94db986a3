"""Conversation: a dialogue that sends what is needed, and survives a restart from its id."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from . import _arguments as arguments
from . import models
from .exceptions import NotFoundError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import Messages
    from ._completions import ConversationOptions
    from .models import ChatCompletionResponse, ChatMessageRecord, ChatSessionDetailResponse
    from .models import Message
    from .raw import RawResponse
    from .streaming import CompletionStream

# What a conversation is made with is not changed by a question.
_ITS_OWN = ("model", "user", "session_id", "system_prompt", "stream")
# What a stored message has in its metadata beside other things, and as what.
_BESIDE = {"name": str, "tool_calls": list, "tool_call_id": str, "refusal": str}


class Conversation:
    """A dialogue with a model, for one thread at a time; `client.conversation()` makes it.

    session_id: its id; given to `client.conversation()` in another process, with the same user,
    it goes on there (where nothing was said under it yet, it begins there). A server of ours
    that records it is sent only what is new, any other one the whole transcript each time.

    A question belongs to the dialogue once its answer is whole. Where that fails, or a stream is
    closed before its end, the dialogue is as it was: ask the same again, or something else. A
    server of ours has mostly stored the question by then. Asked again as it stands it is not
    stored twice (unless it is the very first one), and one that is given up stays in the
    transcript there. Such a server also ends an answer that nobody reads any longer: until then
    the next question raises ConflictError, from then on that answer is part of the dialogue.
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
        given_id = arguments.optional_identifier(session_id, "session_id")
        self.session_id = given_id or str(uuid4())
        self._client = client
        self._options = _checked(options or {})
        self._said: list[Message] = []
        self._unsaid = _instructions(arguments.optional_text(system_prompt, "system_prompt"))
        self._unanswered: list[Message] = []
        # Who records nothing has no use for an id, and some servers refuse what they do not know.
        self._sends_id = given_id is not None or self.user is not None
        self._is_kept = False
        self._is_loaded = given_id is None or self.user is None

    @property
    def messages(self) -> list[Message]:
        """What was said so far, oldest first. Raises what get_session raises."""
        self._load()
        return copy.deepcopy(self._said)

    def ask(
        self, messages: Messages, **options: Unpack[ConversationOptions]
    ) -> ChatCompletionResponse:
        """The answer to what is said next: a text, tool results, whatever create_completion takes.

        The options are create_completion's; they win over the conversation's, for this question.
        Of several answers (`n`) the first one is part of the dialogue.

        Raises what create_completion raises, and what get_session raises where the dialogue has
        to be loaded first.
        """
        sent, given = self._prepare(messages, options)
        answer: ChatCompletionResponse = self._client.create_completion(
            self.model, self._context(sent), **given
        )
        self._note(sent, answer, answer.raw)
        return answer

    def stream(
        self, messages: Messages, **options: Unpack[ConversationOptions]
    ) -> CompletionStream:
        """The same as it arrives; it counts as said once the stream was read to its end."""
        sent, given = self._prepare(messages, options)
        stream: CompletionStream = self._client.create_completion(
            self.model, self._context(sent), stream=True, **given
        )
        # Not the stream itself: one that knows itself is not closed when it is dropped.
        raw = stream.raw
        self._see(raw)
        self._is_loaded = not self._is_kept
        stream.on_whole(lambda answer: self._note(sent, answer, raw))
        return stream

    def __repr__(self) -> str:
        return f"<Conversation {self.session_id} with {self.model}>"

    def _prepare(
        self, messages: Messages, options: Mapping[str, Any]
    ) -> tuple[list[Message], dict[str, Any]]:
        # A copy: who changes a message and says it again does not change what was said.
        new = copy.deepcopy(arguments.read_messages(messages))
        given = {**self._options, **_checked(options)}
        self._load()
        # Until the answer is whole, only the server knows what it has.
        self._is_loaded = not self._is_kept
        session_id = self.session_id if self._sends_id else None
        return [*self._unsaid, *new], {**given, "user": self.user, "session_id": session_id}

    def _context(self, sent: list[Message]) -> list[Message]:
        """What is sent. A transcript that ends with a stored question asks that one again."""
        is_again = bool(self._unanswered) and _plain(sent) == _plain(self._unanswered)
        return sent if self._is_kept and not is_again else [*self._said, *sent]

    def _note(
        self, sent: list[Message], answer: ChatCompletionResponse, raw: RawResponse | None
    ) -> None:
        if not answer.choices:
            return
        first = min(answer.choices, key=lambda choice: choice.index)
        self._said += [*sent, _sayable(first.message)]
        self._unsaid, self._unanswered = [], []
        self._see(raw)
        self._is_loaded = True
        if _is_ours(raw) and answer.system_fingerprint:
            self.session_id, self._sends_id = answer.system_fingerprint, True

    def _see(self, raw: RawResponse | None) -> None:
        self._is_kept = _is_ours(raw) and self.user is not None

    def _load(self) -> None:
        """What the server knows: before the first question here, and behind one that failed."""
        if self._is_loaded:
            return
        assert self.user is not None
        try:
            found: ChatSessionDetailResponse = self._client.get_session(
                self.session_id, user_id=self.user
            )
        except NotFoundError:
            self._is_loaded, self._is_kept = True, False
            return
        stored = [_as_said(record) for record in found.messages]
        self._said, self._unanswered = _divided(stored)
        self._unsaid = [message for message in self._unsaid if message not in self._said]
        self._is_kept = _is_ours(found.raw)
        # The answer to a question at the end may still be on its way.
        self._is_loaded = not self._unanswered


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    for name in _ITS_OWN:
        if name in options:
            raise TypeError(f"a question of a conversation has no {name!r} of its own")
    return dict(options)


def _instructions(system_prompt: str | None) -> list[Message]:
    if not system_prompt:
        return []
    # A message, and not the request's own field, which OpenAI's protocol does not have.
    return [models.Message(models.MessageRole.SYSTEM, system_prompt)]


def _is_ours(raw: RawResponse | None) -> bool:
    return raw is not None and raw.is_ours


def _as_said(record: ChatMessageRecord) -> Message:
    """A stored message as it is sent again: what stood beside its content is in its metadata."""
    beside = {
        key: record.metadata[key]
        for key, kind in _BESIDE.items()
        if isinstance(record.metadata.get(key), kind)
    }
    message = {"role": str(record.role), "content": record.content, **beside}
    return _sayable(models.Message.from_dict(message))


def _sayable(message: Message) -> Message:
    """An answer as a part of the next request, where a message without words needs a text."""
    said = copy.deepcopy(message)
    otherwise = {**said.extra, "tool_calls": said.tool_calls, "refusal": said.refusal}
    if models.content_problem(said.content, models.speaks_otherwise(otherwise)) is not None:
        said.content = said.text
    return said


def _divided(stored: list[Message]) -> tuple[list[Message], list[Message]]:
    """What was answered, with all instructions, and the questions behind the last answer."""
    roles = [str(message.role) for message in stored]
    if "assistant" not in roles:
        return [message for message in stored if _is_instruction(message)], []
    end = len(roles) - roles[::-1].index("assistant")
    instructions = [message for message in stored[end:] if _is_instruction(message)]
    questions = [message for message in stored[end:] if not _is_instruction(message)]
    return [*stored[:end], *instructions], questions


def _is_instruction(message: Message) -> bool:
    return message.role in (models.MessageRole.SYSTEM, models.MessageRole.DEVELOPER)


def _plain(messages: list[Message]) -> list[dict[str, Any]]:
    """The messages to compare, instructions aside."""
    return [message.to_dict() for message in messages if not _is_instruction(message)]
