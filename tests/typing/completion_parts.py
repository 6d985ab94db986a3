"""Tools, parts of messages and options as mypy --strict reads them; checked and not run."""

from __future__ import annotations

from typing import Any

from typing_extensions import Unpack, assert_type

from chatserver_sdk import (
    ChatCompletionChunk,
    ChatCompletionResponse,
    ChoiceLogprobs,
    CompletionOptions,
    FunctionDefinition,
    Message,
    MessageRole,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallDelta,
    audio_part,
    file_part,
    image_part,
    text_part,
)


def options(**given: Unpack[CompletionOptions]) -> None:
    """What a call of the user's own may take and pass on."""


def asked() -> None:
    """Every option, in the forms that it has."""
    tool = Tool(FunctionDefinition("find", "Finds.", {"type": "object"}, strict=True))
    options(tools=[tool], tool_choice="auto", parallel_tool_calls=False, n=2, stop="x")
    options(tools=[{"type": "function"}, tool], tool_choice={"type": "function"}, stop=["x", "y"])
    options(response_format={"type": "json_object"}, logit_bias={50256: -100}, seed=7)
    options(logit_bias={"50256": -1.5}, logprobs=True, top_logprobs=5, presence_penalty=1)
    options(frequency_penalty=None, max_completion_tokens=9, stream_options={"x": True})
    options(reasoning_effort="low")
    options(reasoning_effort=5)  # type: ignore[arg-type]
    options(tool=[tool])  # type: ignore[call-arg]


def parts() -> None:
    """Each is a dict that a message takes."""
    said = [
        text_part("Hi"),
        image_part("https://x/y.png", detail="low"),
        image_part(b"x", "image/x"),
    ]
    Message(
        MessageRole.USER, [*said, audio_part(b"x", "wav"), file_part(b"x", "x.pdf"), file_part("f")]
    )
    assert_type(text_part("Hi"), dict[str, Any])
    audio_part("x", "wav")  # type: ignore[arg-type]


def answered(answer: ChatCompletionResponse, chunk: ChatCompletionChunk) -> None:
    """What an answer holds beside its text."""
    choice = answer.choices[0]
    assert_type(choice.message.tool_calls, list[ToolCall] | None)
    assert_type(choice.message.refusal, str | None)
    assert_type(choice.logprobs, ChoiceLogprobs | None)
    for call in choice.message.tool_calls or ():
        assert_type(call.function.parsed_arguments(), dict[str, Any])
    if choice.logprobs is not None:
        assert_type(choice.logprobs.content, list[TokenLogprob] | None)
    delta = chunk.choices[0].delta
    assert_type(delta.tool_calls, list[ToolCallDelta] | None)
    assert_type(delta.reasoning_content, str | None)
