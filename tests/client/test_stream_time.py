"""How long a stream may take: signs of life do not count, and a total is a total."""

from __future__ import annotations

import threading

import pytest

from chatserver_sdk import (
    APITimeoutError,
    ChatServerClient,
    ConfigurationError,
    StreamInterruptedError,
    Timeout,
)
from chatserver_sdk.testing import (
    DONE,
    Pause,
    UntilHangup,
    WireServer,
    delta,
    event_stream,
    finished,
)

# The server would go on for ten seconds and then end well: whoever waits so long has not noticed.
BEATS = 200
BEAT = Pause(0.05)


def interrupted(wire_server: WireServer, timeout: Timeout) -> StreamInterruptedError:
    """What reading a stream to its end raises."""
    with ChatServerClient(base_url=wire_server.base_url, timeout=timeout) as client:
        with pytest.raises(StreamInterruptedError) as caught:
            list(client.create_completion("m", "Hello", stream=True))
    return caught.value


def test_signs_of_life_are_no_events(wire_server: WireServer) -> None:
    """A stream on which nothing but comments arrives is silent."""
    pings = [step for _ in range(BEATS) for step in (BEAT, b": still here\n\n")]
    wire_server.answers(event_stream(delta("Hel"), *pings, delta("lo"), DONE))
    error = interrupted(wire_server, Timeout(idle=1))
    assert error.partial == "Hel"
    assert isinstance(error.__cause__, APITimeoutError) and error.__cause__.kind == "idle"
    assert "was silent for 1 s" in error.message


@pytest.mark.parametrize("framing", ["chunked", "close_delimited"])
def test_a_total_is_a_total(wire_server: WireServer, framing: str) -> None:
    """An answer that arrives without a pause may still take too long."""
    words = [step for _ in range(BEATS) for step in (BEAT, delta("word "))]
    wire_server.answers(event_stream(*words, DONE, framing=framing))  # type: ignore[arg-type]
    error = interrupted(wire_server, Timeout(total=0.6))
    assert set(error.partial.split()) <= {"word"}
    assert isinstance(error.__cause__, APITimeoutError) and error.__cause__.kind == "total"
    assert "took longer than 0.6 s" in error.message


def test_a_whole_answer_whose_body_stays_open(wire_server: WireServer) -> None:
    """A finish_reason without [DONE] ends the answer, after a bounded time."""
    seen = threading.Event()
    wire_server.answers(event_stream(delta("Hi"), finished(), UntilHangup(seen)))
    with ChatServerClient(base_url=wire_server.base_url) as client:
        stream = client.create_completion("m", "Hello", stream=True)
        assert list(stream) == ["Hi"]
    assert stream.metadata["finish_reason"] == "stop"
    assert seen.wait(30)


def test_what_comes_behind_done(wire_server: WireServer, client: ChatServerClient) -> None:
    """It is read, and is no part of the answer."""
    wire_server.answers(event_stream(delta("Hi"), DONE, delta("Ho"), b"data: no json\n\n"))
    assert list(client.create_completion("m", "Hello", stream=True)) == ["Hi"]


@pytest.mark.parametrize("name", ["connect", "read", "idle", "total"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5"])
def test_seconds_that_are_none(name: str, value: object) -> None:
    """A limit is a positive number or None; the exception names which one is not."""
    with pytest.raises(ConfigurationError, match=name):
        Timeout(**{name: value})  # type: ignore[arg-type]


def test_a_timeout_as_it_is(wire_server: WireServer) -> None:
    """A client takes it over; what is None has no limit."""
    timeout = Timeout(connect=1, read=None, idle=2, total=3)
    assert Timeout.of(timeout) is timeout
    assert (timeout.connect, timeout.read) == (1.0, None)
    wire_server.answers(event_stream(delta("Hi"), finished(), DONE))
    with ChatServerClient(base_url=wire_server.base_url, timeout=Timeout(idle=None)) as client:
        assert list(client.create_completion("m", "Hello", stream=True)) == ["Hi"]


def test_a_total_that_is_over_before_the_answer_begins(wire_server: WireServer) -> None:
    """A server that says nothing for so long is not waited for."""
    seen = threading.Event()
    wire_server.answers([UntilHangup(seen)])
    with ChatServerClient(base_url=wire_server.base_url, timeout=Timeout(total=0.2)) as client:
        with pytest.raises(APITimeoutError, match="took longer than 0.2 s") as caught:
            client.create_completion("m", "Hello", stream=True)
    assert caught.value.kind == "total"
    assert seen.wait(30)


def test_a_total_that_was_spent_on_the_headers(wire_server: WireServer) -> None:
    """Headers that drip in are waited for byte by byte; then it is too late all the same."""
    drip = [step for _ in range(10) for step in (BEAT, b"X-Drip: 1\r\n")]
    end = b"Content-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n"
    wire_server.answers([b"HTTP/1.1 200 OK\r\n", *drip, end])
    with ChatServerClient(base_url=wire_server.base_url, timeout=Timeout(total=0.3)) as client:
        with pytest.raises(APITimeoutError, match="0.3 s") as caught:
            client.create_completion("m", "Hello", stream=True)
    assert caught.value.kind == "total"


def test_a_slow_reader_is_no_silent_server(wire_server: WireServer) -> None:
    """What the reader does with a word takes as long as it takes; only waiting for one counts."""
    wire_server.answers(event_stream(delta("Hel"), delta("lo"), Pause(0.1), delta("!"), DONE))
    with ChatServerClient(base_url=wire_server.base_url, timeout=Timeout(idle=0.5)) as client:
        stream = client.create_completion("m", "Hello", stream=True)
        said = []
        for text in stream:
            said.append(text)
            threading.Event().wait(1.2)
    assert said == ["Hel", "lo", "!"]
