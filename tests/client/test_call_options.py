"""What a call may have otherwise: options, routes of one's own, answers as they came, keys that change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from chatserver_sdk import (
    APIConnectionError,
    BadRequestError,
    ChatServerClient,
    ChatServerError,
    ConfigurationError,
    NotFoundError,
    Timeout,
)
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    WireServer,
    completion,
    delta,
    event_stream,
    json_answer,
    plain_answer,
)

MODELS: dict[str, Any] = {"data": [{"id": "m"}]}

Call = Callable[..., Any]
CALLS: dict[str, Call] = {
    "list_models": lambda c, **o: c.list_models(**o),
    "create_completion": lambda c, **o: c.create_completion("m", "Hi", **o),
    "stream": lambda c, **o: list(c.create_completion("m", "Hi", stream=True, **o)),
    "list_sessions": lambda c, **o: c.list_sessions("u", **o),
    "get_session": lambda c, **o: c.get_session("s", user_id="u", **o),
    "get_platform_stats": lambda c, **o: c.get_platform_stats(**o),
    "list_admins": lambda c, **o: c.list_admins(**o),
    "add_admin": lambda c, **o: c.add_admin("w", "a@x.org", **o),
    "remove_admin": lambda c, **o: c.remove_admin("a@x.org", **o),
    "list_keys": lambda c, **o: c.list_keys(**o),
    "create_key": lambda c, **o: c.create_key("k", user_id="u", **o),
    "revoke_key": lambda c, **o: c.revoke_key("k", **o),
    "get_audit_log": lambda c, **o: c.get_audit_log(**o),
    "resume_stream": lambda c, **o: list(c.resume_stream("t:1", **o)),
    "iter_sessions": lambda c, **o: list(c.iter_sessions("u", **o)),
    "iter_audit_log": lambda c, **o: list(c.iter_audit_log(**o)),
    "request": lambda c, **o: c.request("GET", "/x", **o),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def refused(call: Call, client: ChatServerClient, **options: Any) -> ChatServerError:
    """What a call raises whose answer is an error."""
    with pytest.raises(ChatServerError) as caught:
        call(client, **options)
    return caught.value


@each_call
def test_every_call_takes_options(
    wire_server: WireServer, client: ChatServerClient, call: Call
) -> None:
    """Headers and a query of the caller's own join what is sent, and win."""
    wire_server.answers(json_answer(404, {}))
    headers = {"X-Mine": "yes", "accept": "application/x"}
    refused(call, client, extra_headers=headers, extra_query={"a": [1, 2], "b": None, "page": 9})
    (request,) = wire_server.requests
    assert request.headers["X-Mine"] == "yes"
    assert request.headers.get_all("Accept") == ["application/x"]
    query = request.path.partition("?")[2]
    assert "a=1&a=2" in query and "b=" not in query and query.count("page=") == 1


@each_call
def test_every_call_has_a_request_id(
    wire_server: WireServer, client: ChatServerClient, call: Call
) -> None:
    """It goes out, and stands in the error: the server's own where it has one."""
    wire_server.answers(
        json_answer(404, {}), json_answer(404, {}, {"X-Request-Id": "theirs"}), [Cut()]
    )
    error = refused(call, client)
    sent = wire_server.requests[0].headers["X-Request-Id"]
    assert len(sent) == 32 and error.request_id == sent and sent in str(error)
    assert refused(call, client).request_id == "theirs"
    lost = refused(call, client.with_options(extra_headers={"X-Request-Id": "mine"}))
    assert lost.request_id == "mine" and "(request id: mine)" in str(lost)


@each_call
def test_every_call_has_a_timeout(
    wire_server: WireServer, client: ChatServerClient, call: Call
) -> None:
    """A number, or a Timeout, for that call alone."""
    wire_server.answers([Pause(threading.Event())])
    assert "within 0.05 s" in str(refused(call, client, timeout=0.05))
    assert "longer than 0.05 s" in str(refused(call, client, timeout=Timeout(total=0.05)))


