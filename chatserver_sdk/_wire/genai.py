"""A completion in the words of OpenTelemetry's conventions for generative AI; never what was said.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatserver_sdk.models import ChatCompletionRequest, ChatCompletionResponse, UsageInfo

    from .answers import StreamedAnswer

_REQUEST = {
    "model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
}


def of_request(request: ChatCompletionRequest) -> dict[str, Any]:
    """What is asked for, beside the messages."""
    asked = {name: getattr(request, field) for field, name in _REQUEST.items()}
    longest = request.max_completion_tokens or request.max_tokens
    known = {
        "gen_ai.operation.name": "chat",
        # The dialect that is spoken; who answers behind it is not known.
        "gen_ai.provider.name": "openai",
        **asked,
        "gen_ai.request.max_tokens": longest,
        "gen_ai.request.choice.count": request.n if request.n != 1 else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def of_answer(answer: ChatCompletionResponse) -> dict[str, Any]:
    """What a whole answer is, beside its text."""
    reasons = [choice.finish_reason for choice in answer.choices]
    return _of_answer(answer.id, answer.model, reasons, answer.usage)


def of_stream(answer: StreamedAnswer) -> dict[str, Any]:
    """The same of a streamed one, as far as it has come."""
    known = answer.metadata
    reasons = answer.finish_reasons
    return _of_answer(known.get("id"), known.get("model"), reasons, known.get("usage"))


def _of_answer(
    id: Any, model: Any, finish_reasons: Iterable[Any], usage: UsageInfo | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # A server may have sent anything in a place of these.
    for name, value in (("gen_ai.response.id", id), ("gen_ai.response.model", model)):
        if isinstance(value, str) and value:
            found[name] = value
    reasons = [reason for reason in finish_reasons if isinstance(reason, str)]
    if reasons:
        found["gen_ai.response.finish_reasons"] = reasons
    # Zeros stand for a server that did not count.
    if usage is not None and (usage.prompt_tokens or usage.completion_tokens):
        found["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        found["gen_ai.usage.output_tokens"] = usage.completion_tokens
    return found
