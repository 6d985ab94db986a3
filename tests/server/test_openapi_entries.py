"""The OpenAPI document, walked: nothing that a route can answer is missing, or without example."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from server_wire import COMPLETIONS, Api, check_documented, statuses
from session_wire import V2, open_session, parse

from chatserver_sdk._wire import session_chat
from chatserver_sdk._wire.errors import parse_error
from chatserver_sdk.models import (
    AdminListResponse,
    ApiKeyCreated,
    ApiKeyInfo,
    ApiKeyListResponse,
    AuditHead,
    AuditLogResponse,
    AuditVerification,
    CancelMessageResponse,
    ChatCompletionResponse,
    ChatSession,
    ChatSessionDetailResponse,
    ChatSessionListResponse,
    ChatSessionPage,
    DeleteSessionResponse,
    FileInfo,
    FileList,
    ModelsResponse,
    PlatformStats,
    SessionChatResponse,
    TicketResponse,
    UserDeletion,
)
from chatserver_sdk.models.events import TERMINAL
from chatserver_sdk.server import create_app
from chatserver_sdk.server.docs_page import page
from chatserver_sdk.server.openapi import ENTRIES
from chatserver_sdk.storage import open_store

ONE = f"{V2}/{{session_id}}"


def read_document() -> Any:
    """The document, as programs read it."""
    store = open_store(":memory:")
    try:
        return json.loads(json.dumps(create_app(store).document()))
    finally:
        store.close()


DOCUMENT = read_document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, routes in DOCUMENT["paths"].items()
    for method, operation in routes.items()
}
RESPONSES = {
    f"{name} {status}": (int(status), response)
    for name, operation in OPERATIONS.items()
    for status, response in operation["responses"].items()
}
WITHOUT_KEY = {"/health", "/health/live", "/health/ready", "/chat", "/chat/cancel"}


def test_every_route_has_an_entry() -> None:
    """And every entry a route."""
    assert OPERATIONS.keys() == {f"{entry.method.upper()} {entry.path}" for entry in ENTRIES}
    assert len(OPERATIONS) == len(ENTRIES)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_is(name: str) -> None:
    """It has a tag, a summary, a description, and its key; its parameters have examples."""
    operation = OPERATIONS[name]
    for part in ("tags", "summary", "description", "operationId"):
        assert operation[part], part
    if name.split()[1] in WITHOUT_KEY:
        assert "security" not in operation
    else:
        assert operation["security"] == [{"HTTPBearer": []}]
    needed = [each for each in operation.get("parameters", ()) if each["required"]]
    assert all("example" in each for each in needed)
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        assert content["schema"] and content["example"]


@pytest.mark.parametrize("name", RESPONSES)
def test_every_answer_is_shown(name: str) -> None:
    """It has a sentence, a schema, an example, and its request's id."""
    status, response = RESPONSES[name]
    assert response["description"].endswith(".")
    assert "X-Request-Id" in response["headers"]
    assert ("content" in response) is (status != 204)
    for kind, content in response.get("content", {}).items():
        assert content["schema"]
        if kind == "text/event-stream":
            assert all(example["value"] for example in content["examples"].values())
        else:
            assert content["example"]
    if status >= 400:
        (content,) = response["content"].values()
        assert content["schema"] == {"$ref": "#/components/schemas/Error"}
        detail = parse_error(content["example"])
        assert detail.message and detail.type
        assert {*content["example"]["error"]} == {"message", "type", "param", "code"}


def test_one_shape_of_errors() -> None:
    """FastAPI's own is not among the schemas, nor referred to."""
    text = json.dumps(DOCUMENT)
    assert "HTTPValidationError" not in text and "ValidationError" not in text
    error = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]
    assert error["required"] == ["message", "type", "param", "code"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (f"POST {COMPLETIONS} 200", ChatCompletionResponse),
        ("GET /v1/models 200", ModelsResponse),
        ("GET /atoms/chat/sessions 200", ChatSessionListResponse),
        ("GET /atoms/chat/sessions/{session_id} 200", ChatSessionDetailResponse),
        ("GET /api/v1/platform/stats 200", PlatformStats),
        ("GET /api/v1/platform/admins 200", AdminListResponse),
        ("GET /api/v1/platform/audit 200", AuditLogResponse),
        ("GET /api/v1/platform/audit/head 200", AuditHead),
        ("GET /api/v1/platform/audit/verify 200", AuditVerification),
        ("DELETE /api/v1/platform/users/{user_id} 200", UserDeletion),
        ("GET /api/v1/platform/keys 200", ApiKeyListResponse),
        ("POST /api/v1/platform/keys 201", ApiKeyCreated),
        ("DELETE /api/v1/platform/keys/{key_id} 200", ApiKeyInfo),
        ("POST /api/v1/tickets 201", TicketResponse),
        (f"POST {V2} 201", ChatSession),
        (f"GET {V2} 200", ChatSessionPage),
        (f"GET {ONE} 200", ChatSession),
        (f"PATCH {ONE} 200", ChatSession),
        (f"DELETE {ONE} 200", DeleteSessionResponse),
        (f"POST {ONE}/files 201", FileInfo),
        (f"GET {ONE}/files 200", FileList),
        (f"GET {ONE}/files/{{file_id}} 200", FileInfo),
        (f"POST {ONE}/chat 200", SessionChatResponse),
        (f"DELETE {ONE}/chat 200", CancelMessageResponse),
    ],
)
def test_examples_are_what_is_sent(name: str, model: Any) -> None:
    """A model that reads an example writes the same again."""
    example = RESPONSES[name][1]["content"]["application/json"]["example"]
    assert model.from_dict(example).to_dict() == example


