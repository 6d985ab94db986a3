"""What may be sent again, row by row of the table; how long is waited, and when it is given up."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest

from chatserver_sdk import (
    APIConnectionError,
    APITimeoutError,
    ChatServerClient,
    ChatServerError,
    ConfigurationError,
    ConflictError,
    RateLimitError,
    RetryPolicy,
    Timeout,
)
from chatserver_sdk._transport.retries import Ending, may_send_again
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Script,
    WireServer,
    completion,
    delta,
    event_stream,
    json_answer,
    plain_answer,
    sized,
)

AT_ONCE = RetryPolicy(max_retries=2, backoff=0)
OURS = {"X-Chatserver": "0.2.0"}
MODELS = {"data": [{"id": "m"}]}

Call = Callable[[ChatServerClient], Any]
CALLS: dict[str, Call] = {
    "get": lambda client: client.list_models().data[0].id,
    "delete": lambda client: client.remove_admin("a@x.org").status,
    "post": lambda client: client.create_completion("m", "Hi").choices[0].message.text,
    "stream": lambda client: "".join(client.create_completion("m", "Hi", stream=True)),
}
GOOD: dict[str, Script] = {
    "get": json_answer(200, MODELS),
    "delete": json_answer(200, {"status": "removed", "email": "a@x.org"}),
    "post": json_answer(200, completion("Hello")),
    "stream": event_stream(delta("Hel"), delta("lo"), DONE),
}
SAID = {"get": "m", "delete": "removed", "post": "Hello", "stream": "Hello"}

# What happened; whether GET and DELETE, POST to our server, POST to another may be sent again.
LOST: list[Any] = [Cut()]
RESET: list[Any] = [Cut(reset=True)]
HALF_A_HEADER: list[Any] = [b"HTTP/1.1 200 OK\r\nContent-Ty", Cut()]
TABLE: dict[str, tuple[Script, tuple[bool, bool, bool]]] = {
    "lost": (LOST, (True, True, False)),
    "reset": (RESET, (True, True, False)),
    "half a header": (HALF_A_HEADER, (True, True, False)),
    **{str(n): (json_answer(n, {}), (True, True, True)) for n in (408, 429, 503)},
    **{str(n): (json_answer(n, {}), (True, True, False)) for n in (500, 502, 504, 520, 599)},
    **{
        str(n): (json_answer(n, {}), (False, False, False))
        for n in (400, 401, 402, 403, 404, 409, 410, 422, 425, 501, 505)
    },
    "in progress": (
        json_answer(409, {"error": {"message": "x", "code": "idempotency_in_progress"}}),
        (False, True, False),
    ),
}


@pytest.fixture
def eager(wire_server: WireServer) -> Iterator[ChatServerClient]:
    """A client that tries again without waiting."""
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        yield client


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("failure", "rules"), TABLE.values(), ids=TABLE)
def test_the_table(
    wire_server: WireServer,
    eager: ChatServerClient,
    failure: Script,
    rules: tuple[bool, bool, bool],
    name: str,
    is_ours: bool,
) -> None:
    """A call that may be sent again succeeds the second time; any other one fails at once."""
    wire_server.answers(
        json_answer(200, MODELS, {**(OURS if is_ours else {}), "Connection": "close"})
    )
    eager.list_models()
    wire_server.answers(failure, GOOD[name])
    may = rules[0] if name in ("get", "delete") else rules[1] if is_ours else rules[2]
    if may:
        assert CALLS[name](eager) == SAID[name]
    else:
        with pytest.raises(ChatServerError):
            CALLS[name](eager)
    assert len(wire_server.requests) == (3 if may else 2)


@pytest.mark.parametrize("name", CALLS)
def test_a_server_that_cannot_be_reached(name: str) -> None:
    """Nobody has seen the request: it is sent again whatever it is."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        policy = RetryPolicy(max_retries=2, backoff=0.02, max_backoff=0.02)
        with ChatServerClient("k", url, max_retries=policy) as client:
            begun = time.monotonic()
            with pytest.raises(APIConnectionError, match="Connection refused"):
                CALLS[name](client)
            assert time.monotonic() - begun >= 0.02


