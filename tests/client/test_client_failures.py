"""Whatever goes wrong between the caller and the server is one of our exceptions."""

from __future__ import annotations

import gc
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import responses
import urllib3

from chatserver_sdk import (
    UnauthorizedError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ChatServerClient,
    ChatServerError,
    ConfigurationError,
    DecodeError,
    RateLimitError,
    TransportError,
    UnprocessableEntityError,
)
from chatserver_sdk.exceptions import class_for_status
from chatserver_sdk.testing import (
    Cut,
    Pause,
    Script,
    WireServer,
    completion,
    json_answer,
    plain_answer,
    sized,
)

Call = Callable[[ChatServerClient], Any]
CALLS: dict[str, Call] = {
    "get": lambda client: client.list_models(),
    "post": lambda client: client.create_completion("m", "Hello"),
    "stream": lambda client: client.create_completion("m", "Hello", stream=True),
    "delete": lambda client: client.remove_admin("a@x.org"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The URL of a port where nobody listens and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def full_port() -> Iterator[str]:
    """The URL of a server that is too busy to take a connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"
        for sock in waiting:
            sock.close()


@each_call
def test_a_server_that_is_not_there(closed_port: str, call: Call) -> None:
    """The sentence says where and why; nothing of requests gets through."""
    with ChatServerClient("k", closed_port) as client:
        with pytest.raises(APIConnectionError) as caught:
            call(client)
    assert caught.value.message == (
        f"the server at {closed_port} could not be reached: Connection refused"
    )
    assert isinstance(caught.value, (TransportError, ConnectionError))
    assert isinstance(caught.value.__cause__, requests.ConnectionError)
    assert caught.value.status_code is None and caught.value.response is None


def test_a_name_that_does_not_exist() -> None:
    """RFC 6761 keeps .invalid free of hosts."""
    with ChatServerClient("k", "http://nowhere.invalid") as client:
        with pytest.raises(APIConnectionError, match="^the server at http://nowhere.invalid could"):
            client.list_models()


@each_call
def test_a_server_that_takes_no_connection(full_port: str, call: Call) -> None:
    """Time ran out while connecting."""
    with ChatServerClient("k", full_port, timeout=0.05) as client:
        with pytest.raises(APITimeoutError, match=r"could not be reached within 0\.05 s") as caught:
            call(client)
    assert caught.value.kind == "connect" and isinstance(caught.value, TimeoutError)


@each_call
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: te"])
def test_a_server_that_does_not_answer(wire_server: WireServer, call: Call, said: bytes) -> None:
    """Time ran out while waiting for the answer."""
    wire_server.answers([said, Pause(threading.Event())])
    with ChatServerClient("k", wire_server.base_url, timeout=0.05) as client:
        with pytest.raises(APITimeoutError, match=r"did not answer within 0\.05 s") as caught:
            call(client)
    expected = "idle" if call is CALLS["stream"] else "read"
    assert caught.value.kind == expected and isinstance(caught.value, TransportError)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("name", ["get", "post", "delete"])
def test_a_server_that_stops_in_the_body(wire_server: WireServer, name: str, status: int) -> None:
    """A body that does not come is an answer that does not come."""
    half = sized(b'{"da', Pause(threading.Event()), b'ta": []}', status=status)
    wire_server.answers(half)
    with ChatServerClient("k", wire_server.base_url, timeout=0.05) as client:
        with pytest.raises(APITimeoutError, match=r"did not answer within 0\.05 s") as caught:
            CALLS[name](client)
    assert caught.value.kind == "read"


def test_a_stream_that_is_refused_slowly(wire_server: WireServer) -> None:
    """The body of a refusal has its time as well."""
    wire_server.answers(sized(b'{"er', Pause(threading.Event()), b'ror": ""}', status=404))
    with ChatServerClient("k", wire_server.base_url, timeout=0.05) as client:
        with pytest.raises(APITimeoutError, match=r"did not answer within 0\.05 s") as caught:
            CALLS["stream"](client)
    assert isinstance(caught.value.__cause__, urllib3.exceptions.ReadTimeoutError)


@each_call
@pytest.mark.parametrize("reset", [False, True])
def test_a_server_that_hangs_up(wire_server: WireServer, call: Call, reset: bool) -> None:
    """No answer came, and the connection is gone."""
    wire_server.answers([Cut(reset)])
    with ChatServerClient("k", wire_server.base_url) as client:
        with pytest.raises(APIConnectionError, match="hung up before it answered"):
            call(client)


@pytest.mark.parametrize("name", ["get", "post", "delete"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_is_cut(
    wire_server: WireServer, client: ChatServerClient, name: str, status: int
) -> None:
    """Half a body is not taken for a whole one, wherever it is cut."""
    whole = b'{"data": []}'
    for end in range(len(whole)):
        headers = {"Content-Length": str(len(whole))}
        wire_server.answers(sized(whole[:end], Cut(), headers=headers, status=status))
        with pytest.raises(APIConnectionError, match="broke the answer off"):
            CALLS[name](client)


NO_HTTP: list[Script] = [
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
]


@each_call
@pytest.mark.parametrize("script", NO_HTTP, ids=["ssh", "status", "headers", "header"])
def test_an_answer_that_is_no_http(
    wire_server: WireServer, client: ChatServerClient, call: Call, script: Script
) -> None:
    """Something else listens there."""
    wire_server.answers(script)
    with pytest.raises(APIConnectionError, match="did not answer in HTTP"):
        call(client)


# urllib3 leaves the socket of such an answer to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@each_call
def test_an_answer_of_two_lengths(
    wire_server: WireServer, client: ChatServerClient, call: Call
) -> None:
    """Headers that contradict themselves are the server's fault, not the configuration's."""
    wire_server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n{}")
    with pytest.raises(APIConnectionError, match="answered with headers that lead nowhere"):
        call(client)
    gc.collect()


@pytest.mark.parametrize("name", ["get", "post", "delete"])
def test_a_body_that_cannot_be_unpacked(
    wire_server: WireServer, client: ChatServerClient, name: str
) -> None:
    """It says gzip and is none."""
    wire_server.answers(plain_answer(200, b"{}", {"Content-Encoding": "gzip"}))
    with pytest.raises(APIConnectionError, match="broke the answer off"):
        CALLS[name](client)


@each_call
@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_its_exception(
    wire_server: WireServer, client: ChatServerClient, call: Call, status: int
) -> None:
    """The class is the status's; everything that the server said is there."""
    body = {"error": {"message": "No such thing", "type": "t", "param": "p", "code": "c"}}
    headers = {"X-Request-Id": "r1", "Retry-After": "7"}
    wire_server.answers(json_answer(status, body, headers))

    with pytest.raises(APIStatusError) as caught:
        call(client)

    error = caught.value
    assert type(error) is class_for_status(status)
    assert str(error) == "No such thing (field: p, request id: r1)"
    assert (error.status_code, error.code, error.type, error.param) == (status, "c", "t", "p")
    assert (error.request_id, error.retry_after, error.body) == ("r1", 7.0, body)
    assert error.response is not None and error.response.json() == body
    assert error.response.status_code == status
    assert error.response.headers["X-Request-Id"] == "r1"


def test_a_validation_error(wire_server: WireServer, client: ChatServerClient) -> None:
    """FastAPI's list becomes a sentence; the error is a BadRequestError too."""
    problem = {"type": "x", "loc": ["body", "max_tokens"], "msg": "Input should be less"}
    wire_server.answers(json_answer(422, {"detail": [problem]}))
    with pytest.raises(UnprocessableEntityError) as caught:
        client.create_completion("m", "Hello", max_tokens=5000)
    assert isinstance(caught.value, BadRequestError)
    assert caught.value.message == "max_tokens: Input should be less"
    assert (caught.value.param, caught.value.errors) == ("max_tokens", [problem])


@responses.activate
def test_the_page_of_a_proxy() -> None:
    """HTML is a message too."""
    page = "<html><head><title>502 Bad Gateway</title></head><body>...</body></html>"
    responses.get("http://localhost:3284/v1/models", status=502, body=page)
    with ChatServerClient("k") as client, pytest.raises(ChatServerError) as caught:
        client.list_models()
    assert caught.value.message == "502 Bad Gateway"
    assert caught.value.response is not None and caught.value.response.text == page


@pytest.mark.parametrize(
    "content",
    [b"", b"<html></html>", b"{", b"\xff", b"data: [DONE]\n\n", b"[" * 100_000, b"9" * 5000],
    ids=["empty", "html", "half", "bytes", "events", "deep", "long"],
)
@pytest.mark.parametrize("name", ["get", "post", "delete"])
def test_a_success_that_is_not_json(
    wire_server: WireServer, client: ChatServerClient, name: str, content: bytes
) -> None:
    """The server said success and sent something else; what it sent is kept."""
    wire_server.answers(plain_answer(200, content, {"X-Request-Id": "r1"}))
    with pytest.raises(DecodeError, match="the server's answer is not JSON") as caught:
        CALLS[name](client)
    assert caught.value.status_code == 200
    assert caught.value.response is not None and caught.value.response.content == content


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("get", [], "ModelsResponse: expected an object, got a list"),
        ("get", {}, "ModelsResponse.data: is missing"),
        ("get", {"data": [{}]}, "ModelInfo.id: is missing"),
        ("post", {}, "the server's answer is not a completion: it has no list of choices"),
        ("post", [], "the server's answer is not a completion: it has no list of choices"),
        ("post", {"choices": [5]}, "ChatCompletionChoice: expected an object, got an integer"),
        ("delete", {}, "AdminResponse.status: is missing"),
    ],
)
def test_a_success_that_is_something_else(
    wire_server: WireServer, client: ChatServerClient, name: str, body: Any, said: str
) -> None:
    """The message names the class and the field."""
    wire_server.answers(json_answer(200, body))
    with pytest.raises(DecodeError) as caught:
        CALLS[name](client)
    assert caught.value.message == said


