"""Every route and everybody who may knock at it, compared with one table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi import APIRouter
from server_wire import COMPLETIONS, PLATFORM, SESSIONS, Api, check_refusal, request
from session_wire import V2

from chatserver_sdk.server import Settings, create_app
from chatserver_sdk.server.routes.access import doors_of
from chatserver_sdk.storage import open_store
from chatserver_sdk.testing import running_server

SIGNED_IN = {"user", "service", "expert", "admin"}
ADMINS = {"admin"}
NONE_NEEDED = {"no key", "invalid", "expired", "revoked", *SIGNED_IN}
# Whose keys are bound to the user that is knocked for.
THE_USER = {"user", "expert"}
ONE = f"{V2}/{{session_id}}"
DELETION = ("DELETE", f"{PLATFORM}/users/{{user_id:path}}")

# The whole of it: which callers get past the door of which route.
TABLE = {
    ("POST", COMPLETIONS): SIGNED_IN,
    ("GET", COMPLETIONS + "/{turn_id}/events"): SIGNED_IN,
    ("GET", "/v1/models"): SIGNED_IN,
    ("GET", "/v1/models/{model:path}"): SIGNED_IN,
    ("GET", "/health"): NONE_NEEDED,
    ("GET", "/health/live"): NONE_NEEDED,
    ("GET", "/health/ready"): NONE_NEEDED,
    ("GET", "/metrics"): ADMINS,
    ("GET", "/docs"): NONE_NEEDED,
    ("GET", SESSIONS): SIGNED_IN,
    ("GET", SESSIONS + "/{session_id}"): SIGNED_IN,
    ("GET", SESSIONS + "/{session_id}/export"): SIGNED_IN,
    ("GET", f"{PLATFORM}/stats"): ADMINS,
    ("GET", f"{PLATFORM}/admins"): ADMINS,
    ("POST", f"{PLATFORM}/admins"): ADMINS,
    ("DELETE", f"{PLATFORM}/admins/{{email:path}}"): ADMINS,
    ("GET", f"{PLATFORM}/audit"): ADMINS,
    ("GET", f"{PLATFORM}/audit/head"): ADMINS,
    ("GET", f"{PLATFORM}/audit/verify"): ADMINS,
    DELETION: THE_USER | ADMINS,
    ("GET", f"{PLATFORM}/keys"): ADMINS,
    ("POST", f"{PLATFORM}/keys"): ADMINS,
    ("DELETE", f"{PLATFORM}/keys/{{key_id}}"): ADMINS,
    ("POST", "/api/v1/tickets"): SIGNED_IN,
    **{(method, V2): SIGNED_IN for method in ("GET", "POST")},
    **{(method, ONE): SIGNED_IN for method in ("GET", "PATCH", "DELETE")},
    **{(method, f"{ONE}/chat"): SIGNED_IN for method in ("POST", "DELETE")},
    ("GET", f"{ONE}/chat/events"): SIGNED_IN,
    **{(method, f"{ONE}/files"): SIGNED_IN for method in ("GET", "POST")},
    **{(method, f"{ONE}/files/{{file_id}}"): SIGNED_IN for method in ("GET", "DELETE")},
    ("GET", f"{ONE}/files/{{file_id}}/content"): SIGNED_IN,
    ("POST", "/chat"): NONE_NEEDED,
    ("POST", "/chat/cancel"): NONE_NEEDED,
}
# Where the door itself lets more callers in: what is behind it looks at settings or at the path.
WIDER: dict[tuple[str, str], set[str]] = {("GET", "/metrics"): NONE_NEEDED, DELETION: SIGNED_IN}
BODIES: dict[str, Any] = {
    COMPLETIONS: request("x", user="ada"),
    f"{PLATFORM}/admins": {"workos_id": "w", "email": "x@y.org"},
    f"{PLATFORM}/keys": {"name": "k", "role": "service"},
    V2: {"model": "echo", "user_id": "ada"},
    ONE: {"title": "t"},
    f"{ONE}/chat": {"message": {"role": "user", "content": "x"}},
}
PARTS = {
    "model:path": "echo",
    "turn_id": "t",
    "session_id": "s",
    "file_id": "f",
    "email:path": "n@y",
    "key_id": "k",
    "user_id:path": "ada",
}
CALLERS = sorted(NONE_NEEDED)


@pytest.fixture(scope="module")
def keys() -> Iterator[tuple[Api, dict[str, str | None]]]:
    """A server, and a key of each kind of caller."""
    with running_server() as server:
        api = Api(server.base_url, server.api_key)
        made = {name: make(api, name) for name in ("service", "revoked")}
        made |= {name: make(api, name, name, user_id="ada") for name in ("user", "expert")}
        made["admin"] = make(api, "admin", "admin", email="admin@localhost")
        made["expired"] = make(api, "expired", expires_at=soon())
        revoked = api.get(f"{PLATFORM}/keys").json()["keys"]
        (key_id,) = [key["id"] for key in revoked if key["name"] == "revoked"]
        assert api.call("DELETE", f"{PLATFORM}/keys/{key_id}").json()["revoked_at"]
        while api.call("GET", "/v1/models", headers=bearer(made["expired"])).ok:
            pass
        yield api, {**made, "no key": None, "invalid": "csk_invalid"}
        api.close()


def soon() -> str:
    """A moment that has almost come."""
    return (datetime.now(timezone.utc) + timedelta(seconds=0.3)).isoformat()


def make(api: Api, name: str, role: str = "service", **fields: Any) -> str:
    """A new key."""
    answer = api.call("POST", f"{PLATFORM}/keys", json={"name": name, "role": role, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def bearer(key: str | None) -> dict[str, str]:
    """The header that a key is sent in."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def knock(api: Api, method: str, path: str, key: str | None) -> Any:
    """The answer to a request that is good but for who sends it."""
    body = BODIES.get(path)
    place = path
    for name, value in PARTS.items():
        place = place.replace(f"{{{name}}}", value)
    nobody = Api(api.base_url, None)
    try:
        return nobody.call(method, place, json=body, headers=bearer(key))
    finally:
        nobody.close()


