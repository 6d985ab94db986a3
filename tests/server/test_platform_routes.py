"""/api/v1/platform, /v1/models, /health and the documentation, on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from server_wire import COMPLETIONS, PLATFORM, Api, check_refusal

from chatserver_sdk import __version__
from chatserver_sdk.testing import ScriptedAgent, running_server

ROOT = "admin@localhost"


@pytest.fixture
def fresh() -> Iterator[Api]:
    """A server of this test's own, with one administrator and nothing else."""
    with running_server() as server:
        api = Api(server.base_url, server.api_key)
        yield api
        api.close()


def add(api: Api, email: str, workos_id: str = "w1", **fields: Any) -> Any:
    """The answer to making somebody an administrator."""
    body = {"workos_id": workos_id, "email": email, **fields}
    return api.call("POST", f"{PLATFORM}/admins", json=body)


def remove(api: Api, email: str) -> Any:
    """The answer to taking the role away."""
    return api.call("DELETE", f"{PLATFORM}/admins/{quote(email, safe='')}")


def test_figures(fresh: Api) -> None:
    """Zeros at first, then what was asked; the shape is always the same."""
    empty = fresh.get(f"{PLATFORM}/stats").json()
    fresh.ask("a b", user="ada", metadata={"organization_id": "acme"})
    fresh.ask("c")

    stats = fresh.get(f"{PLATFORM}/stats").json()

    health = {
        "status": "healthy",
        "circuit_breaker_status": None,
        "active_agents": ["echo", "eliza"],
    }
    assert empty.pop("system_health") == stats.pop("system_health") == health
    assert set(empty.values()) == {0}
    assert stats == {
        "total_users": 1,
        "active_users": 1,
        "total_organizations": 1,
        "total_requests": 2,
        "requests_today": 2,
        "total_tokens": 6,
        "tokens_today": 6,
        "total_mcp_servers": 0,
    }


def test_administrators(fresh: Api) -> None:
    """Added with 201, listed with who did it, removed with 200, and never the last one."""
    added = add(fresh, " Ada@X.org ", name="Ada")
    listed = fresh.get(f"{PLATFORM}/admins").json()
    again = add(fresh, "ada@x.org")
    other = add(fresh, "new@x.org", "w1")
    removed = remove(fresh, "ADA@x.org")
    refused = [remove(fresh, "ada@x.org"), remove(fresh, ROOT)]

    assert (added.status_code, added.json()) == (201, {"status": "added", "email": "ada@x.org"})
    assert (removed.status_code, removed.json()) == (
        200,
        {"status": "removed", "email": "ada@x.org"},
    )
    root, ada = listed["admins"]
    assert listed["count"] == 2 and set(ada) == {"id", "email", "name", "created_at", "created_by"}
    assert (ada["email"], ada["name"], ada["created_by"]) == ("ada@x.org", "Ada", ROOT)
    assert (root["email"], root["created_by"]) == (ROOT, None)
    codes = [check_refusal(answer, 409)["code"] for answer in (again, other, refused[1])]
    assert codes == ["admin_exists", "principal_mismatch", "last_admin"]
    assert check_refusal(refused[0], 404)["code"] == "not_found"


ODD_ADDRESSES = ["a/b@x.org", "a?b#c@x.org", "a%2fb@x.org", "ü@x.org", "a+b&c@x.org", "../x@y"]


@pytest.mark.parametrize("email", ODD_ADDRESSES)
def test_who_was_added_can_be_removed(fresh: Api, email: str) -> None:
    """Whatever characters an address holds."""
    assert add(fresh, email).status_code == 201
    assert remove(fresh, email).json() == {"status": "removed", "email": email}


@pytest.mark.parametrize("email", ["", "x", "nobody@x.org", "x" * 2000])
def test_who_is_no_administrator(fresh: Api, email: str) -> None:
    """404, also for what is no address at all."""
    check_refusal(remove(fresh, email), 404)


def test_the_audit_log(fresh: Api) -> None:
    """Newest first, numbered without gaps, with who did what to whom; pages by offset."""
    for number in range(3):
        add(fresh, f"{number}@x.org", f"w{number}")
    remove(fresh, "1@x.org")
    add(fresh, "0@x.org", "w0")

    whole = fresh.get(f"{PLATFORM}/audit").json()
    pages = [fresh.get(f"{PLATFORM}/audit", limit=4, offset=at).json() for at in (0, 4, 8)]

    entries = whole["entries"]
    assert (whole["count"], whole["limit"], whole["offset"]) == (6, 50, 0)
    assert [entry["id"] for entry in entries] == ["6", "5", "4", "3", "2", "1"]
    assert [(entry["action"], entry["resource"]) for entry in entries[:2]] == [
        ("admin.removed", "admin"),
        ("admin.added", "admin"),
    ]
    assert (entries[0]["user_id"], entries[0]["resource_id"]) == (ROOT, "1@x.org")
    assert entries[-1]["user_id"] is None and entries[-2]["action"] == "key.created"
    assert sum((found["entries"] for found in pages), []) == entries
    assert [found["count"] for found in pages] == [4, 2, 0]
    assert fresh.key not in json.dumps(whole)


@pytest.mark.parametrize("limit", [1, 200])
@pytest.mark.parametrize("offset", [0, 10**12])
def test_limits_of_the_log(api: Api, limit: int, offset: int) -> None:
    """Both ends of what may be asked for."""
    found = api.get(f"{PLATFORM}/audit", limit=limit, offset=offset).json()

    assert (found["limit"], found["offset"]) == (limit, offset)
    assert found["count"] == len(found["entries"]) <= limit


