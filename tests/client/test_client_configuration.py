"""The constructor: the environment, base URLs, time-outs, sessions of the caller's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import requests
import responses

import chatserver_sdk
from chatserver_sdk import ChatServerClient, ConfigurationError, create_client
from chatserver_sdk._transport import DEFAULT_TIMEOUT, Timeout
from chatserver_sdk.testing import WireServer, json_answer

NO_MODELS: dict[str, Any] = {"data": []}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://localhost:3284", "http://localhost:3284"),
        ("http://localhost:3284/", "http://localhost:3284"),
        ("http://localhost:3284//", "http://localhost:3284"),
        ("http://localhost:3284/v1", "http://localhost:3284"),
        ("http://localhost:3284/v1/", "http://localhost:3284"),
        (" http://localhost:3284\n", "http://localhost:3284"),
        ("https://x.org/chat", "https://x.org/chat"),
        ("https://x.org/chat/v1/", "https://x.org/chat"),
        ("https://x.org/v1/chat", "https://x.org/v1/chat"),
        ("https://x.org/apiv1", "https://x.org/apiv1"),
        ("HTTP://x.org", "HTTP://x.org"),
        ("http://[::1]:3284", "http://[::1]:3284"),
        ("http://münchen.de", "http://münchen.de"),
    ],
)
def test_forms_of_a_base_url(given: str, used: str) -> None:
    """A trailing slash or /v1 is fine, and a path in front of it stays."""
    with ChatServerClient(base_url=given) as client:
        assert client.base_url == used
        assert repr(client) == f"<ChatServerClient {used}>"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost",
        "localhost:3284",
        "/v1",
        "ftp://x.org",
        "http://",
        "http://:3284",
        "http://x.org:0",
        "http://x.org:99999",
        "http://x.org:port",
        "http://[::1",
        "http://x.org?a=b",
        "http://x.org/#top",
        "http://x y.org",
        "http://x\x00y.org",
        "http://x.org/a\nb",
        "http://a..b",
        "http://.org",
        "http://*.org",
        "http://" + "x" * 64 + ".org",
    ],
)
def test_what_is_no_base_url(given: str) -> None:
    """It is refused when the client is made, not when it is first used."""
    with pytest.raises(ConfigurationError, match="^base_url must look like http"):
        ChatServerClient(base_url=given)
    with pytest.raises(ValueError):
        ChatServerClient(base_url=given)


@pytest.mark.parametrize("given", [None, 5, b"http://x.org"])
def test_a_base_url_of_another_type(given: Any) -> None:
    """The message names the type."""
    with pytest.raises(ConfigurationError, match=f"not {type(given).__name__}$"):
        ChatServerClient(base_url=given)


@pytest.mark.parametrize(
    "given", ["http://me:secret@x.org", "me:secret@x.org", "http://me:secret@x.org?a=b"]
)
def test_a_password_in_a_base_url_is_not_shown(given: str) -> None:
    """Neither in a repr nor in a refusal."""
    try:
        with ChatServerClient(base_url=given) as client:
            shown = repr(client)
    except ConfigurationError as exc:
        shown = str(exc)
    assert "x.org" in shown and "secret" not in shown


@responses.activate
def test_the_documented_defaults() -> None:
    """http://localhost:3284, no key, 30 seconds."""
    answer = responses.get("http://localhost:3284/v1/models", json=NO_MODELS)
    with ChatServerClient() as client:
        client.list_models()
    (call,) = answer.calls
    assert "Authorization" not in call.request.headers
    assert Timeout.of(DEFAULT_TIMEOUT) == Timeout(connect=10, read=30, idle=300)


@responses.activate
def test_key_and_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both variables fill in what the constructor is not given."""
    monkeypatch.setenv("CHATSERVER_API_KEY", "from-outside")
    monkeypatch.setenv("CHATSERVER_BASE_URL", "http://outside.example/v1/")
    answer = responses.get("http://outside.example/v1/models", json=NO_MODELS)
    with ChatServerClient() as client:
        client.list_models()
    (call,) = answer.calls
    assert call.request.headers["Authorization"] == "Bearer from-outside"


@responses.activate
def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default written out is an argument too, and an empty key is none."""
    monkeypatch.setenv("CHATSERVER_API_KEY", "from-outside")
    monkeypatch.setenv("CHATSERVER_BASE_URL", "http://outside.example")
    answer = responses.get("http://localhost:3284/v1/models", json=NO_MODELS)
    for key, sent in (("mine", "Bearer mine"), (" mine ", "Bearer mine"), ("", None)):
        with ChatServerClient(key, base_url="http://localhost:3284") as client:
            client.list_models()
        assert answer.calls[-1].request.headers.get("Authorization") == sent


