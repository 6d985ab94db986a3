"""The OpenAPI document: FastAPI's, with plain routes, every status and examples added.

A new route has an Entry in one of the lists below; a test names the routes that have none.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .completion_entries import ENTRIES as COMPLETIONS
from .credential_entries import ENTRIES as CREDENTIALS
from .entries import Entry
from .route_entries import ENTRIES as ROUTES
from .session_entries import ENTRIES as SESSIONS
from .session_chat_entries import ENTRIES as SESSION_CHAT

ENTRIES: tuple[Entry, ...] = (*COMPLETIONS, *SESSIONS, *SESSION_CHAT, *ROUTES, *CREDENTIALS)

_TEXT_OR_NULL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_PROBLEM = {
    "type": "object",
    "required": ["loc", "msg", "type"],
    "properties": {
        "loc": {"type": "string", "description": "The field, such as messages[0].content."},
        "msg": {"type": "string", "description": "The rule that it breaks."},
        "type": {"type": "string", "description": "A word for programs."},
    },
}
# The one shape of all errors.
_ERROR = {
    "title": "Error",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "A sentence for people."},
                "type": {**_TEXT_OR_NULL, "description": "OpenAI's word for the kind."},
                "param": {**_TEXT_OR_NULL, "description": "The field at fault."},
                "code": {**_TEXT_OR_NULL, "description": "A word for programs."},
                "errors": {
                    "type": "array",
                    "description": "Each problem, where a request has several.",
                    "items": _PROBLEM,
                },
            },
        }
    },
}
_HEADERS = {
    "X-Request-Id": {
        "description": "Found again in the server's log; the request's own, if it had one.",
        "schema": {"type": "string"},
    }
}
_REPLACED = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> None:
    """Have the app's document say everything."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        if "Error" not in document.get("components", {}).get("schemas", {}):
            _complete(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for entry in ENTRIES:
        routes = document["paths"].setdefault(entry.path, {})
        if entry.operation_id:
            routes[entry.method] = entry.operation(schemas)
        entry.complete(routes[entry.method])
    for name in _REPLACED:
        schemas.pop(name, None)
    schemas["Error"] = _ERROR
    components["headers"] = _HEADERS