def test_the_table_is_the_application() -> None:
    """No route is missing in it, and each declares the roles that stand there."""
    store = open_store(":memory:")
    doors = create_app(store, Settings()).doors
    store.close()

    declared = {(door.method, door.path): {role.value for role in door.roles} for door in doors}
    assert len(doors) == len(declared)
    expected = {**TABLE, **WIDER}
    assert declared == {
        place: set() if callers == NONE_NEEDED else callers for place, callers in expected.items()
    }


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), TABLE)
def test_who_gets_in(
    keys: tuple[Api, dict[str, str | None]], method: str, path: str, caller: str
) -> None:
    """401 for who is nobody, 403 for who is the wrong one, and whatever else for the others."""
    api, made = keys
    answer = knock(api, method, path, made[caller])

    if caller in TABLE[method, path]:
        assert answer.status_code in (200, 201, 404, 400, 409, 410)
    elif caller in SIGNED_IN:
        code = "wrong_user" if (method, path) == DELETION else "admin_required"
        assert check_refusal(answer, 403)["code"] == code
    else:
        code = "missing_api_key" if caller == "no key" else "invalid_api_key"
        assert check_refusal(answer, 401)["code"] == code


@pytest.mark.parametrize("caller", ["user", "expert"])
def test_a_users_key_means_its_user(keys: tuple[Api, dict[str, str | None]], caller: str) -> None:
    """Where none is given; of another's it reads and asks nothing."""
    theirs = Api(keys[0].base_url, keys[1][caller])
    session = theirs.ask(f"by {caller}", user="ada").headers["X-Session-Id"]

    listed = theirs.get(SESSIONS).json()
    paged = theirs.get(SESSIONS, cursor="").json()
    detail = theirs.get(f"{SESSIONS}/{session}").json()
    opened = theirs.call("POST", V2, json={"model": "echo"}).json()
    chats = theirs.get(V2, limit=1).json()["sessions"]
    refused = [
        theirs.get(V2, user_id="eve"),
        theirs.get(SESSIONS, user_id="eve"),
        theirs.get(f"{SESSIONS}/{session}", user_id="eve"),
        theirs.ask("x", user="eve"),
    ]
    theirs.close()

    assert listed["sessions"][0]["id"] == paged["sessions"][0]["id"] == session
    assert detail["session"]["user_id"] == "ada"
    assert [chat["id"] for chat in chats] == [opened["id"]]
    assert {check_refusal(answer, 403)["code"] for answer in refused} == {"wrong_user"}


@pytest.mark.parametrize("caller", ["service", "admin"])
def test_who_is_nobody_names_one(keys: tuple[Api, dict[str, str | None]], caller: str) -> None:
    """A key for any user has to say whose history it wants."""
    api = Api(keys[0].base_url, keys[1][caller])
    for path in (SESSIONS, f"{SESSIONS}/x", f"{SESSIONS}/x/export"):
        assert check_refusal(api.get(path), 400)["param"] == "user_id"
    assert api.get(SESSIONS, user_id="eve").status_code == 200
    api.close()


def test_a_route_that_says_nothing() -> None:
    """It is found by whoever walks the routes."""
    router = APIRouter()

    @router.get("/x")
    async def forgotten() -> None:
        """Nobody said who may call it."""

    with pytest.raises(LookupError, match="^/x does not say"):
        list(doors_of(router.routes))
    asyncio.run(forgotten())