@responses.activate
def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is not set."""
    monkeypatch.setenv("CHATSERVER_API_KEY", "")
    monkeypatch.setenv("CHATSERVER_BASE_URL", "")
    answer = responses.get("http://localhost:3284/v1/models", json=NO_MODELS)
    with create_client() as client:
        client.list_models()
    assert "Authorization" not in answer.calls[0].request.headers


def test_a_wrong_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is checked like the argument."""
    monkeypatch.setenv("CHATSERVER_BASE_URL", "outside")
    with pytest.raises(ConfigurationError, match="not 'outside'"):
        ChatServerClient()


@pytest.mark.parametrize("key", ["a\nb", "a\r\nX: y", "schlüssel", "a\x00b", "key\n", b"key", 5])
def test_what_is_no_key(key: Any) -> None:
    """What no header can hold is refused without being repeated."""
    with pytest.raises(ConfigurationError) as caught:
        ChatServerClient(key)
    assert caught.value.message == "api_key must be printable ASCII text, without line ends"


@pytest.mark.parametrize(
    ("timeout", "limits"),
    [
        (30, Timeout(10, 30, 30)),
        (30.0, Timeout(10, 30, 30)),
        (0.5, Timeout(0.5, 0.5, 0.5)),
        (600, Timeout(10, 600, 600)),
        (10**9, Timeout(10, 2_000_000, 2_000_000)),
        (10**400, Timeout(10, 2_000_000, 2_000_000)),
        (None, Timeout(None, None, None)),
        (DEFAULT_TIMEOUT, Timeout(10, 30, 300)),
    ],
)
def test_what_a_timeout_stands_for(timeout: float | None, limits: Timeout) -> None:
    """Connecting takes at most 10 of them, a stream left alone may be silent for 300."""
    assert Timeout.of(timeout) == limits


@pytest.mark.parametrize("timeout", [None, 10**9, 1e300])
def test_long_timeouts_work(wire_server: WireServer, timeout: float | None) -> None:
    """Also those that are longer than an operating system can wait."""
    wire_server.answers(json_answer(200, NO_MODELS))
    with ChatServerClient(base_url=wire_server.base_url, timeout=timeout) as client:
        assert client.list_models().data == []


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, -math.inf, "30", True, (1, 2)])
def test_what_is_no_timeout(timeout: Any) -> None:
    """Seconds are a positive number."""
    with pytest.raises(ConfigurationError, match="^timeout must be a"):
        ChatServerClient(timeout=timeout)


def test_a_session_of_the_callers_own(wire_server: WireServer) -> None:
    """It is used, and it is not closed with the client."""
    wire_server.answers(json_answer(200, NO_MODELS))
    with requests.Session() as session:
        session.headers["X-Mine"] = "yes"
        for _ in range(2):
            with ChatServerClient("k", wire_server.base_url, session=session) as client:
                assert client.session is session
                client.list_models()
    first, second = wire_server.requests
    assert first.headers["X-Mine"] == "yes"
    assert first.connection == second.connection == 0


def test_a_client_may_be_used_after_close(wire_server: WireServer) -> None:
    """Closing gives the connections back; a later call opens one again."""
    wire_server.answers(json_answer(200, NO_MODELS))
    with create_client("k", wire_server.base_url, 30) as client:
        client.list_models()
        client.close()
        client.list_models()
    assert [request.connection for request in wire_server.requests] == [0, 1]


def test_passwords_of_netrc_do_not_replace_the_key(
    wire_server: WireServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """requests would send what ~/.netrc has for the host in place of the session's header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    wire_server.answers(json_answer(200, NO_MODELS))
    with ChatServerClient("k", wire_server.base_url) as client:
        client.list_models()
    assert wire_server.requests[0].headers["Authorization"] == "Bearer k"


def test_the_version_is_sent(wire_server: WireServer, client: ChatServerClient) -> None:
    """Whoever runs a server can see which clients it has."""
    wire_server.answers(json_answer(200, NO_MODELS))
    client.list_models()
    agent = wire_server.requests[0].headers["User-Agent"]
    assert agent.startswith(f"chatserver-sdk/{chatserver_sdk.__version__} python/3.")
