"""Chat completions: what is asked, what is answered, whole or in chunks, and by which models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from ._base import MappingModel, Model, OpenEnum, counted, lenient, omitted
from ._rules import Between, Known, Length, Open
from .content import text_of
from .tools import Tool, ToolCall, ToolCallDelta


class MessageRole(OpenEnum):
    """Who says a message. A role that is not listed is kept as its text."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DEVELOPER = "developer"


@dataclass
class Message(Model):
    """One message of a conversation.

    role: who says it. content: a text, or a list of parts such as
    `{"type": "text", "text": "Hello"}`. name: tells apart several speakers of one role.
    tool_calls: what an assistant asks to be called. tool_call_id: which call a tool answers.
    reasoning_content: what the assistant thought before, where a server tells; one that calls it
    `reasoning` gets it back under that name. refusal: why the assistant does not answer.
    """

    role: Annotated[MessageRole, Known()] = lenient(mended=MessageRole.ASSISTANT)
    content: Annotated[str, Length(0, 4_000_000)] | list[dict[str, Any]] | None = None
    name: Annotated[str, Length(1, 256)] | None = omitted(in_answers=True)
    tool_calls: list[Annotated[ToolCall, Open()]] | None = omitted(in_answers=True)
    tool_call_id: Annotated[str, Length(1, 256)] | None = omitted(in_answers=True)
    reasoning_content: str | None = omitted(other_name="reasoning", minor=True)
    refusal: str | None = omitted(minor=True)

    @property
    def text(self) -> str:
        """The content's words, whichever form it has."""
        return text_of(self.content)


@dataclass
class ChatCompletionRequest(Model):
    """What a completion is asked with.

    model: an id that list_models() names. messages: the conversation so far, oldest first.
    temperature: 0 to 2. max_tokens: how long the answer may get. top_p: 0 to 1. stream: whether
    the answer comes in chunks. user: whose history it belongs to. system_prompt: instructions
    that stand before the messages. metadata: session_id, organization_id, workflow, variables,
    allowed_tools, setting_sources, mcp_servers, user_id, and what the caller adds. n: how many
    answers; a chat server gives one. The others mean what they mean at OpenAI
    (https://platform.openai.com/docs/api-reference/chat/create): max_completion_tokens,
    tools, tool_choice, parallel_tool_calls, response_format, stop, seed, logprobs, top_logprobs,
    logit_bias, presence_penalty, frequency_penalty, stream_options, reasoning_effort.
    A field that is None is not sent.
    """

    model: Annotated[str, Length(1, 256)]
    messages: Annotated[list[Annotated[Message, Open()]], Length(1, 10_000)]
    temperature: Annotated[float, Between(0, 2)] | None = omitted(0.7)
    max_tokens: Annotated[int, Between(1, 10_000_000)] | None = omitted(4000)
    top_p: Annotated[float, Between(0, 1)] | None = omitted(1.0)
    stream: bool | None = omitted(False)
    user: Annotated[str, Length(1, 256)] | None = omitted()
    system_prompt: Annotated[str, Length(0, 1_000_000)] | None = omitted()
    metadata: dict[str, Any] | None = omitted()
    n: Annotated[int, Between(1, 128)] | None = omitted()
    max_completion_tokens: Annotated[int, Between(1, 10_000_000)] | None = omitted()
    tools: Annotated[list[Annotated[Tool, Open()]], Length(0, 1000)] | None = omitted()
    tool_choice: Annotated[str, Length(1, 256)] | dict[str, Any] | None = omitted()
    parallel_tool_calls: bool | None = omitted()
    response_format: dict[str, Any] | None = omitted()
    # OpenAI takes four; others take more.
    stop: str | Annotated[list[str], Length(0, 64)] | None = omitted()
    seed: int | None = omitted()
    logprobs: bool | None = omitted()
    top_logprobs: Annotated[int, Between(0, 1000)] | None = omitted()
    logit_bias: dict[str, float] | None = omitted()
    presence_penalty: Annotated[float, Between(-2, 2)] | None = omitted()
    frequency_penalty: Annotated[float, Between(-2, 2)] | None = omitted()
    stream_options: dict[str, Any] | None = omitted()
    reasoning_effort: Annotated[str, Length(1, 256)] | None = omitted()