def test_models(api: Api) -> None:
    """The list that OpenAI's clients read, and each of its entries."""
    listed = api.get("/v1/models").json()

    models = {model["id"]: model for model in listed["data"]}
    assert listed["object"] == "list" and {"echo", "eliza", "gpt-4", "endless"} <= set(models)
    assert set(models["echo"]) == {
        *("id", "object", "owned_by", "created", "description"),
        *("context_length", "provider", "capabilities"),
    }
    assert (models["gpt-4"]["provider"], models["gpt-4"]["object"]) == ("echo", "model")
    for name, model in models.items():
        assert api.get(f"/v1/models/{name}").json() == model


def test_a_models_name_may_hold_a_slash() -> None:
    """Names such as `org/model` are common."""
    with running_server(aliases={"org/my model": "echo"}) as server:
        api = Api(server.base_url, server.api_key)
        found = [api.get(f"/v1/models/org{slash}my%20model") for slash in ("/", "%2F")]
        answer = api.ask("x", model="org/my model")
        api.close()

    assert [model.json()["id"] for model in found] == ["org/my model"] * 2
    assert answer.json()["model"] == "org/my model"


def test_health(api: Api) -> None:
    """It says that the server is there, and which one."""
    assert api.get("/health").json() == {"status": "ok", "version": __version__}


def references(value: Any) -> Iterator[str]:
    """All that a document refers to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


V2 = "/api/v2/sessions"
ONE = f"{V2}/{{session_id}}"
FILE = f"{ONE}/files/{{file_id}}"
SESSION_ROUTES = {
    *((method, V2) for method in ("POST", "GET")),
    *((method, ONE) for method in ("GET", "PATCH", "DELETE")),
    *((method, f"{ONE}/chat") for method in ("POST", "DELETE")),
    ("GET", f"{ONE}/chat/events"),
    *((method, f"{ONE}/files") for method in ("POST", "GET")),
    *((method, FILE) for method in ("GET", "DELETE")),
    ("GET", f"{FILE}/content"),
    ("POST", "/chat"),
    ("POST", "/chat/cancel"),
}


def test_the_openapi_document(api: Api) -> None:
    """It holds every route, refers to nothing that is not there, and can be asked for twice."""
    document = api.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1") and document["info"]["version"] == __version__
    for reference in references(document):
        _, components, kind, name = reference.split("/")
        assert components == "components" and name in document["components"][kind]
    assert {
        (method.upper(), path) for path, route in document["paths"].items() for method in route
    } == {
        ("POST", COMPLETIONS),
        ("GET", f"{COMPLETIONS}/{{turn_id}}/events"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{model}"),
        ("GET", "/health"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
        ("GET", "/atoms/chat/sessions"),
        ("GET", "/atoms/chat/sessions/{session_id}"),
        ("GET", f"{PLATFORM}/stats"),
        ("GET", f"{PLATFORM}/admins"),
        ("POST", f"{PLATFORM}/admins"),
        ("DELETE", f"{PLATFORM}/admins/{{email}}"),
        ("GET", f"{PLATFORM}/audit"),
        ("GET", f"{PLATFORM}/audit/head"),
        ("GET", f"{PLATFORM}/audit/verify"),
        ("GET", "/atoms/chat/sessions/{session_id}/export"),
        ("DELETE", f"{PLATFORM}/users/{{user_id}}"),
        ("GET", f"{PLATFORM}/keys"),
        ("POST", f"{PLATFORM}/keys"),
        ("DELETE", f"{PLATFORM}/keys/{{key_id}}"),
        ("POST", "/api/v1/tickets"),
        *SESSION_ROUTES,
    }
    assert api.get("/openapi.json").json() == document


def test_the_document_describes_the_hot_route(api: Api) -> None:
    """What a completion takes and gives, with the limits of each field, and the key it needs."""
    document = api.get("/openapi.json").json()
    operation = document["paths"][COMPLETIONS]["post"]

    request = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert request["required"] == ["model", "messages"]
    assert request["properties"]["temperature"]["anyOf"][0]["maximum"] == 2
    assert request["properties"]["messages"]["minItems"] == 1
    assert "system_fingerprint" in answer["properties"]
    assert operation["security"] == [{"HTTPBearer": []}]
    assert "HTTPBearer" in document["components"]["securitySchemes"]
    operations = [route for routes in document["paths"].values() for route in routes.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)


def test_every_operation_is_described(api: Api) -> None:
    """Each has a summary, an id of its own, and an answer for success, unless it is gone."""
    document = api.get("/openapi.json").json()

    operations = [route for routes in document["paths"].values() for route in routes.values()]
    assert all(operation["description"] and operation["summary"] for operation in operations)
    assert all(
        {"200", "201", "204", "410"} & set(operation["responses"]) for operation in operations
    )


def test_the_documentation_page(api: Api) -> None:
    """A page of HTML that reads the document."""
    page = api.get("/docs")

    assert page.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in page.text and re.search("<title>.*chatserver", page.text)


def test_what_breaks_inside_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """A route that fails says so in the common shape; the traceback is the operator's."""
    broken = ScriptedAgent("broken", "")
    broken.description = object()  # type: ignore[assignment]
    with running_server(agents=[broken]) as server:
        api = Api(server.base_url, server.api_key)
        answer = api.call("GET", "/v1/models", headers={"X-Request-Id": "find-me"})
        alive = api.get("/health").status_code
        api.close()

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], alive) == (500, "server_error", 200)
    assert answer.headers["X-Request-Id"] == "find-me" and "find-me" in caplog.text
    assert "Traceback" not in answer.text and "object" not in error["message"]