def test_an_error_that_says_success(wire_server: WireServer, client: ChatServerClient) -> None:
    """Status 200 and an error inside: the caller gets the error."""
    wire_server.answers(json_answer(200, {"error": {"message": "Slow down", "code": 429}}))
    with pytest.raises(RateLimitError, match="^Slow down"):
        client.create_completion("m", "Hello")


def test_an_answer_without_an_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """No choices are no reason to fail: `if response.choices` is documented."""
    wire_server.answers(json_answer(200, completion("", choices=[], usage=None)))
    answer = client.create_completion("m", "Hello")
    assert answer.choices == [] and answer.usage.total_tokens == 0


def test_a_connection_that_died_in_the_pool(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """A server may close a connection that it kept open; the next call opens another one."""
    wire_server.answers(
        [*json_answer(200, {"data": []}), Cut()],
        json_answer(200, {"data": [{"id": "m"}]}),
    )
    client.list_models()
    adapter: Any = client.session.get_adapter(client.base_url)
    pools = adapter.poolmanager.pools
    (pool,) = [pools[key] for key in pools.keys()]
    (sock,) = [connection.sock for connection in pool.pool.queue if connection]
    select.select([sock], [], [])  # until the end of the connection has come
    assert client.list_models().data[0].id == "m"
    assert [request.connection for request in wire_server.requests] == [0, 1]


def test_a_proxy_that_is_none(
    wire_server: WireServer, client: ChatServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong HTTP_PROXY is a fault of the environment."""
    monkeypatch.setenv("HTTP_PROXY", "http://:80")
    where = f"^the proxy for the server at {wire_server.base_url}"
    with pytest.raises(ConfigurationError, match=f"{where}.* cannot be used"):
        client.list_models()


def test_a_header_that_is_none(wire_server: WireServer) -> None:
    """So is a header of the caller's own session that no request can hold."""
    with requests.Session() as session, pytest.raises(ConfigurationError) as caught:
        session.headers["X-Mine"] = "secret\r\nX: y"
        ChatServerClient("k", wire_server.base_url, session=session).list_models()
    assert "secret" not in str(caught.value)


class FailingAdapter(requests.adapters.BaseAdapter):
    """An adapter of the caller's own that fails in a way of its own."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self._failure = failure

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        raise self._failure

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (requests.ConnectionError(), "could not be reached"),
        (requests.ConnectionError("no route"), "could not be reached"),
        (requests.ConnectionError(OSError(113, "No route to host")), "reached: No route to host"),
        (requests.exceptions.ChunkedEncodingError("again"), "broke the answer off"),
        (requests.exceptions.RetryError("again"), "could not be reached"),
    ],
)
def test_failures_of_a_kind_of_their_own(failure: Exception, said: str) -> None:
    """Adapters of other people raise what they like of requests' exceptions."""
    with requests.Session() as session:
        session.mount("http://", FailingAdapter(failure))
        with pytest.raises(APIConnectionError, match=said):
            ChatServerClient("k", session=session, max_retries=0).list_models()


def test_a_stream_that_is_no_stream(wire_server: WireServer, client: ChatServerClient) -> None:
    """Refusals of a stream are raised by the call, before anything is read."""
    wire_server.answers(json_answer(404, {"detail": "No such model"}))
    with pytest.raises(APIStatusError, match="^No such model"):
        client.create_completion("m", "Hello", stream=True)


@pytest.mark.parametrize("call", [lambda c: c.get_platform_stats(), lambda c: c.list_models()])
def test_an_error_with_status_200(
    wire_server: WireServer, client: ChatServerClient, call: Callable[[ChatServerClient], object]
) -> None:
    """An error body is an error whatever the status line says, and never a row of zeros."""
    body = {"error": {"message": "nope", "code": "invalid_api_key"}}
    wire_server.answers(json_answer(200, body, {"X-Request-Id": "r1"}))
    with pytest.raises(UnauthorizedError, match="nope") as caught:
        call(client)
    assert caught.value.request_id == "r1"
    assert caught.value.response is not None and caught.value.response.status_code == 200