@pytest.mark.parametrize("ending", [LOST, RESET], ids=["closed", "reset"])
@pytest.mark.parametrize("name", CALLS)
def test_a_kept_connection_that_is_dead(
    wire_server: WireServer, client: ChatServerClient, name: str, ending: list[Any]
) -> None:
    """A server gives up an idle connection as the request comes: that costs no retry, not even
    where none is allowed, and no call its answer."""
    wire_server.answers(json_answer(200, MODELS), ending, GOOD[name])
    client.list_models()
    assert CALLS[name](client) == SAID[name]
    assert [request.connection for request in wire_server.requests] == [0, 0, 1]


def test_a_kept_connection_that_dies_in_an_answer(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Bytes of an answer have come: the server has seen the request."""
    wire_server.answers(json_answer(200, MODELS), HALF_A_HEADER, GOOD["post"])
    client.list_models()
    with pytest.raises(APIConnectionError):
        CALLS["post"](client)


def test_twice_dead_is_no_accident(wire_server: WireServer, client: ChatServerClient) -> None:
    """The attempt at no charge is one; on a connection that is new it would be lost."""
    wire_server.answers(json_answer(200, MODELS), LOST, LOST, GOOD["post"])
    client.list_models()
    with pytest.raises(APIConnectionError):
        CALLS["post"](client)
    assert len(wire_server.requests) == 3


@pytest.mark.parametrize("name", CALLS)
def test_retries_come_to_an_end(
    wire_server: WireServer, eager: ChatServerClient, name: str
) -> None:
    """Two of them by default, then what the server said is raised."""
    wire_server.answers(json_answer(503, {"detail": "busy"}))
    with pytest.raises(ChatServerError, match="^busy"):
        CALLS[name](eager)
    assert len(wire_server.requests) == 3
    ids = {request.headers["X-Request-Id"] for request in wire_server.requests}
    assert len(ids) == 1


@pytest.mark.parametrize("name", ["post", "stream"])
def test_one_key_a_logical_call(
    wire_server: WireServer, eager: ChatServerClient, name: str
) -> None:
    """The same over its retries, another one for the next call."""
    wire_server.answers(json_answer(503, {}), json_answer(503, {}), GOOD[name])
    CALLS[name](eager)
    CALLS[name](eager)
    first, second, third, other = (r.headers["Idempotency-Key"] for r in wire_server.requests)
    assert first == second == third != other
    assert all(
        "Idempotency-Key" not in r.headers for r in wire_server.requests if r.method == "GET"
    )


def test_a_key_of_the_callers_own(wire_server: WireServer, eager: ChatServerClient) -> None:
    """Whoever wants one call to survive a restart of the program names the key."""
    wire_server.answers(json_answer(503, {}), GOOD["post"])
    eager.create_completion("m", "Hi", extra_headers={"idempotency-key": "order-7"})
    assert [r.headers.get_all("Idempotency-Key") for r in wire_server.requests] == [["order-7"]] * 2


AFTER = [
    ({"Retry-After": "0"}, 0.0),
    ({"Retry-After": "0.05"}, 0.05),
    ({"Retry-After-Ms": "50"}, 0.05),
    ({"Retry-After": "99", "Retry-After-Ms": "50"}, 0.05),
    ({"Retry-After": formatdate(0, usegmt=True)}, 0.0),
]


@pytest.mark.parametrize(("headers", "least"), AFTER)
@pytest.mark.parametrize("name", ["get", "post"])
def test_a_server_says_when(
    wire_server: WireServer, headers: dict[str, str], least: float, name: str
) -> None:
    """Seconds, milliseconds or a date; our own patience is not asked then."""
    wire_server.answers(json_answer(429, {}, headers), GOOD[name])
    policy = RetryPolicy(max_retries=1, backoff=3600, max_backoff=3600)
    with ChatServerClient("k", wire_server.base_url, max_retries=policy) as client:
        begun = time.monotonic()
        assert CALLS[name](client) == SAID[name]
        assert least <= time.monotonic() - begun < 30


@pytest.mark.parametrize("value", ["61", "86400", "Sat, 01 Jan 2135 00:00:00 GMT"])
def test_a_wait_that_is_too_long(
    wire_server: WireServer, eager: ChatServerClient, value: str
) -> None:
    """Beyond 60 s the call fails at once and says so."""
    wire_server.answers(json_answer(429, {"detail": "Slow down."}, {"Retry-After": value}))
    with pytest.raises(
        RateLimitError, match=r"^Slow down\. \(not tried again: the server asks"
    ) as e:
        CALLS["get"](eager)
    assert e.value.retry_after is not None and e.value.retry_after > 60
    assert len(wire_server.requests) == 1


def test_a_total_bounds_all_attempts(wire_server: WireServer) -> None:
    """No attempt begins that could not end in time."""
    wire_server.answers(json_answer(503, {"detail": "busy"}, {"Retry-After": "30"}))
    with ChatServerClient("k", wire_server.base_url, Timeout(total=5)) as client:
        begun = time.monotonic()
        with pytest.raises(ChatServerError, match="^busy"):
            CALLS["get"](client)
    assert time.monotonic() - begun < 5
    assert len(wire_server.requests) == 1


SLOW_HEADERS = [b"HTTP/1.1 200 OK\r\n", *itertools.chain(*[(Pause(0.05), b"X: y\r\n")] * 400)]
SLOW_BODY = [
    *sized(b"", headers={"Content-Length": "4000"}),
    *itertools.chain(*[(Pause(0.05), b" ")] * 400),
]


@pytest.mark.parametrize("script", [SLOW_HEADERS, SLOW_BODY], ids=["headers", "body"])
@pytest.mark.parametrize("name", ["get", "post", "delete"])
def test_a_total_ends_what_drips_in(wire_server: WireServer, script: Script, name: str) -> None:
    """An answer that comes byte by byte never lets a read run out of time; the total does."""
    wire_server.answers(script)
    with ChatServerClient("k", wire_server.base_url, Timeout(read=10, total=0.5)) as client:
        begun = time.monotonic()
        with pytest.raises(APITimeoutError, match="took longer than 0.5 s") as caught:
            CALLS[name](client)
    assert caught.value.kind == "total"
    assert time.monotonic() - begun < 10


def test_a_limit_of_the_callers_own_is_not_tried_again(wire_server: WireServer) -> None:
    """A time-out of 30 s that is tried three times would be one of 90."""
    wire_server.answers([Pause(threading.Event())])
    with ChatServerClient("k", wire_server.base_url, 0.05, max_retries=AT_ONCE) as client:
        with pytest.raises(APITimeoutError) as caught:
            CALLS["get"](client)
    assert caught.value.kind == "read" and len(wire_server.requests) == 1


@pytest.mark.parametrize(
    "given", [-1, True, 1.5, "2", None, float("nan")], ids=lambda value: repr(value)
)
def test_what_is_no_number_of_retries(given: Any) -> None:
    """It is refused when the client is made, and when a call asks for it."""
    with pytest.raises(ConfigurationError, match="max_retries must be a number from 0 on"):
        ChatServerClient(max_retries=given)
    with ChatServerClient() as client, pytest.raises(ConfigurationError):
        client.list_models(max_retries=given)


@pytest.mark.parametrize("field", ["backoff", "max_backoff", "max_retry_after"])
@pytest.mark.parametrize("given", [-1, "1", None, float("inf")])
def test_what_is_no_policy(field: str, given: Any) -> None:
    """Seconds are a number from 0 on."""
    with pytest.raises(ConfigurationError, match=f"^{field} must be"):
        RetryPolicy(**{field: given})


def test_pauses_grow_and_differ() -> None:
    """Doubled each time up to a bound, a random half of it left out."""
    policy = RetryPolicy(max_retries=5, backoff=1, max_backoff=4)
    for retry, longest in enumerate([1, 2, 4, 4, 4]):
        pauses = {policy.pause(retry, ChatServerError("x")) for _ in range(50)}
        assert len(pauses) > 1 and all(longest / 2 <= pause <= longest for pause in pauses if pause)
    assert policy.pause(5, ChatServerError("x")) is None


def test_a_call_may_have_a_policy_of_its_own(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Per call, and for a client made of another."""
    wire_server.answers(json_answer(503, {}), GOOD["get"])
    assert client.list_models(max_retries=AT_ONCE).data[0].id == "m"
    wire_server.answers(json_answer(503, {}), GOOD["get"])
    assert client.with_options(max_retries=AT_ONCE).list_models().data[0].id == "m"


def test_a_key_that_our_server_does_not_get_is_no_key() -> None:
    """Without it the work could be done twice there as well."""
    error = APIConnectionError("x")
    assert may_send_again("POST", Ending.LOST, error, is_ours=True, has_key=True)
    assert not may_send_again("POST", Ending.LOST, error, is_ours=True, has_key=False)
    assert not may_send_again("PATCH", Ending.LOST, error, is_ours=False, has_key=True)
    assert may_send_again("PUT", Ending.LOST, error, is_ours=False, has_key=False)
    assert not may_send_again("GET", Ending.FINAL, error, is_ours=True, has_key=True)


def test_a_conflict_is_no_failure_of_the_moment(
    wire_server: WireServer, eager: ChatServerClient
) -> None:
    """An answer is still being given: trying again is the caller's decision."""
    wire_server.answers(
        json_answer(409, {"error": {"message": "x", "code": "turn_in_progress"}}, OURS)
    )
    with pytest.raises(ConflictError):
        CALLS["post"](eager)
    assert len(wire_server.requests) == 1


def test_retries_are_logged(
    wire_server: WireServer, eager: ChatServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """With the request id, and without what was sent or said."""
    wire_server.answers(json_answer(503, {"detail": "prompt"}), GOOD["post"])
    with caplog.at_level(logging.INFO, "chatserver_sdk"):
        eager.create_completion("m", "my prompt")
    (record,) = [r for r in caplog.records if r.name == "chatserver_sdk"]
    assert wire_server.requests[0].headers["X-Request-Id"] in record.getMessage()
    assert "ServiceUnavailableError 503; again in 0.00 s" in record.getMessage()
    assert "prompt" not in record.getMessage()


def test_plain_text_refusals_are_tried_again(
    wire_server: WireServer, eager: ChatServerClient
) -> None:
    """A proxy's page says as much with its status as a JSON body."""
    wire_server.answers(plain_answer(503, b"<html>Sorry</html>"), GOOD["post"])
    assert CALLS["post"](eager) == "Hello"


@pytest.mark.parametrize(
    ("version", "sent"),
    [("0.1.0", 1), ("0.1", 1), ("0", 1), ("", 1), ("dev", 1), ("0.2.0", 2), ("0.10", 2), ("1", 2)],
)
def test_versions_of_our_server(
    wire_server: WireServer, eager: ChatServerClient, version: str, sent: int
) -> None:
    """The first one knew no keys: it is asked as any other server."""
    headers = {"X-Chatserver": version, "Connection": "close"}
    wire_server.answers(json_answer(200, MODELS, headers), LOST, GOOD["post"])
    eager.list_models()
    with suppress(APIConnectionError):
        CALLS["post"](eager)
    assert len(wire_server.requests) == 1 + sent


def test_a_server_that_was_set_back(wire_server: WireServer, eager: ChatServerClient) -> None:
    """The version of the last answer counts; an answer without one, a proxy's, says nothing."""
    first = json_answer(200, MODELS, {**OURS, "Connection": "close"})
    older = json_answer(200, MODELS, {"X-Chatserver": "0.1.0", "Connection": "close"})
    wire_server.answers(first, json_answer(502, {}), GOOD["post"])
    eager.list_models()
    assert CALLS["post"](eager) == SAID["post"]
    wire_server.answers(older, LOST)
    eager.list_models()
    with pytest.raises(APIConnectionError):
        CALLS["post"](eager)
    assert len(wire_server.requests) == 5
