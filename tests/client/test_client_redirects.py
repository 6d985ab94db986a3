"""Redirects: a GET follows them, a POST does not lose its body to one, the key stays here."""

from __future__ import annotations

from typing import Any

import pytest

from chatserver_sdk import APIConnectionError, APIStatusError, ChatServerClient
from chatserver_sdk.testing import Step, WireServer, json_answer, plain_answer

MODELS: dict[str, Any] = {"data": [{"id": "m"}]}
STATUSES = [301, 302, 303, 307, 308]


def redirect(status: int, location: str) -> list[Step]:
    """An answer that points elsewhere."""
    return plain_answer(status, b"", {"Location": location})


@pytest.mark.parametrize("status", STATUSES)
def test_a_get_follows(
    wire_server: WireServer, client: ChatServerClient, api_key: str, status: int
) -> None:
    """On the same server the key goes with it."""
    wire_server.answers(redirect(status, "/elsewhere"), json_answer(200, MODELS))
    assert client.list_models().data[0].id == "m"
    assert [request.path for request in wire_server.requests] == ["/v1/models", "/elsewhere"]
    assert wire_server.requests[1].headers["Authorization"] == f"Bearer {api_key}"


@pytest.mark.parametrize("status", STATUSES)
def test_another_server_does_not_get_the_key(
    wire_server: WireServer, client: ChatServerClient, status: int
) -> None:
    """Wherever a server sends us, it cannot have the key sent there."""
    with WireServer() as other:
        other.answers(json_answer(200, MODELS))
        wire_server.answers(redirect(status, f"{other.base_url}/elsewhere"))
        assert client.list_models().data[0].id == "m"
        assert "Authorization" not in other.requests[0].headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", STATUSES)
def test_a_post_does_not_follow(
    wire_server: WireServer, client: ChatServerClient, status: int, stream: bool
) -> None:
    """It would arrive as a GET without its body; the caller is told where to go instead."""
    wire_server.answers(redirect(status, "https://me:secret@x.org/v1/chat/completions"))
    with pytest.raises(APIStatusError) as caught:
        client.create_completion("m", "Hello", stream=stream)
    assert caught.value.message == (
        f"the server at {wire_server.base_url} redirects to https://x.org/v1/chat/completions; "
        "use that as the base URL"
    )
    assert type(caught.value) is APIStatusError and caught.value.status_code == status
    assert len(wire_server.requests) == 1


def test_a_delete_does_not_follow(wire_server: WireServer, client: ChatServerClient) -> None:
    """What it would delete there nobody has asked for."""
    wire_server.answers(redirect(307, "/elsewhere"))
    with pytest.raises(APIStatusError, match="redirects to /elsewhere;"):
        client.remove_admin("a@x.org")
    assert len(wire_server.requests) == 1


@pytest.mark.parametrize("status", [300, 304, 399])
def test_redirects_that_are_none(
    wire_server: WireServer, client: ChatServerClient, status: int
) -> None:
    """A status between success and error without an address is no success."""
    wire_server.answers(plain_answer(status, b""))
    with pytest.raises(APIStatusError, match="which is neither a success nor an error") as caught:
        client.list_models()
    assert caught.value.status_code == status


def test_a_circle(wire_server: WireServer, client: ChatServerClient) -> None:
    """A server that points at itself is given up."""
    wire_server.answers(redirect(302, "/v1/models"))
    with pytest.raises(APIConnectionError, match="answered with headers that lead nowhere"):
        client.list_models()


LOCATIONS = [
    "http://[::1",
    "http://a..b/",
    "http:///",
    "http://x.org:port/",
    "ftp://x.org/",
    "gopher:",
    "\xff\xfe",
]


@pytest.mark.parametrize("location", LOCATIONS)
def test_an_address_that_is_none(
    wire_server: WireServer, client: ChatServerClient, location: str
) -> None:
    """Nothing that a server writes there gets another library's exception through."""
    wire_server.answers(redirect(302, location))
    with pytest.raises(APIConnectionError, match="answered with headers that lead nowhere"):
        client.list_models()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("location", LOCATIONS)
def test_an_address_that_is_none_for_a_post(
    wire_server: WireServer, client: ChatServerClient, location: str, stream: bool
) -> None:
    """The same where it is not followed."""
    wire_server.answers(redirect(302, location))
    with pytest.raises((APIStatusError, APIConnectionError)):
        client.create_completion("m", "Hello", stream=stream)
