"""Requests that come slowly, or with too much: each is refused in the one shape, none hangs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from server_wire import COMPLETIONS, Api, connected, serving


@pytest.fixture(scope="module")
def bounded() -> Iterator[Api]:
    """A server that waits for nobody."""
    with serving(
        head_timeout=0.2, body_timeout=0.2, max_head_bytes=2048, max_body_bytes=10**6
    ) as api:
        yield api


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and error of what comes until the connection is closed."""
    with connection.makefile("rb") as reading:
        content = reading.read()
    head, _, body = content.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert headers["connection"] == "close"
    return int(first.split()[1]), headers, json.loads(body)["error"]


@pytest.mark.parametrize(
    "start", [b"", b"G", b"GET / HTTP/1.1\r\nHos", b"GET / HTTP/1.1\r\na: b\r\n"]
)
def test_a_head_that_does_not_come(bounded: Api, start: bytes) -> None:
    """Whoever connects and says too little is 408 after the time, however much it was."""
    with connected(bounded.base_url) as connection:
        connection.sendall(start)
        status, _, error = answer_of(connection)
    assert status == 408 and "did not come in time" in error["message"]
    assert error["code"] == "request_timeout"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 3000,
        b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3000,
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 1500 + b"\r\n",
    ],
)
def test_a_head_that_is_too_long(bounded: Api, head: bytes) -> None:
    """It is 431, whether it ends or not."""
    with connected(bounded.base_url) as connection:
        connection.sendall(head)
        status, _, error = answer_of(connection)
    assert status == 431 and error["code"] == "head_too_large"


def test_what_is_no_http(bounded: Api) -> None:
    """It is 400 in the same shape."""
    with connected(bounded.base_url) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        status, headers, error = answer_of(connection)
    assert status == 400 and error["message"] and headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", [COMPLETIONS, "/api/v1/platform/admins"])
def test_a_body_that_does_not_come(bounded: Api, path: str) -> None:
    """Half a body is 408 after the time, and the connection is closed."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {bounded.key}"]
    lines += ["Content-Type: application/json", "Content-Length: 100", "", '{"model":']
    with connected(bounded.base_url) as connection:
        connection.sendall("\r\n".join(lines).encode())
        status, _, error = answer_of(connection)
    assert status == 408 and error["code"] == "request_timeout"


def test_an_answer_may_take_longer(bounded: Api) -> None:
    """The bounds are the request's: an answer that takes its time comes whole, streamed or not."""
    for stream in (False, True):
        answer = bounded.ask("a b c", stream=stream, metadata={"variables": {"delay": 0.25}})
        assert answer.status_code == 200 and (not stream or answer.text.endswith("[DONE]\n\n"))


def test_a_connection_that_is_used_again(bounded: Api) -> None:
    """Each request on it has time and room of its own, and so has the idle time between."""
    for n in range(50):
        assert bounded.call("GET", "/health", headers={"X-Pad": "x" * 1000}).status_code == 200
    with connected(bounded.base_url) as connection:
        head = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(head[:20])
        status, _, _ = answer_of(connection)
    assert status == 408


def test_requests_in_one_piece(bounded: Api) -> None:
    """Pipelined requests are answered in their order."""
    head = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with connected(bounded.base_url) as connection:
        connection.sendall(head * 20 + last)
        with connection.makefile("rb") as reading:
            assert reading.read().count(b"HTTP/1.1 200 OK") == 21