def test_examples_of_requests_are_answered(api: Api) -> None:
    """What the document shows can be sent as it stands."""
    session_id = open_session(api)
    for name, operation in OPERATIONS.items():
        method, path = name.replace("{session_id}", session_id).split()
        for kind, content in operation.get("requestBody", {"content": {}})["content"].items():
            sent: dict[str, Any] = {"json": content["example"]}
            if kind == "multipart/form-data":
                fields = content["example"].items()
                sent = {"files": {field: (f"{field}.txt", text) for field, text in fields}}
            assert api.call(method, path, **sent).status_code < 300
    api.call("DELETE", "/api/v1/platform/admins/eve@example.com")


def test_every_kind_of_event_is_shown() -> None:
    """Text, thoughts, tools, widgets, each end, and the silence."""
    content = OPERATIONS[f"POST {COMPLETIONS}"]["responses"]["200"]["content"]
    shown = "".join(each["value"] for each in content["text/event-stream"]["examples"].values())
    words = ("content", "reasoning_content", "tool_calls", "widget", "usage", "cancelled")
    assert all(f'"{word}"' in shown for word in words)
    assert shown.count("[DONE]") == len(TERMINAL) - 1 and '"error"' in shown and "\n: " not in shown
    assert '"interrupted"' in shown


@pytest.mark.parametrize("name", [f"POST {ONE}/chat 200", f"GET {ONE}/chat/events 200"])
def test_every_event_of_a_session(name: str) -> None:
    """It has a schema, and an example that keeps to it, as it is sent and as an object."""
    content = RESPONSES[name][1]["content"]["text/event-stream"]
    mapping = content["schema"]["discriminator"]["mapping"]
    assert content["examples"].keys() == mapping.keys() == session_chat.event_schemas().keys()
    assert content["schema"]["oneOf"] == [{"$ref": reference} for reference in mapping.values()]
    for kind, reference in mapping.items():
        ((told, _, body),) = parse(content["examples"][kind]["value"].encode())
        schema = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
        assert told == kind and schema["examples"] == [body]
        assert {*schema["required"]} <= body.keys() <= schema["properties"].keys()
        assert all(allows(schema["properties"][key], value) for key, value in body.items())


def allows(schema: Any, value: Any) -> bool:
    """Whether a value is of the kind that a property has."""
    kinds = {"string": str, "integer": int, "object": dict}
    if "type" in schema:
        return isinstance(value, kinds[schema["type"]])
    return value in (schema.get("enum") or [schema["const"]])


def test_a_status_that_is_not_documented() -> None:
    """The check that all tests of routes go through finds one, and reads paths with parts."""
    assert len(statuses()) == len(OPERATIONS)
    check_documented("GET", "/v1/models/some/thing?x=1", 404)
    with pytest.raises(AssertionError, match="document it"):
        check_documented("GET", "/v1/models/x", 418)


def texts(value: Any) -> Iterator[str]:
    """Every operation's path and description, and every schema's name."""
    for path, routes in value["paths"].items():
        yield path
        yield from (operation["operationId"] for operation in routes.values())
    yield from value["components"]["schemas"]


def test_the_page_stands_alone(api: Api) -> None:
    """It shows everything, runs no script and loads nothing from anywhere."""
    answer = api.get("/docs")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert all(text in answer.text for text in texts(DOCUMENT))
    assert not re.search(r"<script|<link|<img|@import|url\(|src=|https?://", answer.text)


def test_the_page_escapes() -> None:
    """Words of a document are no markup."""
    document = json.loads(json.dumps(DOCUMENT).replace("Whether the", "<script>alert(1)</script>"))
    assert "<script" not in page(document)
