"""What the OpenAPI document says of chat in sessions; the real encoder writes every event."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from chatserver_sdk._wire import session_chat
from chatserver_sdk.models import (
    CancelMessageResponse,
    ChatMessageRecord,
    SessionChatRequest,
    SessionChatResponse,
    UsageInfo,
)
from chatserver_sdk.models.events import (
    Event,
    ExpertJoined,
    ExpertLeft,
    MessageStored,
    ModeChanged,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
    WidgetShown,
    WidgetUpdated,
)

from .bodies import IDEMPOTENCY_KEY
from .completion_entries import COMPLETION, SESSION, TURN
from .entries import Entry
from .route_entries import ANSWER
from .routes.session_chat import CHAT, EVENTS

_HEADING = session_chat.Heading(TURN, SESSION, "echo")
_AT = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
_USAGE = UsageInfo(2, 2, 4)
# One of each kind, in an order in which they may come.
_SAID: tuple[Event, ...] = (
    TurnStarted(),
    ExpertJoined("eve"),
    ModeChanged("expert"),
    ThoughtDelta("They said hello."),
    ToolCall("call_1", "weather", '{"city":'),
    ToolCallDelta(0, '"Graz"}'),
    ToolResult("call_1", "It rains."),
    WidgetShown("w1", "form", {"title": "Your order"}),
    WidgetUpdated("w1", {"title": "Your order, sent"}),
    TextDelta("Hello "),
    ExpertLeft("eve"),
    MessageStored(ChatMessageRecord.from_dict(ANSWER)),
    Usage(_USAGE),
    TurnCancelled(),
    TurnFailed("the agent failed; its answer ends here"),
    TurnCompleted("stop", _USAGE),
)


def _events() -> tuple[dict[str, str], dict[str, Any]]:
    """An example of each event, and its schema with the object in it, by their types."""
    schemas = session_chat.event_schemas()
    examples = {}
    for seq, event in enumerate(_SAID, 1):
        event.seq, event.at = seq, _AT
        bodies = session_chat.event_bodies(_HEADING, event)
        for body, sent in zip(bodies, session_chat.encode_event(_HEADING, event), strict=True):
            examples[body["type"]] = sent.decode()
            schemas[body["type"]]["examples"] = [body]
    return examples, schemas


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string"},
    }


_EXAMPLES, _SCHEMAS = _events()
_SESSION = _parameter("session_id", "path", "The session's `id`.")
_UNKNOWN = "No such session, or somebody else's."

ENTRIES = (
    Entry(
        "post",
        CHAT,
        {
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello there"}]},
            "completion_id": COMPLETION["id"],
            "turn_id": TURN,
            "usage": COMPLETION["usage"],
            "finish_reason": "stop",
        },
        request={
            "message": {"role": "user", "content": [{"type": "text", "text": "Hello there"}]},
            "stream": True,
        },
        events=_EXAMPLES,
        event_schemas=_SCHEMAS,
        refusals={
            404: "No such session, file or model, or the session is somebody else's.",
            409: "The session has ended (`session_archived`, `session_completed`), an answer is"
            " still being given (`turn_in_progress`), or the Idempotency-Key is another request's.",
            410: "What this Idempotency-Key stands for is not kept any longer.",
            422: "The agent cannot answer this question.",
            429: "Too many requests with this key, of this user or in this session, or the agent's"
            " own limits.",
            503: "The store does not answer, the server is stopping, or too many answers are being"
            " given.",
        },
        parameters={"session_id": SESSION, "Idempotency-Key": "b7b4f9c2"},
        operation_id="send_message",
        tag="sessions",
        summary="Send Message",
        description="Send a message to a session. The answer comes as server-sent events:"
        " interaction_start, what the agent says, exactly one of completion, cancelled and error,"
        " then interaction_end; or with `stream: false` whole. The events' schema is that of the"
        " objects in their data. An agent that fails may say any status from 400 on.",
        takes=SessionChatRequest,
        gives=SessionChatResponse,
        parameter_list=(_SESSION, IDEMPOTENCY_KEY),
    ),
    Entry(
        "delete",
        CHAT,
        {"cancelled": True, "turn_id": TURN},
        refusals={400: "That is no turn's id.", 404: _UNKNOWN},
        parameters={"session_id": SESSION, "turn_id": TURN},
        operation_id="cancel_message",
        tag="sessions",
        summary="Cancel Message",
        description="Stop the answer that is being given; it has ended when this answers. What"
        " was said stays in the history, marked `cancelled`.",
        gives=CancelMessageResponse,
        parameter_list=(
            _SESSION,
            _parameter("turn_id", "query", "Which turn is meant; without it the one that runs."),
        ),
    ),
    Entry(
        "get",
        EVENTS,
        None,
        events=_EXAMPLES,
        event_schemas=_SCHEMAS,
        refusals={
            400: "That is no place in a turn.",
            404: "No such session or turn, somebody else's, or nothing was said yet.",
            410: "The events are not kept from there on: `resync`.",
        },
        parameters={
            "session_id": SESSION,
            "Last-Event-ID": f"{TURN}:17",
            "after": 17,
            "turn_id": TURN,
        },
        operation_id="join_stream",
        tag="sessions",
        summary="Join Stream",
        description="The events of the turn that runs, or else of the last one, from behind the"
        " place that the reader has; as many readers as there are, at once.",
        parameter_list=(
            _SESSION,
            _parameter("Last-Event-ID", "header", "The last event's id. It wins over `after`."),
            _parameter("after", "query", "The last event's id, or the number behind its colon."),
            _parameter("turn_id", "query", "Which turn; an event's id names it as well."),
            _parameter("ticket", "query", "Instead of a key, where no header can be sent."),
        ),
    ),
)
