"""The key is in one header of each request, and nowhere that a log or a bug report would show."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatserver_sdk import ChatServerClient, ChatServerError, ConfigurationError
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Step,
    WireServer,
    delta,
    event,
    event_stream,
    json_answer,
    plain_answer,
    sized,
)

Call = Callable[[ChatServerClient], Any]
CALLS: dict[str, Call] = {
    "get": lambda client: client.list_models(),
    "post": lambda client: client.create_completion("m", "Hello"),
    "stream": lambda client: list(client.create_completion("m", "Hello", stream=True)),
    "delete": lambda client: client.remove_admin("a@x.org"),
    "bad": lambda client: client.create_completion("", []),
    "unwritable": lambda client: client.create_completion("m", "x", metadata={"x": object()}),
}
ANSWERS: dict[str, list[Step]] = {
    **{str(status): json_answer(status, {"detail": "No"}) for status in (400, 401, 403, 429, 500)},
    "nothing": [Cut()],
    "reset": [Cut(reset=True)],
    "no http": [b"\xff\r\n\r\n"],
    "half": sized(b"{", Cut(), headers={"Content-Length": "9"}),
    "not json": plain_answer(200, b"<html></html>"),
    "not packed": plain_answer(200, b"x", {"Content-Encoding": "gzip"}),
    "redirect": plain_answer(302, b"", {"Location": "http://[::1"}),
    "circle": plain_answer(302, b"", {"Location": "/v1/models"}),
    "error inside": event_stream(delta("Hel"), event({"error": "No"}), DONE),
    "cut": event_stream(delta("Hel"), Cut()),
}


def _formatted(shown: traceback.TracebackException | None) -> Iterator[str]:
    """All of it but the frames of tests, which know the key."""
    while shown is not None:
        yield from shown.format_exception_only()
        for frame in shown.stack:
            if "/tests/" not in frame.filename:
                yield f"{frame} {frame.locals}"
        shown = shown.__cause__ or shown.__context__


def assert_secret(key: str, failure: BaseException) -> None:
    """Neither the exception, nor what led to it, nor its pickle says the key."""
    shown = "".join(traceback.format_exception(failure))
    shown += f"{failure} {failure!r} {vars(failure)}"
    assert key not in shown
    assert key.encode() not in pickle.dumps(failure)


def assert_secret_in_frames(key: str, failure: BaseException) -> None:
    """Nor do our frames and those below: `pytest -l` and services for errors show what is there."""
    frames = traceback.TracebackException.from_exception(failure, capture_locals=True)
    assert key not in "".join(_formatted(frames))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_failure_shows_the_key(
    wire_server: WireServer,
    client: ChatServerClient,
    api_key: str,
    call: Call,
    answer: list[Step],
) -> None:
    """Whatever fails, in the exception, its causes and their tracebacks."""
    wire_server.answers(answer)
    with pytest.raises(ChatServerError) as caught:
        call(client)
    assert_secret(api_key, caught.value)
    assert_secret_in_frames(api_key, caught.value)
    for request in wire_server.requests:
        assert request.headers["Authorization"] == f"Bearer {api_key}"
        assert api_key not in request.path and api_key.encode() not in request.body


@pytest.mark.parametrize("call", list(CALLS.values())[:4], ids=list(CALLS)[:4])
def test_no_transport_failure_shows_the_key(
    wire_server: WireServer, api_key: str, call: Call
) -> None:
    """Time-outs and servers that are not there."""
    wire_server.answers([Pause(threading.Event())])
    with ChatServerClient(api_key, wire_server.base_url, timeout=0.01) as client:
        with pytest.raises(ChatServerError) as caught:
            call(client)
        assert_secret(api_key, caught.value)
        assert_secret_in_frames(api_key, caught.value)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with ChatServerClient(api_key, url) as client, pytest.raises(ChatServerError) as caught:
            call(client)
        assert_secret(api_key, caught.value)
        assert_secret_in_frames(api_key, caught.value)


@pytest.mark.parametrize("ending", ["\n", "\x00", "ä"])
def test_a_key_that_is_refused_is_not_repeated(api_key: str, ending: str) -> None:
    """Not even in part."""
    with pytest.raises(ConfigurationError) as caught:
        ChatServerClient(api_key + ending)
    assert_secret(api_key, caught.value)


def test_nothing_that_holds_the_key_shows_it(
    wire_server: WireServer, client: ChatServerClient, api_key: str
) -> None:
    """The client, its session, its streams and their attributes."""
    wire_server.answers(event_stream(delta("Hel"), DONE))
    stream = client.create_completion("m", "Hello", stream=True)
    next(stream)
    transport = client._transport
    for holder in (client, client.session, client.session.headers, stream, transport):
        assert api_key not in f"{holder!r} {holder}"
        assert api_key not in repr(getattr(holder, "__dict__", {}))
    assert list(stream) == []


def test_a_key_that_a_function_gives_wrong(wire_server: WireServer, api_key: str) -> None:
    """It is refused, and is in no frame either."""
    with ChatServerClient(lambda: f"{api_key}\n", wire_server.base_url) as client:
        with pytest.raises(ConfigurationError) as caught:
            client.list_models()
    assert_secret(api_key, caught.value)
    assert_secret_in_frames(api_key, caught.value)


class Interrupting(threading.Event):
    """Whoever waits for it presses Ctrl-C."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return when the signal was sent, and the test is over."""
        os.kill(os.getpid(), signal.SIGINT)
        return super().wait(timeout)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("call", list(CALLS.values())[:4], ids=list(CALLS)[:4])
def test_an_interrupt_from_the_keyboard(
    wire_server: WireServer, client: ChatServerClient, api_key: str, call: Call, slow: bool
) -> None:
    """It passes, and its frames do not say the key, those of requests' own preparing included."""
    if slow:
        client.session.params = {"a": "b"}
    wire_server.answers([Pause(Interrupting())])
    with pytest.raises(KeyboardInterrupt) as caught:
        call(client)
    assert_secret_in_frames(api_key, caught.value)


def test_a_callers_own_failure_keeps_its_frames(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Who calls while they deal with another error finds all of it again."""
    wire_server.answers([Cut()])

    def fail() -> None:
        mine = "theirs to keep"
        raise KeyError(mine)

    try:
        fail()
    except KeyError as handled:
        with pytest.raises(ChatServerError):
            client.list_models()
        shown = traceback.TracebackException.from_exception(handled, capture_locals=True)
    assert "mine = 'theirs to keep'" in "".join(shown.format())
