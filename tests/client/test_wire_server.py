"""The server of raw bytes does what its scripts say, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from chatserver_sdk import testing
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Script,
    Step,
    UntilHangup,
    WireServer,
    chunked,
    close_delimited,
    completion,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
    plain_answer,
    sized,
)
from chatserver_sdk.testing.answers import Framing


@contextmanager
def connected(server: WireServer) -> Iterator[http.client.HTTPConnection]:
    """A connection of the standard library's client."""
    parts = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def get(connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, bytes]:
    """Status and body of a GET."""
    connection.request("GET", path)
    with connection.getresponse() as response:
        return response.status, response.read()


def test_requests_are_recorded_as_they_came(wire_server: WireServer) -> None:
    """Method, path with query, headers in any case, body, and the connection's number."""
    wire_server.answers(json_answer(201, {"a": 1}, {"X-Session-Id": "s1"}))
    with connected(wire_server) as connection:
        connection.request("POST", "/a%2Fb?c=d", body=b'{"x": "\xc3\xa4"}', headers={"X-Y": "z"})
        with connection.getresponse() as response:
            assert (response.status, response.reason) == (201, "Created")
            assert response.headers["X-Session-Id"] == "s1"
            assert json.load(response) == {"a": 1}

    (request,) = wire_server.requests
    assert (request.method, request.path, request.connection) == ("POST", "/a%2Fb?c=d", 0)
    assert request.headers["x-y"] == "z"
    assert request.json() == {"x": "ä"}


def test_one_script_a_request_and_the_last_one_again(wire_server: WireServer) -> None:
    """Scripts are used in their order over one connection; the last one stays."""
    wire_server.answers(plain_answer(200, b"1"), plain_answer(200, b"2"))
    with connected(wire_server) as connection:
        assert [get(connection)[1] for _ in range(3)] == [b"1", b"2", b"2"]
        wire_server.answers(iter(plain_answer(200, b"3")))
        assert [get(connection)[1] for _ in range(2)] == [b"3", b"3"]
    assert {request.connection for request in wire_server.requests} == {0}


def test_a_request_without_a_script(wire_server: WireServer) -> None:
    """A test that forgot its script is told so."""
    with connected(wire_server) as connection:
        status, body = get(connection)
    assert status == 500 and b"no answer for this request" in body


def test_connections_are_counted_and_served_side_by_side(wire_server: WireServer) -> None:
    """A connection that waits does not keep another one from its answer."""
    gate = threading.Event()
    wire_server.answers(sized(b"so", Pause(gate), b"on"), plain_answer(200, b"now"))
    with connected(wire_server) as first, connected(wire_server) as second:
        first.request("GET", "/first")
        with first.getresponse() as response:
            assert response.read(2) == b"so"
            assert get(second, "/second") == (200, b"now")
            gate.set()
            assert response.read() == b"on"
    assert [(r.path, r.connection) for r in wire_server.requests] == [("/first", 0), ("/second", 1)]


@pytest.mark.parametrize("framing", ["chunked", "close_delimited", "sized"])
def test_every_framing_carries_the_same_body(wire_server: WireServer, framing: Framing) -> None:
    """The three ways in which HTTP says where a body ends."""
    pieces: list[Step] = [delta("Hel"), b"", Pause(0), delta("lo"), finished(), DONE]
    wire_server.answers(event_stream(*pieces, framing=framing, headers={"X-A": "b"}))
    with connected(wire_server) as connection:
        connection.request("GET", "/")
        with connection.getresponse() as response:
            assert response.read() == b"".join(p for p in pieces if isinstance(p, bytes))
            assert response.headers["Content-Type"] == "text/event-stream"
            assert (response.headers["X-Session-Id"], response.headers["X-A"]) == ("s1", "b")


@pytest.mark.parametrize("write", [chunked, close_delimited, sized])
def test_headers_replace_the_defaults_in_any_case(write: Callable[..., Any]) -> None:
    """A test may lie about the length or the type."""
    head = write(b"x", headers={"content-type": "a/b", "CONTENT-LENGTH": "7"}, status=418)[0]
    assert head.startswith(b"HTTP/1.1 418 I'm a Teapot\r\n")
    assert head.lower().count(b"content-type:") == 1 and b"content-type: a/b" in head
    assert head.lower().count(b"content-length:") == 1


def test_odd_statuses_and_streams_without_a_fingerprint() -> None:
    """A status that nobody has named, and a server that names no session."""
    (head,) = plain_answer(799, b"")
    assert isinstance(head, bytes) and head.startswith(b"HTTP/1.1 799 Whatever\r\n")
    assert "X-Session-Id" not in str(event_stream(fingerprint=None))


