"""Chat completions: what is asked, what is answered, whole or in chunks, and by which models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ._base import MappingModel, Model, OpenEnum, omitted
from ._rules import Between, Known, Length

Content = str | list[dict[str, Any]] | None


class MessageRole(OpenEnum):
    """Who says a message. A role that is not listed is kept as its text."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DEVELOPER = "developer"


def text_of(content: Any) -> str:
    """The words of a message's content: the string, or its text parts one under the other."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def content_problem(content: Any, tool_calls: Any = None) -> tuple[str, str] | None:
    """What a message's content must be and is not: the place behind `content`, and a sentence's
    end. None where it is right. Only who calls tools may say nothing."""
    if isinstance(content, str) or (content is None and tool_calls):
        return None
    if not isinstance(content, list):
        return "", "a string or a list of parts"
    if not content:
        return "", "a list that is not empty"
    for index, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            return f"[{index}]", 'an object with a "type"'
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            return f"[{index}].text", "a string"
    return None


@dataclass
class FunctionCall(Model):
    """Which function a model calls: its name, and arguments as JSON text (not checked by us)."""

    name: str = ""
    arguments: str = ""


@dataclass
class ToolCall(Model):
    """A call that a model asks for.

    id: what the tool's answer names as tool_call_id. function: which one. type: "function".
    """

    id: str = ""
    function: FunctionCall = field(default_factory=FunctionCall)
    type: str = "function"


@dataclass
class Message(Model):
    """One message of a conversation.

    role: who says it. content: a text, or a list of parts such as
    `{"type": "text", "text": "Hello"}`. name: tells apart several speakers of one role.
    tool_calls: what an assistant asks to be called. tool_call_id: which call a tool answers.
    reasoning_content: what the assistant thought before, where a server tells.
    """

    role: Annotated[MessageRole, Known()]
    content: Annotated[str, Length(0, 4_000_000)] | list[dict[str, Any]] | None = None
    name: Annotated[str, Length(1, 256)] | None = omitted()
    tool_calls: list[ToolCall] | None = omitted()
    tool_call_id: Annotated[str, Length(1, 256)] | None = omitted()
    reasoning_content: str | None = omitted()

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
    answers; one. A field that is None is not sent.
    """

    model: Annotated[str, Length(1, 256)]
    messages: Annotated[list[Message], Length(1, 10_000)]
    temperature: Annotated[float, Between(0, 2)] | None = omitted(0.7)
    max_tokens: Annotated[int, Between(1, 10_000_000)] | None = omitted(4000)
    top_p: Annotated[float, Between(0, 1)] | None = omitted(1.0)
    stream: bool | None = omitted(False)
    user: Annotated[str, Length(1, 256)] | None = omitted()
    system_prompt: Annotated[str, Length(0, 1_000_000)] | None = omitted()
    metadata: dict[str, Any] | None = omitted()
    n: Annotated[int, Between(1, 1)] | None = omitted()


@dataclass
class UsageInfo(MappingModel):
    """What an answer cost. Agents without a tokenizer count words.

    prompt_tokens: read. completion_tokens: written. total_tokens: both.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass
class ChatCompletionChoice(Model):
    """One of the answers.

    index: which one, from 0. message: what was said. finish_reason: stop, length, cancelled, ...;
    None while unknown.
    """

    index: int = 0
    message: Message = field(default_factory=lambda: Message(MessageRole.ASSISTANT, ""))
    finish_reason: str | None = None


@dataclass
class ChatCompletionResponse(Model):
    """A whole answer.

    id: the completion's id. object: "chat.completion". created: seconds since 1970. model: who
    answered. choices: the answers, usually one. usage: token counts (zeros where the server sent
    none). system_fingerprint: on a chat server the session's id; given back as `session_id` it
    resumes the conversation.
    """

    id: str = ""
    object: str = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[ChatCompletionChoice] = field(default_factory=list)
    usage: UsageInfo = field(default_factory=UsageInfo)
    system_fingerprint: str | None = None


@dataclass
class ChoiceDelta(Model):
    """What a chunk adds to a choice.

    role: who answers, in the first chunk. content: some text.
    """

    role: MessageRole | None = omitted()
    content: str | None = omitted()


@dataclass
class ChunkChoice(Model):
    """The part of a chunk that belongs to one choice.

    index: which choice, from 0. delta: what it adds. finish_reason: in its last chunk.
    """

    index: int = 0
    delta: ChoiceDelta = field(default_factory=ChoiceDelta)
    finish_reason: str | None = None


@dataclass
class ChatCompletionChunk(Model):
    """A piece of a streamed answer.

    id, created, model, system_fingerprint: as in the whole answer. object: "chat.completion.chunk".
    choices: what is new. usage: in the last one, if at all.
    """

    id: str = ""
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChunkChoice] = field(default_factory=list)
    system_fingerprint: str | None = None
    usage: UsageInfo | None = omitted()


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
