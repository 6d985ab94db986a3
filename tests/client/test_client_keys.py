"""API keys through the client: what is sent, what comes back, and where the key does not stand."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import pytest

from chatserver_sdk import ApiKeyCreated, BadRequestError, ChatServerClient
from chatserver_sdk.models import ApiKeyRequest, Role, TicketResponse
from chatserver_sdk.testing import WireServer, json_answer

NEW = "csk_01234567_never-show-this-one-to-anybody-else-than-its"
INFO = {
    "id": "k1",
    "prefix": "csk_01234567",
    "name": "ada's",
    "role": "user",
    "user_id": "ada",
    "created_at": "2026-03-01T12:00:00Z",
    "revoked_at": None,
}


def test_keys_are_listed(wire_server: WireServer, client: ChatServerClient) -> None:
    """A page, and the place of the next one."""
    wire_server.answers(json_answer(200, {"keys": [INFO], "count": 1, "next_cursor": "c"}))

    page = client.list_keys(limit=7)
    client.list_keys(cursor=page.next_cursor)

    assert (page.keys[0].role, page.keys[0].user_id, page.count) == (Role.USER, "ada", 1)
    assert page.keys[0].created_at == datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    assert [request.path for request in wire_server.requests] == [
        "/api/v1/platform/keys?limit=7",
        "/api/v1/platform/keys?limit=50&cursor=c",
    ]


def test_a_key_is_made(wire_server: WireServer, client: ChatServerClient) -> None:
    """With an Idempotency-Key, and everything else as it was given."""
    wire_server.answers(json_answer(201, {**INFO, "key": NEW}))

    made = client.create_key(
        "ada's", user_id="ada", email="a@x", expires_at=datetime(2030, 1, 1, tzinfo=timezone.utc)
    )

    (request,) = wire_server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/platform/keys")
    assert request.headers["Idempotency-Key"]
    assert ApiKeyRequest.from_dict(request.json()) == ApiKeyRequest(
        "ada's",
        Role.USER,
        "ada",
        email="a@x",
        expires_at=datetime(2030, 1, 1, tzinfo=timezone.utc),
    )
    assert isinstance(made, ApiKeyCreated) and made.key == NEW and made.id == "k1"


def test_a_key_is_revoked(wire_server: WireServer, client: ChatServerClient) -> None:
    """By its id, whatever that holds."""
    wire_server.answers(json_answer(200, {**INFO, "revoked_at": "2026-03-02T00:00:00Z"}))

    assert client.revoke_key("a/b").revoked_at == datetime(2026, 3, 2, tzinfo=timezone.utc)

    (request,) = wire_server.requests
    assert (request.method, request.path) == ("DELETE", "/api/v1/platform/keys/a%2Fb")


def test_the_key_is_in_no_repr(
    wire_server: WireServer, client: ChatServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of the answer nor of what it came in, and in no log of ours."""
    caplog.set_level(logging.DEBUG)
    wire_server.answers(json_answer(201, {**INFO, "key": NEW}))

    made = client.create_key("ada's", Role.USER, user_id="ada")

    assert NEW not in f"{made!r} {made} {made.raw!r} {caplog.text}"
    assert made.to_dict()["key"] == NEW
    assert "cst_x" not in repr(TicketResponse("cst_x"))


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("user_id", {"user_id": ""}),
    ("email", {"email": 5}),
    ("workos_id", {"workos_id": " "}),
    ("principal_id", {"principal_id": b"x"}),
    ("expires_at", {"expires_at": "soon"}),
]


@pytest.mark.parametrize(("param", "fields"), WRONG)
def test_what_cannot_be_is_not_sent(
    wire_server: WireServer, client: ChatServerClient, param: str, fields: dict[str, Any]
) -> None:
    """The field at fault is named."""
    with pytest.raises(BadRequestError) as caught:
        client.create_key("k", **fields)
    assert caught.value.param == param and wire_server.requests == []


def test_a_page_is_a_number(wire_server: WireServer, client: ChatServerClient) -> None:
    """Limit and cursor are checked before anything is sent."""
    for given in ({"limit": "9"}, {"cursor": 5}):
        with pytest.raises(BadRequestError):
            client.list_keys(**given)  # type: ignore[arg-type]
    assert wire_server.requests == []