def test_events_are_written_as_servers_write_them() -> None:
    """Chunks of a completion, events of any kind, whole completions."""
    head = 'data: {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, '
    assert delta("ä", id="t1:1").decode() == (
        "id: t1:1\n" + head + '"model": "m", "system_fingerprint": "s1", "choices": '
        '[{"index": 0, "delta": {"content": "\\u00e4"}, "finish_reason": null}]}\n\n'
    )
    assert b'"delta": {}, "finish_reason": "length"' in finished("length", usage={})
    assert event("x", name="error") == b"event: error\ndata: x\n\n"
    assert completion("Hi", model="x")["model"] == "x"
    assert completion("Hi")["choices"][0]["message"] == {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_ends_the_connection(wire_server: WireServer, reset: bool) -> None:
    """In order, so that the bytes before it arrive, or as if the machine had died."""
    gate = threading.Event()
    wire_server.answers(sized(b"half", Pause(gate), Cut(reset), headers={"Content-Length": "9"}))
    with connected(wire_server) as connection:
        connection.request("GET", "/")
        with connection.getresponse() as response:
            assert response.read(4) == b"half"
            gate.set()
            with pytest.raises(ConnectionResetError if reset else http.client.IncompleteRead):
                response.read()


@pytest.mark.parametrize("script", [b"HTTP/1.1 204 No Content\r\n\r\n", [Cut()], [], b""])
def test_bytes_alone_and_nothing_at_all_are_scripts(
    wire_server: WireServer, script: Script
) -> None:
    """Whatever is written is sent; a server may also hang up or stay silent."""
    wire_server.answers(script, plain_answer(200, b"x"))
    with connected(wire_server) as connection:
        connection.request("GET", "/")
        if script in ([], b""):
            connection.close()
        elif isinstance(script, bytes):
            assert connection.getresponse().status == 204
        else:
            with pytest.raises(http.client.RemoteDisconnected):
                connection.getresponse()


@pytest.mark.parametrize("unread", [b"", b"never read"])
def test_it_sees_the_client_hang_up(wire_server: WireServer, unread: bytes) -> None:
    """UntilHangup waits for the client's close, whatever it sends before and however it closes."""
    seen = threading.Event()
    wire_server.answers(sized(b"x", unread, UntilHangup(seen), headers={"Content-Length": "99"}))
    with connected(wire_server) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read(1) == b"x"
        connection.sock.sendall(b"GET /too-soon HTTP/1.1\r\n\r\n")
        assert not seen.is_set()
    assert seen.wait(30)


def test_closing_ends_every_wait() -> None:
    """A server that is closed leaves no thread behind, whatever its scripts wait for."""
    before = set(threading.enumerate())
    gate, seen = threading.Event(), threading.Event()
    with WireServer() as server, connected(server) as one, connected(server) as two:
        with connected(server) as three, connected(server) as idle:
            idle.connect()
            server.answers(sized(b"x", Pause(gate)), sized(b"x", UntilHangup(seen)))
            server.answers(sized(b"x", Pause(10_000)))
            for connection in (one, two, three):
                connection.request("GET", "/")
                connection.getresponse().read(1)
            server.close()
            server.close()
    assert set(threading.enumerate()) <= before
    assert gate.is_set() and not seen.is_set()


def test_a_wait_that_begins_when_it_is_closed_ends_at_once() -> None:
    """Closing and waiting may happen at the same moment."""
    first, second = threading.Event(), threading.Event()
    with WireServer() as server, connected(server) as connection:
        server.answers(sized(b"x", Pause(first), Pause(second)))
        connection.request("GET", "/")
        assert connection.getresponse().read(1) == b"x"
        server.close()
    assert first.is_set() and second.is_set()


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET"]
)
def test_a_client_that_speaks_no_http(wire_server: WireServer, sent: bytes) -> None:
    """It ends its own connection; the next one is served."""
    wire_server.answers(plain_answer(200, b"x"))
    parts = urlsplit(wire_server.base_url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    with connected(wire_server) as connection:
        assert get(connection) == (200, b"x")


def test_it_says_where_it_is(wire_server: WireServer) -> None:
    """base_url and repr."""
    assert wire_server.base_url.startswith("http://127.0.0.1:")
    assert repr(wire_server) == f"<WireServer {wire_server.base_url}>"


def test_the_package_names_what_it_has() -> None:
    """Names are loaded when they are used."""
    assert dir(testing) == testing.__all__ == sorted(testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        testing.Nothing  # noqa: B018
