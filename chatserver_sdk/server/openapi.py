"""The entries of the hot routes in the OpenAPI document: FastAPI does not know them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from chatserver_sdk.models.completions import ChatCompletionRequest, ChatCompletionResponse

from .bodies import IDEMPOTENCY_KEY
from .openapi_chat import describe_chat
from .routes import resume
from .routes.completions import PATH

_REF = "#/components/schemas/{model}"


def add_completions(app: FastAPI) -> None:
    """Describe POST /v1/chat/completions, and reading on, in the app's document."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        if PATH not in document["paths"]:
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            request = _schema(ChatCompletionRequest, "validation", schemas)
            answer = _schema(ChatCompletionResponse, "serialization", schemas)
            document["paths"][PATH] = {"post": _operation(request, answer)}
            document["paths"][resume.PATH] = {"get": _resume_operation()}
            describe_chat(document, _schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _schema(model: type[Any], mode: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(ref_template=_REF, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    return schema


def _operation(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["completions"],
        "summary": "Create Completion",
        "description": "The model's answer to the messages: whole, or with `stream` as"
        " server-sent events, `data: [DONE]` last.",
        "operationId": "create_completion",
        "security": [{"HTTPBearer": []}],
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": _responses(answer),
    }


def _responses(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": {
            "description": "The answer; its `system_fingerprint` is the session's id.",
            "content": {
                "application/json": {"schema": answer},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        "400": {"description": "The request is wrong; `error.param` names the field."},
        "401": {"description": "No valid API key."},
        "403": {"description": "The key may not act for this user."},
        "404": {"description": "No such model, or another user's session."},
        "409": {
            "description": "An answer is still being given in this session, or the"
            " Idempotency-Key is another request's."
        },
        "410": {"description": "What this Idempotency-Key stands for is not kept any longer."},
        "503": {"description": "The store is not there, or the server is stopping."},
    }


def _resume_operation() -> dict[str, Any]:
    return {
        "tags": ["completions"],
        "summary": "Resume Completion",
        "description": "A streamed answer from behind the last event that its reader has, in the"
        " same words, to `data: [DONE]`. Without a place: from the beginning.",
        "operationId": "resume_completion",
        "security": [{"HTTPBearer": []}],
        "parameters": [
            _parameter("turn_id", "path", "What the answer's header `X-Turn-Id` said."),
            _parameter("Last-Event-ID", "header", "The last event's id. It wins over `after`."),
            _parameter("after", "query", "The number behind the colon of the last event's id."),
        ],
        "responses": {
            "200": {
                "description": "The events.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "400": {"description": "That is no place in this turn."},
            "401": {"description": "No valid API key."},
            "404": {"description": "No such turn, or somebody else's."},
            "410": {"description": "It is not kept any longer: `resume_window_passed`."},
            "503": {"description": "The store is not there."},
        },
    }


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "integer" if name == "after" else "string"},
    }
