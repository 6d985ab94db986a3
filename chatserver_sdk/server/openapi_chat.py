"""The entries of the session-chat routes in the OpenAPI document, with every event's schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatserver_sdk._wire.session_chat import event_schemas
from chatserver_sdk.models import CancelMessageResponse, SessionChatRequest, SessionChatResponse

from .bodies import IDEMPOTENCY_KEY
from .routes.session_chat import CHAT, EVENTS

_TURN = "Which turn is meant; without it the one that runs."
_REFUSALS = {
    "401": {"description": "No valid API key."},
    "404": {"description": "No such session, or somebody else's."},
    "503": {"description": "The store is not there, or the server is stopping."},
}


def describe_chat(
    document: dict[str, Any], schema: Callable[[type[Any], str, dict[str, Any]], dict[str, Any]]
) -> None:
    """Add the routes to the document. schema: gives a model's, and adds what that refers to."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, one in event_schemas().items():
        schemas[f"event_{name}"] = one
    request = schema(SessionChatRequest, "validation", schemas)
    answer = schema(SessionChatResponse, "serialization", schemas)
    cancelled = schema(CancelMessageResponse, "serialization", schemas)
    document["paths"][CHAT] = {
        "post": _send(request, answer),
        "delete": _cancel(cancelled),
    }
    document["paths"][EVENTS] = {"get": _join()}


def _events() -> dict[str, Any]:
    """A stream; its schema is that of the objects in the events' data."""
    refs = {name: f"#/components/schemas/event_{name}" for name in event_schemas()}
    one = {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "type", "mapping": refs},
    }
    example = 'event: text_delta\nid: 0b0f...:2\ndata: {"type":"text_delta","content":"Hello"}\n\n'
    return {"text/event-stream": {"schema": one, "example": example}}


def _send(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
    content = {"schema": request, "example": {"message": message, "stream": True}}
    return {
        **_about("Send Message", "send_message"),
        "description": "Send a message to a session. The answer comes as server-sent events:"
        " interaction_start, what the agent says, exactly one of completion, cancelled and error,"
        " then interaction_end; or with `stream: false` whole.",
        "parameters": [_session(), IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {**_events(), "application/json": {"schema": answer}},
            },
            "400": {"description": "The message is wrong; `error.param` names the field."},
            **_REFUSALS,
            "409": {
                "description": "The session has ended (`session_archived`, `session_completed`), an"
                " answer is still being given (`turn_in_progress`), or the Idempotency-Key is"
                " another request's."
            },
            "410": {"description": "What this Idempotency-Key stands for is not kept any longer."},
            "413": {"description": "The message is too long."},
        },
    }


def _cancel(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        **_about("Cancel Message", "cancel_message"),
        "description": "Stop the answer that is being given; it has ended when this answers. What"
        " was said stays in the history, marked `cancelled`.",
        "parameters": [_session(), _parameter("turn_id", "query", _TURN)],
        "responses": {
            "200": {
                "description": "Whether there was something to stop.",
                "content": {"application/json": {"schema": answer}},
            },
            "400": {"description": "That is no turn's id."},
            **_REFUSALS,
        },
    }


def _join() -> dict[str, Any]:
    return {
        **_about("Join Stream", "join_stream"),
        "description": "The events of the turn that runs, or else of the last one, from behind the"
        " place that the reader has; as many readers as there are, at once.",
        "parameters": [
            _session(),
            _parameter("Last-Event-ID", "header", "The last event's id. It wins over `after`."),
            _parameter("after", "query", "The last event's id, or the number behind its colon."),
            _parameter("turn_id", "query", "Which turn; an event's id names it as well."),
        ],
        "responses": {
            "200": {"description": "The events.", "content": _events()},
            "400": {"description": "That is no place in a turn."},
            **_REFUSALS,
            "410": {"description": "The events are not kept from there on: `resync`."},
        },
    }


def _about(summary: str, operation: str) -> dict[str, Any]:
    return {
        "tags": ["sessions"],
        "summary": summary,
        "operationId": operation,
        "security": [{"HTTPBearer": []}],
    }


def _session() -> dict[str, Any]:
    return _parameter("session_id", "path", "The session's `id`.")


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string"},
    }
