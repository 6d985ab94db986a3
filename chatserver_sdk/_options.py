"""What a completion may be asked with beyond the arguments that have a place of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from .models import Tool


class DefaultInt(int):
    """A number that remembers that nobody chose it."""


DEFAULT_MAX_TOKENS: int = DefaultInt(4000)


class CompletionOptions(TypedDict, total=False):
    """The options of create_completion: sent where they are given and not None.

    They mean what they mean at OpenAI (https://platform.openai.com/docs/api-reference/chat/create);
    which of them a server knows is its own affair. max_completion_tokens: in place of max_tokens,
    which is not sent then unless it was chosen. n: how many answers. stop: one text or several
    where an answer ends. tools: Tool objects or their dicts.
    """

    tools: Sequence[Tool | Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, Any] | None
    n: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    logprobs: bool | None
    top_logprobs: int | None
    logit_bias: Mapping[str, float] | Mapping[int, float] | None
    presence_penalty: float | None
    frequency_penalty: float | None
    max_completion_tokens: int | None
    stream_options: Mapping[str, Any] | None
    reasoning_effort: str | None
