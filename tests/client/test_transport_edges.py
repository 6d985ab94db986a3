"""Where a call can end: deadlines that have passed, answers without end, connections nobody has."""

from __future__ import annotations

import gzip
import threading
import time
from contextlib import suppress
from itertools import chain, repeat

import pytest
import requests

from chatserver_sdk import (
    APIStatusError,
    APITimeoutError,
    ChatServerClient,
    DecodeError,
    NotFoundError,
    Timeout,
)
from chatserver_sdk._transport.connections import Attempt, begin_attempt
from chatserver_sdk._transport.deadline import Deadline, Interrupt
from chatserver_sdk._transport.exchange import MAX_ANSWER_BYTES
from chatserver_sdk._wire.openai import events_of
from chatserver_sdk.models import ModelsResponse
from chatserver_sdk.testing import (
    DONE,
    Pause,
    WireServer,
    delta,
    event_stream,
    json_answer,
    plain_answer,
)

MODELS = {"data": [{"id": "m"}]}


def test_a_time_that_is_over_before_it_begins(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Nothing is sent then."""
    with pytest.raises(APITimeoutError) as caught:
        client.list_models(timeout=Timeout(total=1e-9))
    assert caught.value.kind == "total" and wire_server.requests == []


def test_a_deadline_behind_its_block() -> None:
    """The watchdog may be late: what is over is not ended any more."""
    with Deadline(time.monotonic() + 60, Attempt()) as deadline:
        assert deadline.due() < time.monotonic() + 61
    deadline.expire()
    assert not deadline.has_passed
    with Deadline(time.monotonic() + 60, Attempt()) as deadline:
        deadline.expire()
    assert deadline.has_passed


def test_an_answer_without_end(wire_server: WireServer, client: ChatServerClient) -> None:
    """A small body may unpack to one that fills the memory."""
    packed = gzip.compress(bytes(MAX_ANSWER_BYTES + 2**20), 1)
    headers = {"Content-Encoding": "gzip", "X-Request-Id": "r1"}
    wire_server.answers(plain_answer(200, packed, headers))
    with pytest.raises(DecodeError, match="is longer than 134217728 bytes") as caught:
        client.list_models()
    assert caught.value.request_id == "r1"


def test_a_refusal_without_end(wire_server: WireServer, client: ChatServerClient) -> None:
    """Its status is what counts; of its words the beginning is enough."""
    wire_server.answers(plain_answer(404, b"x" * 2**22))
    with pytest.raises(NotFoundError) as caught:
        client.list_models()
    assert len(caught.value.response.content) < 2**22 if caught.value.response else False


def test_environments_are_not_kept_for_ever(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Whoever changes the session's proxies at every call does not fill the memory."""
    wire_server.answers(json_answer(200, MODELS))
    for number in range(40):
        client.session.proxies["ftp"] = f"http://proxy{number}"
        client.list_models()
    exchange = client._transport._exchange
    assert exchange is not None and len(exchange._environments) <= 16


def test_answers_are_begun_once(wire_server: WireServer, client: ChatServerClient) -> None:
    """Whatever other libraries do with a response of ours."""
    wire_server.answers(json_answer(200, MODELS))
    with client.session.get(wire_server.base_url, stream=True) as response:
        response.raw._original_response.begin()
        assert response.json() == MODELS


def test_a_read_limit_is_no_total(wire_server: WireServer, client: ChatServerClient) -> None:
    """Each error says which time ran out, also where both were set."""
    wire_server.answers([Pause(threading.Event())])
    with pytest.raises(APITimeoutError) as caught:
        client.list_models(timeout=Timeout(read=0.2, total=0.35))
    assert caught.value.kind == "read"
    with pytest.raises(APITimeoutError) as caught:
        client.list_models(timeout=Timeout(read=0.5, total=0.2))
    assert caught.value.kind == "total"


@pytest.mark.parametrize("status", [300, 305, 306])
def test_statuses_that_lead_nowhere(
    wire_server: WireServer, client: ChatServerClient, status: int
) -> None:
    """An address beside them is not followed."""
    wire_server.answers(plain_answer(status, b"", {"Location": "/elsewhere"}))
    with pytest.raises(APIStatusError, match="redirects to /elsewhere"):
        client.list_models()
    assert len(wire_server.requests) == 1


def test_an_interrupt_before_its_attempt() -> None:
    """Whoever says stop early is heard when there is something to stop."""
    shut: list[int] = []

    class Noted(Attempt):
        def shut(self) -> None:
            shut.append(1)

    interrupt = Interrupt()
    interrupt.set()
    interrupt.watch(Noted())
    interrupt.set()
    assert shut == [1, 1]


@pytest.mark.parametrize("status", [200, 503])
def test_an_interrupt_behind_its_attempt(
    wire_server: WireServer, client: ChatServerClient, status: int
) -> None:
    """The connection belongs to another call by then, which goes on."""
    gate = threading.Event()
    wire_server.answers(
        json_answer(status, {}), event_stream(delta("Hel"), Pause(gate), delta("lo"), DONE)
    )
    interrupt = Interrupt()
    with suppress(APIStatusError):
        list(client._transport.open_stream("GET", "/x", interrupt=interrupt).iter_bytes())
    stream = client.create_completion("m", "x", stream=True)
    assert next(stream) == "Hel"
    interrupt.set()
    gate.set()
    assert list(stream) == ["lo"]
    assert [request.connection for request in wire_server.requests] == [0, 0]


def test_a_header_that_a_session_leaves_out(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """None is requests' way to say so."""
    wire_server.answers(json_answer(200, MODELS))
    headers: dict[str, str | None] = client.session.headers  # type: ignore[assignment]
    headers["User-Agent"] = None
    client.list_models()
    assert "chatserver-sdk" not in wire_server.requests[0].headers["User-Agent"]


def test_a_list_that_is_none() -> None:
    """Where records were to be."""
    with pytest.raises(DecodeError, match="expected a list, got an integer"):
        ModelsResponse.from_json('{"data": 5}')


def test_a_whole_answer_without_end() -> None:
    """Also where a stream was asked for, what is read in one piece is bounded."""
    with pytest.raises(DecodeError, match="the server's answer is longer than"):
        list(events_of("application/json", chain([b"{"], repeat(b" " * 2**20))))


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_call_that_was_ended_before_it_went_out(
    wire_server: WireServer, client: ChatServerClient, is_kept: bool
) -> None:
    """Neither a new connection nor a kept one carries a request that nobody waits for."""
    wire_server.answers(json_answer(200, {"data": []}))
    if is_kept:
        client.list_models()
    attempt = begin_attempt()
    attempt.shut()
    with pytest.raises(requests.ConnectionError, match="nobody waits"):
        client.session.get(wire_server.base_url)
    assert len(wire_server.requests) == int(is_kept)
    assert not attempt.is_reused


@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304), ("DELETE", 204)],
)
@pytest.mark.parametrize("said", ["Transfer-Encoding: chunked", "Content-Length: 9", "X: y"])
def test_answers_that_have_no_body(
    wire_server: WireServer, client: ChatServerClient, method: str, status: int, said: str
) -> None:
    """Nobody waits for one, whatever the headers say; the next call is answered."""
    wire_server.answers(f"HTTP/1.1 {status} x\r\n{said}\r\n\r\n".encode(), json_answer(200, MODELS))
    begun = time.monotonic()
    if status < 300:
        assert client.request(method, "/x").content == b""
    else:
        with pytest.raises(APIStatusError) as caught:
            client.request(method, "/x")
        assert caught.value.status_code == status
    assert client.list_models().data[0].id == "m"
    assert time.monotonic() - begun < 10
