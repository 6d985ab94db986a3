"""Where a call can end: deadlines that have passed, answers without end, connections nobody has."""

from __future__ import annotations

import gzip
import time

import pytest

from chatserver_sdk import (
    APIStatusError,
    APITimeoutError,
    ChatServerClient,
    DecodeError,
    NotFoundError,
    Timeout,
)
from chatserver_sdk._transport.connections import Attempt
from chatserver_sdk._transport.deadline import Deadline
from chatserver_sdk._transport.exchange import MAX_ANSWER_BYTES
from chatserver_sdk.testing import WireServer, json_answer, plain_answer

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
    wire_server.answers(plain_answer(200, packed, {"Content-Encoding": "gzip"}))
    with pytest.raises(DecodeError, match="is longer than 134217728 bytes"):
        client.list_models()


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
    import threading

    from chatserver_sdk.testing import Pause

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
