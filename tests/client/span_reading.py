"""Spans of calls, and what tests of them share: questions, answers and how a span is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from chatserver_sdk import ChatServerClient
from chatserver_sdk.testing import DONE, completion, delta, event_stream, finished, json_answer

Spans = Callable[[], list[ReadableSpan]]

PROMPT = "secret-prompt-0123456789"
SAID = "secret-answer-0123456789"
CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
OURS = {"X-Chatserver": "0.2.0", "X-Turn-Id": "t"}
WHOLE = json_answer(200, completion(SAID, usage=USAGE))
EVENTS = event_stream(delta(SAID), finished("length", usage=USAGE), DONE)
ASKED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "model-1",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.top_p": 0.25,
    "gen_ai.request.max_tokens": 99,
}
ANSWERED = {
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.model": "m",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 4,
    "http.response.status_code": 200,
}


def only(spans: Spans) -> ReadableSpan:
    """The only span that has ended."""
    (span,) = spans()
    return span


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """What the span says, beside where the server is and which method it was."""
    found = dict(span.attributes or {})
    for name in ("server.address", "server.port", "http.request.method"):
        del found[name]
    return found


def traceparent(span: ReadableSpan) -> str:
    """The header that continues the span's trace."""
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


def ask(client: ChatServerClient, **options: Any) -> Any:
    """A completion with a number in every place."""
    return client.create_completion("model-1", PROMPT, 0.5, 99, 0.25, **options)