@each_call
def test_an_option_that_is_none(client: ChatServerClient, call: Call) -> None:
    """A typing error does not pass for an option."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'time_out'"):
        call(client, time_out=5)


WRONG: list[tuple[str, Any]] = [
    ("extra_headers", {"a b": "x"}),
    ("extra_headers", {"": "x"}),
    ("extra_headers", {"X-A": "secret\r\nX-B: y"}),
    ("extra_headers", {"X-A": "secret\x00"}),
    ("extra_headers", {"X-A": "sécret"}),
    ("extra_headers", {"X-A": 5}),
    ("extra_headers", {5: "x"}),
    ("extra_headers", ["X-A"]),
    ("extra_query", "a=b"),
    ("extra_query", {5: "x"}),
    ("extra_body", [1]),
    ("extra_body", {5: "x"}),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_options_that_cannot_be_sent(
    wire_server: WireServer, client: ChatServerClient, name: str, value: Any
) -> None:
    """They are refused before anything is sent, and not repeated."""
    options: Any = {name: value}
    with pytest.raises(BadRequestError) as caught:
        client.list_models(**options)
    assert caught.value.param == name and caught.value.response is None
    assert "secret" not in str(caught.value)
    assert wire_server.requests == []


def test_a_body_of_the_callers_own(wire_server: WireServer, client: ChatServerClient) -> None:
    """What a server knows beyond the protocol joins the body; it goes with no GET."""
    wire_server.answers(json_answer(200, completion("x")), json_answer(200, MODELS))
    mine = client.with_options(extra_body={"top_k": 5, "temperature": 0})
    mine.create_completion("m", "Hi", extra_body={"mine": {"a": [1]}})
    mine.list_models()
    body = wire_server.requests[0].json()
    assert (body["top_k"], body["temperature"], body["mine"]) == (5, 0, {"a": [1]})
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert wire_server.requests[1].body == b""


def test_a_client_made_of_another(wire_server: WireServer, client: ChatServerClient) -> None:
    """It has its own settings and the same connections, which closing it leaves open."""
    wire_server.answers(json_answer(200, MODELS))
    client.list_models()
    with client.with_options(extra_headers={"X-A": "1"}, extra_query={"q": "1"}) as other:
        assert other.session is client.session and other.base_url == client.base_url
        other.list_models()
        other.with_options(extra_headers={"X-B": "2"}).list_models(extra_headers={"x-a": "3"})
    client.list_models()
    assert {request.connection for request in wire_server.requests} == {0}
    said = [(r.headers["X-A"], r.headers["X-B"], r.path[-4:]) for r in wire_server.requests]
    plain = (None, None, "dels")
    assert said == [plain, ("1", None, "?q=1"), ("3", "2", "?q=1"), plain]


def test_closing_it_closes_its_streams(wire_server: WireServer, client: ChatServerClient) -> None:
    """And none of the others."""
    gate = threading.Event()
    wire_server.answers(event_stream(delta("Hel"), Pause(gate), delta("lo"), DONE))
    other = client.with_options(timeout=20)
    mine, its = (c.create_completion("m", "x", stream=True) for c in (client, other))
    assert (next(mine), next(its)) == ("Hel", "Hel")
    other.close()
    gate.set()
    assert list(mine) == ["lo"]
    with pytest.raises(ChatServerError):
        list(its)


def test_a_route_that_has_no_method(wire_server: WireServer, client: ChatServerClient) -> None:
    """request() sends what it is told and gives back what came."""
    headers = {"X-Request-Id": "r1", "X-Left": "7"}
    wire_server.answers(json_answer(201, {"a": 1}, headers), plain_answer(200, b"a;b\n\xff"))
    answer = client.request(
        "post", "/api/v1/nüws/a b%2Fc", query={"q": "ä&", "on": True}, body={"x": 1}
    )
    assert (answer.status_code, answer.json(), answer.request_id) == (201, {"a": 1}, "r1")
    assert answer.headers["x-left"] == "7" and answer.content == b'{"a": 1}'
    request = wire_server.requests[0]
    assert (request.method, request.json()) == ("POST", {"x": 1})
    assert request.path == "/api/v1/n%C3%BCws/a%20b%2Fc?q=%C3%A4%26&on=true"
    assert client.request("GET", "/x?a=1", query={"b": 2}).text == "a;b\n\ufffd"
    assert wire_server.requests[1].path == "/x?a=1&b=2"


@pytest.mark.parametrize("path", ["", "x", "//", "/a/../b", "/./a", "/a#b", "/a\nb", None, 5, b"/"])
def test_a_path_that_cannot_be(
    wire_server: WireServer, client: ChatServerClient, path: Any
) -> None:
    """It must begin with a slash and lead nowhere else."""
    if path == "//":
        wire_server.answers(json_answer(404, {}))
        with pytest.raises(NotFoundError):
            client.request("GET", path)
        assert wire_server.requests[0].path == "//"
        return
    with pytest.raises(BadRequestError) as caught:
        client.request("GET", path)
    assert caught.value.param == "path" and wire_server.requests == []


@pytest.mark.parametrize("method", ["", "G T", "GET\r\n", None, "GÉT"])
def test_a_method_that_cannot_be(
    wire_server: WireServer, client: ChatServerClient, method: Any
) -> None:
    """RFC 9110: a token."""
    with pytest.raises(BadRequestError) as caught:
        client.request(method, "/x")
    assert caught.value.param == "method" and wire_server.requests == []


def test_answers_as_they_came(wire_server: WireServer, client: ChatServerClient) -> None:
    """Every model of an answer has `raw`; what was built has none."""
    headers = {"X-Request-Id": "r1", "X-Ratelimit-Remaining": "5"}
    wire_server.answers(
        json_answer(200, completion("x"), headers), json_answer(200, MODELS, headers)
    )
    for answer in (client.create_completion("m", "Hi"), client.list_models()):
        raw = answer.raw
        assert raw is not None and raw.status_code == 200 and raw.request_id == "r1"
        assert raw.headers["x-ratelimit-remaining"] == "5" and raw.json()
        assert "raw" not in answer.to_dict() and "_raw" not in answer.to_dict()
        assert type(answer).from_dict(answer.to_dict()) == answer
        assert type(answer).from_dict(answer.to_dict()).raw is None


def test_streams_as_they_came(wire_server: WireServer, client: ChatServerClient) -> None:
    """Status and headers are there before the first event."""
    wire_server.answers(event_stream(delta("x"), DONE, headers={"X-Left": "5"}))
    with client.create_completion("m", "Hi", stream=True) as stream:
        assert stream.raw.status_code == 200 and stream.raw.headers["x-left"] == "5"
        assert stream.raw.request_id == wire_server.requests[0].headers["X-Request-Id"]
        assert stream.metadata["request_id"] == stream.raw.request_id


def test_a_key_that_changes(wire_server: WireServer) -> None:
    """A function is asked before each request, retries included."""
    keys = iter(["one", "two", " three "])
    wire_server.answers(
        json_answer(200, MODELS),
        json_answer(503, {}, {"Retry-After": "0"}),
        json_answer(200, MODELS),
    )
    with ChatServerClient(lambda: next(keys), wire_server.base_url) as client:
        client.list_models()
        client.list_models()
    said = [request.headers["Authorization"] for request in wire_server.requests]
    assert said == ["Bearer one", "Bearer two", "Bearer three"]


@pytest.mark.parametrize("made", ["a\nb", None, 5, b"key"])
def test_a_function_that_gives_no_key(wire_server: WireServer, made: Any) -> None:
    """What it gives is checked like a key, and not repeated."""
    with ChatServerClient(lambda: made, wire_server.base_url) as client:
        with pytest.raises(ConfigurationError, match="^api_key must be printable ASCII"):
            client.list_models()
    assert wire_server.requests == []


def test_a_function_that_fails(wire_server: WireServer) -> None:
    """Its failure is the cause; nothing is sent and nothing tried again."""

    def fetch() -> str:
        raise KeyError("vault")

    with ChatServerClient(fetch, wire_server.base_url) as client:
        with pytest.raises(ConfigurationError, match="failed with KeyError") as caught:
            client.create_completion("m", "Hi")
    assert isinstance(caught.value.__cause__, KeyError) and wire_server.requests == []


def test_a_gateway_in_front(wire_server: WireServer) -> None:
    """A path in the base URL stays in front of every route."""
    wire_server.answers(json_answer(200, MODELS))
    with ChatServerClient("k", f"{wire_server.base_url}/team%20a/chat/v1/") as client:
        client.list_models()
        client.request("GET", "/x")
    assert [r.path for r in wire_server.requests] == [
        "/team%20a/chat/v1/models",
        "/team%20a/chat/x",
    ]


def test_through_a_proxy(wire_server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used, with its password, and the session's wins."""
    wire_server.answers(json_answer(200, MODELS))
    address = wire_server.base_url.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://me:secret@{address}")
    with ChatServerClient("k", "http://chat.example") as client:
        client.list_models()
        client.list_models()
    assert [r.path for r in wire_server.requests] == ["http://chat.example/v1/models"] * 2
    assert wire_server.requests[0].headers["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"
    assert wire_server.requests[0].headers["Authorization"] == "Bearer k"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ChatServerClient("k", "http://chat.example") as client:
        client.session.proxies["http"] = wire_server.base_url
        client.session.trust_env = False
        client.list_models()
    assert len(wire_server.requests) == 3


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password is in no sentence and no traceback."""
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    with ChatServerClient("k", "http://chat.example", max_retries=0) as client:
        with pytest.raises(APIConnectionError) as caught:
            client.list_models()
    assert "secret" not in f"{caught.value} {caught.value.__cause__!r}"


def test_a_session_with_ways_of_its_own(wire_server: WireServer) -> None:
    """Parameters, authentication, hooks and cookies of a caller's session are honoured."""
    seen: list[int] = []
    wire_server.answers(json_answer(200, MODELS, {"Set-Cookie": "a=b; Path=/"}))
    with requests.Session() as session:
        session.params = {"tenant": "t1"}
        session.auth = ("me", "secret")
        session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
        with ChatServerClient(base_url=wire_server.base_url, session=session) as client:
            client.list_models()
            client.list_models()
        with ChatServerClient("k", wire_server.base_url, session=session) as client:
            client.list_models()
    first, second, third = wire_server.requests
    assert first.path == "/v1/models?tenant=t1"
    assert first.headers["Authorization"] == "Basic bWU6c2VjcmV0"
    assert second.headers["Cookie"] == "a=b"
    assert third.headers["Authorization"] == "Bearer k"
    assert seen == [200, 200, 200]


def test_cookies_of_a_load_balancer(wire_server: WireServer, client: ChatServerClient) -> None:
    """A server that wants to see its visitors again does."""
    wire_server.answers(json_answer(200, MODELS, {"Set-Cookie": "node=7; Path=/"}))
    client.list_models()
    client.create_completion("m", "Hi", stream=True).close()
    assert [r.headers["Cookie"] for r in wire_server.requests] == [None, "node=7"]


def test_a_password_in_the_base_url(wire_server: WireServer) -> None:
    """It is sent as HTTP's own authentication, unless there is a key."""
    wire_server.answers(json_answer(200, MODELS))
    url = wire_server.base_url.replace("http://", "http://me:secret@")
    for key, sent in ((None, "Basic bWU6c2VjcmV0"), ("k", "Bearer k")):
        with ChatServerClient(key, url) as client:
            client.list_models()
        assert wire_server.requests[-1].headers["Authorization"] == sent


@pytest.mark.parametrize("session", [5, "x", requests])
def test_what_is_no_session(session: Any) -> None:
    """It is refused when the client is made."""
    with pytest.raises(ConfigurationError, match="^session must be a requests session"):
        ChatServerClient(session=session)