@dataclass
class UsageInfo(MappingModel):
    """What an answer cost. Agents without a tokenizer count words.

    prompt_tokens: read. completion_tokens: written. total_tokens: both.
    """

    prompt_tokens: int = counted()
    completion_tokens: int = counted()
    total_tokens: int = counted()


@dataclass
class TopLogprob(Model):
    """A token that could have stood in a place.

    token: its text. logprob: the logarithm of its probability. bytes: its UTF-8, where a server
    tells.
    """

    token: str = ""
    # OpenAI's own number for "as good as never".
    logprob: float = -9999.0
    bytes: list[int] | None = None


@dataclass
class TokenLogprob(TopLogprob):
    """A token of the answer, and what could have stood there.

    token, logprob, bytes: of the token that was chosen. top_logprobs: the likeliest ones.
    """

    top_logprobs: list[TopLogprob] = field(default_factory=list)


@dataclass
class ChoiceLogprobs(Model):
    """How likely the tokens of an answer were.

    content: the tokens of the text. refusal: those of the refusal.
    """

    content: list[TokenLogprob] | None = omitted()
    refusal: list[TokenLogprob] | None = omitted()


@dataclass
class ChatCompletionChoice(Model):
    """One of the answers.

    index: which one, from 0. message: what was said. finish_reason: stop, length, tool_calls,
    cancelled, ...; None while unknown. logprobs: how likely its tokens were, if that was asked.
    """

    index: int = lenient(0)
    message: Message = field(default_factory=lambda: Message(MessageRole.ASSISTANT, ""))
    finish_reason: str | None = lenient(None)
    logprobs: ChoiceLogprobs | None = omitted(minor=True)


@dataclass
class ChatCompletionResponse(Model):
    """A whole answer.

    id: the completion's id. object: "chat.completion". created: seconds since 1970. model: who
    answered. choices: the answers, usually one. usage: token counts (zeros where the server sent
    none). system_fingerprint: on a chat server the session's id; given back as `session_id` it
    resumes the conversation.
    """

    id: str = lenient("")
    object: str = lenient("chat.completion")
    created: int = lenient(0)
    model: str = lenient("")
    choices: list[ChatCompletionChoice] = field(default_factory=list)
    usage: UsageInfo = lenient(factory=UsageInfo)
    system_fingerprint: str | None = lenient(None)


@dataclass
class ChoiceDelta(Model):
    """What a chunk adds to a choice.

    role: who answers, in the first chunk. content: some text. tool_calls: pieces of calls.
    reasoning_content: some of what is thought before. refusal: some of why there is no answer.
    """

    role: MessageRole | None = omitted(minor=True)
    content: str | None = omitted(minor=True)
    tool_calls: list[ToolCallDelta] | None = omitted(minor=True)
    reasoning_content: str | None = omitted(other_name="reasoning", minor=True)
    refusal: str | None = omitted(minor=True)


@dataclass
class ChunkChoice(Model):
    """The part of a chunk that belongs to one choice.

    index: which choice, from 0. delta: what it adds. finish_reason: in its last chunk. logprobs:
    how likely its tokens were.
    """

    index: int = lenient(0)
    delta: ChoiceDelta = lenient(factory=ChoiceDelta)
    finish_reason: str | None = lenient(None)
    logprobs: ChoiceLogprobs | None = omitted(minor=True)


@dataclass
class ChatCompletionChunk(Model):
    """A piece of a streamed answer.

    id, created, model, system_fingerprint: as in the whole answer. object: "chat.completion.chunk".
    choices: what is new. usage: in the last one, if at all.
    """

    id: str = lenient("")
    object: str = lenient("chat.completion.chunk")
    created: int = lenient(0)
    model: str = lenient("")
    choices: list[ChunkChoice] = field(default_factory=list)
    system_fingerprint: str | None = lenient(None)
    usage: UsageInfo | None = omitted(minor=True)


@dataclass
class ModelInfo(Model):
    """A model that the server offers.

    id: what `model` of a completion takes. object: "model". owned_by, provider: who makes it, who
    runs it. created: seconds since 1970. description: for people. context_length: in tokens.
    capabilities: words such as "streaming".
    """

    id: str
    object: str = "model"
    owned_by: str = ""
    created: int = 0
    description: str | None = None
    context_length: int | None = None
    provider: str | None = None
    capabilities: list[str] = field(default_factory=list)


@dataclass
class ModelsResponse(Model):
    """The models of a server.

    data: all of them. object: "list".
    """

    data: list[ModelInfo]
    object: str = "list"
