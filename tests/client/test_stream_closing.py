"""However a stream is left, its connection is given back and its reader is told the truth."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from chatserver_sdk import (
    ChatServerClient,
    ChatServerError,
    CompletionStream,
    StreamConsumedError,
)
from chatserver_sdk.testing import DONE, UntilHangup, WireServer, delta, event_stream, json_answer
from chatserver_sdk.testing.answers import Framing

each_framing = pytest.mark.parametrize("framing", ["chunked", "close_delimited", "sized"])
LONGER = {"Content-Length": "1000000"}


def endless(server: WireServer, framing: Framing = "chunked") -> threading.Event:
    """Have the server send one token and wait until its client hangs up, which sets the Event."""
    seen = threading.Event()
    length = LONGER if framing == "sized" else {}
    server.answers(event_stream(delta("Hel"), UntilHangup(seen), framing=framing, headers=length))
    return seen


def stream_from(client: ChatServerClient) -> CompletionStream:
    """A stream of the client's."""
    return client.create_completion("m", "Hello", stream=True)


def close(stream: CompletionStream) -> None:
    """By hand, and once more."""
    stream.close()
    stream.close()


def leave_with(stream: CompletionStream) -> None:
    """By the end of a with block, in the middle of a loop."""
    with stream:
        for _ in stream:
            break


def fail_inside(stream: CompletionStream) -> None:
    """By an exception of the caller's own."""
    with pytest.raises(KeyError), stream:
        raise KeyError(next(stream))


def throw(stream: CompletionStream) -> None:
    """As generators are ended."""
    with pytest.raises(GeneratorExit):
        stream.throw(GeneratorExit)


@each_framing
@pytest.mark.parametrize("leave", [close, leave_with, fail_inside, throw])
def test_leaving_a_stream_hangs_up(
    wire_server: WireServer,
    client: ChatServerClient,
    framing: Framing,
    leave: Callable[[CompletionStream], None],
) -> None:
    """The server sees the end at once and can stop its work."""
    seen = endless(wire_server, framing)
    leave(stream_from(client))
    assert seen.wait(30)


@each_framing
@pytest.mark.parametrize("read", [False, True])
def test_dropping_a_stream_hangs_up(
    wire_server: WireServer, client: ChatServerClient, framing: Framing, read: bool
) -> None:
    """A loop that is left by `break`, or a stream that nobody reads."""
    seen = endless(wire_server, framing)
    stream = stream_from(client)
    if read:
        for _ in stream:
            break
    del stream
    gc.collect()
    assert seen.wait(30)


@each_framing
def test_closing_the_client_hangs_up(wire_server: WireServer, framing: Framing) -> None:
    """Streams that are still open go with their client."""
    seen = endless(wire_server, framing)
    with ChatServerClient("k", wire_server.base_url) as client:
        stream = stream_from(client)
        assert next(stream) == "Hel"
    assert seen.wait(30)
    with pytest.raises(ChatServerError):
        stream.response()


def test_closing_the_client_of_a_session_of_ones_own(wire_server: WireServer) -> None:
    """Its streams are ended, the session is not."""
    seen = endless(wire_server)
    with requests.Session() as session:
        with ChatServerClient("k", wire_server.base_url, session=session) as client:
            stream = stream_from(client)
        assert seen.wait(30)
        wire_server.answers(json_answer(200, {"data": []}))
        assert client.list_models().data == []
        stream.close()


@pytest.mark.parametrize("framing", ["chunked", "sized"])
def test_a_stream_that_is_read_to_its_end_keeps_its_connection(
    wire_server: WireServer, client: ChatServerClient, framing: Framing
) -> None:
    """The next call goes over the same one, and closing afterwards does not end it."""
    wire_server.answers(event_stream(delta("Hi"), DONE, framing=framing))
    for _ in range(3):
        with stream_from(client) as stream:
            assert list(stream) == ["Hi"]
        stream.close()
    assert {request.connection for request in wire_server.requests} == {0}


def test_a_closed_stream_does_not_end_the_connection_of_another(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """A connection that is back in the pool belongs to the next one."""
    wire_server.answers(event_stream(delta("Hi"), DONE))
    first = stream_from(client)
    assert list(first) == ["Hi"]
    endless(wire_server)
    second = stream_from(client)
    first.close()
    del first
    gc.collect()
    assert next(second) == "Hel"
    assert [request.connection for request in wire_server.requests] == [0, 0]


ROUNDS = [pytest.param(100, id="short"), pytest.param(1000, id="long", marks=pytest.mark.full)]


@each_framing
@pytest.mark.parametrize("rounds", ROUNDS)
def test_closing_from_another_thread(
    wire_server: WireServer, client: ChatServerClient, framing: Framing, rounds: int
) -> None:
    """A reader that waits is told; the close comes before, in or after its wait."""
    for _ in range(rounds):
        seen = endless(wire_server, framing)
        stream = stream_from(client)
        begun = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read_from, stream, begun)
            begun.wait()
            stream.close()
            # Between two texts it is the end of a loop, in a read it is an exception.
            assert isinstance(reading.exception(30), (StreamConsumedError, type(None)))
        assert seen.wait(30)
        with pytest.raises(StreamConsumedError):
            stream.response()


def read_from(stream: CompletionStream, begun: threading.Event) -> None:
    """Read, and say when the first text has come."""
    for _ in stream:
        begun.set()


@each_framing
@pytest.mark.parametrize("rounds", ROUNDS)
def test_closing_the_client_under_a_reader(
    wire_server: WireServer, framing: Framing, rounds: int
) -> None:
    """The reader of a stream whose client is closed gets one of our exceptions, and at once."""
    for _ in range(rounds):
        seen = endless(wire_server, framing)
        with ChatServerClient("k", wire_server.base_url) as client, ThreadPoolExecutor(1) as pool:
            begun = threading.Event()
            reading = pool.submit(read_from, stream_from(client), begun)
            begun.wait()
            client.close()
            assert isinstance(reading.exception(30), ChatServerError)
        assert seen.wait(30)
