"""What the OpenAPI document says of completions; the real encoder writes its examples of events."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from chatserver_sdk._wire import sse
from chatserver_sdk.engine import Turn
from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.completions import ChatCompletionRequest, ChatCompletionResponse
from chatserver_sdk.models.events import (
    Event,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolCallDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    WidgetShown,
    WidgetUpdated,
)

from .bodies import IDEMPOTENCY_KEY
from .entries import Entry
from .routes import resume
from .routes.completions import PATH, Chunks

TURN = "0cd6a103-3f85-4a59-99b0-77eff9a59e5d"
SESSION = "5f0c1e9a-7a3c-4a52-9a57-1f6f0f3a9c11"
_CREATED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

_SAID: dict[str, Event] = {
    "the answer begins": TurnStarted(),
    "some text": TextDelta("Hello "),
    "some of what it thinks": ThoughtDelta("They said hello."),
    "a tool is called": ToolCall("call_1", "weather", '{"city":'),
    "more of a call's arguments": ToolCallDelta(0, '"Graz"}'),
    "a widget is shown": WidgetShown("w1", "form", {"title": "Your order"}),
    "a widget is changed": WidgetUpdated("w1", {"title": "Your order, sent"}),
    "the end, then [DONE]": TurnCompleted("stop", UsageInfo(2, 2, 4)),
    "the end of one that was stopped": TurnCancelled(),
    "the end of one that failed": TurnFailed("the agent failed; its answer ends here"),
    "the server stops": TurnFailed(
        "the server was stopped before the answer was whole", "interrupted", 503
    ),
}


def _events() -> dict[str, str]:
    turn = Turn(TURN, session_id=SESSION, model="echo", user_id=None, started_at=_CREATED)
    encode = Chunks(turn)
    examples = {"nothing is said for a while": sse.encode_comment("still here").decode()}
    for seq, (name, event) in enumerate(_SAID.items(), 1):
        event.seq = seq
        examples[name] = b"".join(encode(event)).decode()
    return examples


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "integer" if name == "after" else "string"},
    }


COMPLETION = {
    "id": f"chatcmpl-{TURN.replace('-', '')}",
    "object": "chat.completion",
    "created": int(_CREATED.timestamp()),
    "model": "echo",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
    "system_fingerprint": SESSION,
}
_UNREAD = "It is not kept any longer: `resume_window_passed`. Ask again."

ENTRIES = (
    Entry(
        "post",
        PATH,
        COMPLETION,
        request={
            "model": "echo",
            "messages": [{"role": "user", "content": "Hello there"}],
            "user": "ada",
            "metadata": {"session_id": SESSION},
        },
        events=_events(),
        refusals={
            404: "No such model, or another user's session.",
            409: "An answer is still being given in this session, or the Idempotency-Key is"
            " another request's.",
            410: "What this Idempotency-Key stands for is not kept any longer.",
            422: "The agent cannot answer this question.",
            429: "Too many requests with this key, of this user or in this session, or the agent's"
            " own limits.",
            503: "The store does not answer, the server is stopping, or too many answers are being"
            " given.",
        },
        parameters={"Idempotency-Key": "b7b4f9c2"},
        operation_id="create_completion",
        tag="completions",
        summary="Create Completion",
        description="The model's answer to the messages: whole, or with `stream` as server-sent"
        " events, `data: [DONE]` last. Its `system_fingerprint` is the session's id; each event"
        " has an id from which the stream can be read again. An agent that fails may say any"
        " status from 400 on.",
        takes=ChatCompletionRequest,
        gives=ChatCompletionResponse,
        parameter_list=(IDEMPOTENCY_KEY,),
    ),
    Entry(
        "get",
        resume.PATH,
        None,
        events=_events(),
        refusals={
            400: "That is no place in this turn.",
            404: "No such turn, or somebody else's.",
            410: _UNREAD,
        },
        parameters={"turn_id": TURN, "Last-Event-ID": f"{TURN}:17", "after": 17},
        operation_id="resume_completion",
        tag="completions",
        summary="Resume Completion",
        description="A streamed answer from behind the last event that its reader has, in the"
        " same words, to `data: [DONE]`. Without a place: from the beginning.",
        parameter_list=(
            _parameter("turn_id", "path", "What the answer's header `X-Turn-Id` said."),
            _parameter("Last-Event-ID", "header", "The last event's id. It wins over `after`."),
            _parameter("after", "query", "The number behind the colon of the last event's id."),
            _parameter("ticket", "query", "Instead of a key, where no header can be sent."),
        ),
    ),
)
