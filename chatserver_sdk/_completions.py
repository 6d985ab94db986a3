"""Completions: create_completion and what belongs to it, as the part of the client that asks models."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from . import models
from ._lazy import Later
from ._options import DEFAULT_MAX_TOKENS, CompletionOptions
from ._transport import CallOptions, Transport, path_segment
from .exceptions import BadRequestError, ChatServerError, DecodeError

if TYPE_CHECKING:
    from . import _arguments as arguments, conversation as conversations, streaming
    from ._transport import resuming, tracing
    from ._transport.body import ByteBody
    from ._wire import genai, openai, structured
    from .conversation import Conversation
    from .streaming import CompletionStream
    from typing_extensions import Unpack

    from ._arguments import Messages
    from .models import ChatCompletionRequest, ChatCompletionResponse

    class CompletionCall(CompletionOptions, CallOptions, total=False):
        """What create_completion takes by name beside its own arguments."""

    class ConversationOptions(CompletionCall, total=False):
        """What may hold for every question of a conversation."""

        temperature: float | None
        max_tokens: int | None
        top_p: float | None
        metadata: Mapping[str, Any] | None
        organization_id: str | None
        workflow: str | None
        variables: Mapping[str, Any] | None
        allowed_tools: Sequence[str] | None
        setting_sources: Sequence[str] | None
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None

    class CompletionArguments(ConversationOptions, total=False):
        """What create_completion takes by name, its own arguments included."""

        user: str | None
        system_prompt: str | None
        session_id: str | None

else:
    # Whoever builds a client and does not call it yet, for a --help, need not wait for these.
    arguments = Later("chatserver_sdk._arguments")
    conversations = Later("chatserver_sdk.conversation")
    genai = Later("chatserver_sdk._wire.genai")
    openai = Later("chatserver_sdk._wire.openai")
    resuming = Later("chatserver_sdk._transport.resuming")
    streaming = Later("chatserver_sdk.streaming")
    structured = Later("chatserver_sdk._wire.structured")
    tracing = Later("chatserver_sdk._transport.tracing")

T = TypeVar("T")

_PATH = "/v1/chat/completions"
_RESUMED = f"{_PATH}/{{turn_id}}/events"
# How many choices a turn has that another process asked: only [DONE] makes it whole.
_NOBODY_KNOWS = 2**31
_OF_ANY_CALL = CallOptions.__optional_keys__
# Other servers' words for an answer that stops in the middle are among them.
_CUT = ("length", "max_tokens", "model_length", "content_filter", "cancelled", "error")


class Completions:
    """The calls that ask a model; ChatServerClient has them."""

    _transport: Transport

    @overload
    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = DEFAULT_MAX_TOKENS,
        top_p: float | None = 1.0,
        stream: Literal[False] = False,
        user: str | None = None,
        system_prompt: str | None = None,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[CompletionCall],
    ) -> ChatCompletionResponse: ...

    @overload
    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = DEFAULT_MAX_TOKENS,
        top_p: float | None = 1.0,
        *,
        stream: Literal[True],
        user: str | None = None,
        system_prompt: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[CompletionCall],
    ) -> CompletionStream: ...

    @overload
    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = DEFAULT_MAX_TOKENS,
        top_p: float | None = 1.0,
        stream: bool = False,
        user: str | None = None,
        system_prompt: str | None = None,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[CompletionCall],
    ) -> ChatCompletionResponse | CompletionStream: ...

    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = DEFAULT_MAX_TOKENS,
        top_p: float | None = 1.0,
        stream: bool = False,
        user: str | None = None,
        system_prompt: str | None = None,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[CompletionCall],
    ) -> ChatCompletionResponse | CompletionStream:
        """The model's answer to the messages: whole, or with stream=True as it arrives.

        messages: Message objects, dicts, strings (said by the user), a mix of them, or one of
        them alone. user: records the conversation in this user's history. session_id: continues
        a recorded one; it is the `system_fingerprint` of an earlier answer. What is None is not
        sent. The arguments behind `metadata` travel inside it and win over its own keys.

        Raises BadRequestError with `param` for arguments that cannot be right (before anything is
        sent: its `response` is None) and what the server answers otherwise.
        """
        request = models.ChatCompletionRequest(
            model=arguments.text(model, "model"),
            messages=arguments.read_messages(messages),
            temperature=arguments.number(temperature, "temperature"),
            max_tokens=arguments.number(max_tokens, "max_tokens"),
            top_p=arguments.number(top_p, "top_p"),
            stream=bool(stream),
            user=arguments.optional_identifier(user, "user"),
            system_prompt=arguments.optional_text(system_prompt, "system_prompt"),
        )
        explicit = {
            "session_id": arguments.optional_identifier(session_id, "session_id"),
            "organization_id": arguments.optional_identifier(organization_id, "organization_id"),
            "workflow": arguments.optional_text(workflow, "workflow"),
            "variables": variables,
            "allowed_tools": allowed_tools,
            "setting_sources": setting_sources,
            "mcp_servers": mcp_servers,
        }
        of_call, wanted = _split(options)
        key = arguments.idempotency_key(of_call.get("extra_headers"))
        request.metadata = arguments.metadata_of(metadata, explicit, request.user, key)
        arguments.set_options(request, wanted)
        if stream:
            return self._stream(request, of_call)
        return self._transport.ask(
            openai.read_completion,
            "POST",
            _PATH,
            body=request,
            options=of_call,
            subject=lambda: _subject(request, genai.of_answer),
        )

    def parse_completion(
        self,
        model: str,
        messages: Messages,
        *,
        into: type[T],
        **options: Unpack[CompletionArguments],
    ) -> T:
        """The answer as an instance of a dataclass, a TypedDict or a pydantic model.

        The model is asked for JSON of this form, and the first answer's text is checked, with or
        without a fence around it. A `response_format` of your own wins; None asks for none, for
        servers that do not know it: then say in the messages what you want. The other arguments
        are create_completion's.

        Raises BadRequestError for a class that JSON cannot say (nothing is sent then); DecodeError
        for an answer that does not fit, a refusal, tool calls, and an answer that was cut off. Its
        `response` is the raw answer: `error.response.json()`.
        """
        if "stream" in options:
            raise TypeError("parse_completion() got an unexpected keyword argument 'stream'")
        form = structured.response_format_for(into)
        asked: Any = {"response_format": form, **options}
        answer: ChatCompletionResponse = self.create_completion(model, messages, **asked)
        try:
            return structured.read_instance(into, _only_text(answer))
        except DecodeError as exc:
            exc.response = answer.raw
            exc.request_id = answer.raw.request_id if answer.raw else None
            raise

    def conversation(
        self,
        model: str,
        *,
        user: str | None = None,
        session_id: str | None = None,
        system_prompt: str | None = None,
        **options: Unpack[ConversationOptions],
    ) -> Conversation:
        """A dialogue that remembers what was said; the options hold for each of its questions.

        user: whose history it belongs to; a chat server records it, and the conversation's
        `session_id`, given here with the same user, continues it in another process.
        system_prompt: instructions that are said before the first question.

        Raises BadRequestError for arguments that cannot be right. Nothing is sent yet.
        """
        return conversations.Conversation(
            self,
            model,
            user=user,
            session_id=session_id,
            system_prompt=system_prompt,
            options=options,
        )

    def resume_stream(self, cursor: str, **options: Unpack[CallOptions]) -> CompletionStream:
        """The rest of a streamed answer behind `stream.cursor` of an earlier stream.

        Its text is what comes behind the cursor; "<turn_id>:0" is the whole answer again. Raises
        NotFoundError for a turn that is not known or not yours, APIStatusError 410 with the code
        `resume_window_passed` when it is too late.
        """
        cursor = arguments.text(cursor, "cursor")
        resume = resuming.Resumption(self._transport, _events_path, options, time.monotonic())
        body = resume.open(cursor, tracing.Subject(_RESUMED, of_answer=genai.of_stream))
        return streaming.CompletionStream(
            body, resume, cursor=cursor, choices_asked=_NOBODY_KNOWS, on_end=_told(body)
        )

    def _stream(self, request: ChatCompletionRequest, options: CallOptions) -> CompletionStream:
        begun_at = time.monotonic()
        body = self._transport.open_stream(
            "POST",
            _PATH,
            body=request,
            options=options,
            begun_at=begun_at,
            subject=lambda: _subject(request, genai.of_stream),
        )
        resume = resuming.Resumption(self._transport, _events_path, options, begun_at, body.trace)
        sent = {"n": request.n, "stream_options": request.stream_options, **body.extra_body}
        return streaming.CompletionStream(
            body,
            resume,
            choices_asked=sent["n"] if isinstance(sent["n"], int) else 1,
            awaits_usage=bool(sent["stream_options"]),
            on_end=_told(body),
        )


def _subject(
    request: ChatCompletionRequest, of_answer: Callable[[Any], Mapping[str, Any]]
) -> tracing.Subject:
    name = f"chat {request.model}"
    return tracing.Subject(name=name, attributes=genai.of_request(request), of_answer=of_answer)


def _told(body: ByteBody) -> Callable[[openai.StreamedAnswer, ChatServerError | None], None]:
    trace = body.trace
    return lambda answer, error: trace.end_stream(answer, answer.events, error)


def _split(options: Mapping[str, Any]) -> tuple[CallOptions, dict[str, Any]]:
    """What any call takes, and what only a completion does."""
    of_call: Any = {key: options[key] for key in options if key in _OF_ANY_CALL}
    return of_call, {key: options[key] for key in options if key not in _OF_ANY_CALL}


def _only_text(answer: ChatCompletionResponse) -> str:
    """What the first choice says. Raises DecodeError where it says nothing, or not all of it."""
    if not answer.choices:
        raise DecodeError("the answer has no choice")
    choice = min(answer.choices, key=lambda choice: choice.index)
    # Not the refusal's own words: they may repeat the question.
    if choice.message.refusal:
        raise DecodeError("the model refused to answer; `response` has its words")
    if choice.message.tool_calls:
        raise DecodeError("the model asks for tool calls in place of an answer; see `response`")
    if choice.finish_reason in _CUT:
        raise DecodeError(f"the answer is not whole: it ended with {choice.finish_reason!r}")
    if not choice.message.text.strip():
        raise DecodeError("the answer has no text; `response` has what came")
    return choice.message.text


def _events_path(cursor: str) -> str:
    turn_id, _, seq = cursor.rpartition(":")
    is_number = seq.isascii() and seq.isdecimal() and len(seq) < 16
    if not is_number or not re.fullmatch(r"[\x21-\x7e]{1,256}", turn_id):
        raise BadRequestError('cursor must look like "<turn_id>:<seq>"', param="cursor")
    return f"{_PATH}/{path_segment(turn_id, 'cursor')}/events"
