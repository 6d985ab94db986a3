"""Ends that come from elsewhere, and what must not get out: close() of clients, forks, redirects."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest
import requests

from chatserver_sdk import (
    APITimeoutError,
    BadRequestError,
    ChatServerClient,
    ChatServerError,
    ConfigurationError,
    Message,
    RetryPolicy,
    StreamConsumedError,
    StreamFailedError,
    StreamInterruptedError,
    Timeout,
)
from chatserver_sdk._transport.connections import Attempt
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Step,
    UntilHangup,
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
    plain_answer,
)

MODELS: dict[str, Any] = {"data": [{"id": "m"}]}
OURS = {"X-Chatserver": "1", "X-Turn-Id": "t"}
AT_ONCE = RetryPolicy(max_retries=2, backoff=0)


def numbered(*steps: Step) -> list[Step]:
    """A stream of ours, which could be taken up again."""
    return event_stream(*steps, headers=OURS)


@pytest.mark.parametrize("child", [False, True])
def test_a_closed_client_takes_no_stream_up_again(wire_server: WireServer, child: bool) -> None:
    """Neither one of its own nor one that was opened with other options."""
    wire_server.answers(numbered(delta("Hel", id="t:1"), UntilHangup(threading.Event())))
    client = ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE)
    opener = client.with_options(timeout=20) if child else client
    stream = opener.create_completion("m", "x", stream=True)
    assert next(stream) == "Hel"
    client.close()
    with pytest.raises(StreamConsumedError) as caught:
        list(stream)
    assert caught.value.partial == "Hel" and caught.value.request_id
    assert len(wire_server.requests) == 1


def test_closing_ends_the_wait_for_another_connection(wire_server: WireServer) -> None:
    """Also while the server has taken the connection and says nothing."""
    gate = threading.Event()
    wire_server.answers(numbered(delta("Hel", id="t:1"), Cut()), [Pause(gate)])
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        stream = client.create_completion("m", "x", stream=True)
        assert next(stream) == "Hel"
        timer = threading.Timer(0.2, stream.close)
        timer.start()
        begun = time.monotonic()
        with pytest.raises(StreamConsumedError):
            next(stream)
        assert time.monotonic() - begun < 10
        timer.join()


def test_a_total_bounds_taking_up_again(wire_server: WireServer) -> None:
    """A server that asks for more time than there is does not get it."""
    busy = json_answer(503, {}, {"Retry-After": "30"})
    wire_server.answers(numbered(delta("Hel", id="t:1"), Cut()), busy)
    with ChatServerClient("k", wire_server.base_url, Timeout(total=5)) as client:
        begun = time.monotonic()
        with pytest.raises(StreamInterruptedError):
            list(client.create_completion("m", "x", stream=True))
    assert time.monotonic() - begun < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_leaves_the_parents_streams_alone(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """What it closes is its own."""
    gate = threading.Event()
    wire_server.answers(event_stream(delta("Hel"), Pause(gate), delta("lo"), DONE))
    stream = client.create_completion("m", "x", stream=True)
    assert next(stream) == "Hel"
    child = os.fork()
    if child == 0:
        stream.close()
        client.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.set()
    assert list(stream) == ["lo"]


@pytest.mark.parametrize("key", ["k", None])
def test_nothing_of_ours_goes_to_another_server(wire_server: WireServer, key: str | None) -> None:
    """Neither what a caller's session adds, nor cookies, nor a body; and it is not ours."""
    with WireServer() as other, requests.Session() as session:
        session.auth = ("me", "secret")
        session.headers["X-Secret"] = "s"
        session.cookies.set("a", "b")
        other.answers(json_answer(200, {}, {"X-Chatserver": "1"}))
        wire_server.answers(plain_answer(302, b"", {"Location": f"{other.base_url}/there"}))
        with ChatServerClient(key, wire_server.base_url, session=session, max_retries=AT_ONCE) as c:
            c.request("GET", "/q", body={"secret": 1}, extra_headers={"X-Mine": "s"})
            (request,) = other.requests
            assert {name.lower() for name in request.headers} <= {
                *("host", "accept", "user-agent", "accept-encoding", "connection")
            }
            assert request.body == b""
            wire_server.answers(json_answer(500, {}), json_answer(200, completion("x")))
            with pytest.raises(ChatServerError):
                c.create_completion("m", "x")


def test_netrc_stays_where_it_is(
    wire_server: WireServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Also without a key, with a header of the caller's own, and after a cookie."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    wire_server.answers(json_answer(200, MODELS, {"Set-Cookie": "a=b; Path=/"}))
    with ChatServerClient(None, wire_server.base_url) as client:
        mine = client.with_options(extra_headers={"Authorization": "Bearer MINE"})
        for one in (client, mine, client, mine):
            one.list_models()
    said = [request.headers["Authorization"] for request in wire_server.requests]
    assert said == [None, "Bearer MINE", None, "Bearer MINE"]


SHAPES: list[Any] = [
    {"object": "error", "message": "boom", "type": "BadRequestError", "code": 400},
    {"text": "boom", "error_code": 50001},
    {"message": "boom", "status": 500},
    {"error": {}},
    {"error": ""},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_errors_of_odd_shapes(
    wire_server: WireServer, client: ChatServerClient, shape: dict[str, Any]
) -> None:
    """What has no choices and says error is one, however it says so."""
    wire_server.answers(event_stream(delta("Hel"), event(shape), DONE))
    with pytest.raises(StreamFailedError) as caught:
        list(client.create_completion("m", "x", stream=True))
    assert caught.value.partial == "Hel"
    assert "boom" in str(caught.value) or "error" in shape


def choice(index: Any, text: str, reason: str | None = None) -> bytes:
    """A piece of one of several choices."""
    return event(
        {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}
    )


@pytest.mark.parametrize("options", [{"n": 2}, {"extra_body": {"n": 2}}, {}])
def test_no_choice_may_stay_open(
    wire_server: WireServer, client: ChatServerClient, options: dict[str, Any]
) -> None:
    """Asked for or not: one that was begun and not ended makes no whole answer."""
    wire_server.answers(event_stream(choice(0, "a"), choice(1, "b"), choice(0, "", "stop"), Cut()))
    with pytest.raises(StreamInterruptedError):
        list(client.create_completion("m", "x", stream=True, **options))


def test_a_number_that_came_as_text(wire_server: WireServer, client: ChatServerClient) -> None:
    """Some servers write an index as a string."""
    wire_server.answers(event_stream(choice("0", "a"), choice("1", "b"), DONE))
    stream = client.create_completion("m", "x", stream=True, n=2)
    assert list(stream) == ["a"]
    assert [each.message.text for each in stream.response().choices] == ["a", "b"]
    assert stream.response().raw is not None


def test_a_cost_that_was_asked_for(wire_server: WireServer, client: ChatServerClient) -> None:
    """It is waited for behind the finish_reason."""
    usage = event({"choices": [], "usage": {"total_tokens": 7}})
    wire_server.answers(event_stream(delta("a"), finished(), Pause(0.2), usage, DONE))
    stream = client.create_completion("m", "x", stream=True, stream_options={"include_usage": True})
    assert stream.response().usage.total_tokens == 7


def test_reasoning_that_is_null(wire_server: WireServer, client: ChatServerClient) -> None:
    """A message with it can be sent again."""
    body = {"role": "assistant", "content": "x", "reasoning": None}
    message = Message.from_dict(body)
    assert message.to_dict()["content"] == "x"
    wire_server.answers(json_answer(200, completion("y")))
    client.create_completion("m", [message])


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"query": "a=b"}, "query"),
        ({"query": {"a": "\ud800"}}, "query"),
        ({"body": [1], "extra_body": {"a": 1}}, "extra_body"),
        ({"body": object()}, None),
        ({"body": "\ud800"}, None),
    ],
)
def test_requests_that_cannot_be_written(
    wire_server: WireServer, client: ChatServerClient, options: Any, param: str | None
) -> None:
    """They are refused here, by an exception of ours."""
    with pytest.raises(BadRequestError) as caught:
        client.request("POST", "/x", **options)
    assert caught.value.param == param and wire_server.requests == []


def test_any_json_can_be_sent(wire_server: WireServer, client: ChatServerClient) -> None:
    """An array or a text is JSON as well."""
    wire_server.answers(json_answer(200, {}))
    for body in ([1, {"a": None}], "ä", 5):
        client.request("POST", "/x", body=body)
        assert wire_server.requests[-1].json() == body


def test_what_the_environment_gets_wrong(
    wire_server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of no known kind and a bundle that is not there are named, and tried once."""
    monkeypatch.setenv("http_proxy", "gopher://proxy.example:1")
    with ChatServerClient("k", "http://chat.example") as client:
        with pytest.raises(ConfigurationError, match="^the proxy for the server at"):
            client.list_models()
    with ChatServerClient("k", wire_server.base_url.replace("http:", "https:")) as client:
        client.session.verify = "/nonexistent.pem"
        with pytest.raises(ConfigurationError, match="nonexistent.pem"):
            client.list_models()


def test_what_is_said_beforehand(wire_server: WireServer, client: ChatServerClient) -> None:
    """Early hints are no answer."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    wire_server.answers([early, *json_answer(200, MODELS)])
    assert client.list_models().data[0].id == "m"


def test_an_empty_key(wire_server: WireServer) -> None:
    """A function that gives none is a mistake."""
    with ChatServerClient(lambda: " ", wire_server.base_url) as client:
        with pytest.raises(ConfigurationError, match="gave an empty key"):
            client.list_models()


def test_a_key_that_is_fetched_with_the_same_client(wire_server: WireServer) -> None:
    """The call that waits for it keeps its own limits."""
    wire_server.answers(
        json_answer(200, MODELS), [b"HTTP/1.1 200 OK\r\n", Pause(threading.Event())]
    )
    asked: list[int] = []

    def fetch() -> str:
        if not asked:
            asked.append(1)
            client.list_models()
        return "k"

    with ChatServerClient(fetch, wire_server.base_url, Timeout(total=0.5)) as client:
        with pytest.raises(APITimeoutError, match="took longer than 0.5 s"):
            client.list_models()


def test_headers_that_never_end(wire_server: WireServer) -> None:
    """A line now and then is no answer: its beginning has a bound of its own."""
    drip: list[Step] = [b"HTTP/1.1 200 OK\r\n"]
    for _ in range(400):
        drip += [Pause(0.05), b"X: y\r\n"]
    wire_server.answers(drip)
    with ChatServerClient("k", wire_server.base_url, timeout=0.4, max_retries=0) as client:
        begun = time.monotonic()
        for stream in (False, True):
            with pytest.raises(APITimeoutError, match="did not answer within 0.4 s"):
                client.create_completion("m", "x", stream=stream)
        assert time.monotonic() - begun < 10


def test_a_key_of_the_callers_own_and_a_user(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """The same call under it is the same request, its session included."""
    wire_server.answers(json_answer(200, completion("x")))
    for key in ("a", "a", "b"):
        client.create_completion("m", "x", user="u", extra_headers={"Idempotency-Key": key})
    first, second, third = (request.json() for request in wire_server.requests)
    assert first == second != third


def test_a_loss_that_came_late_is_no_stale_connection(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Whoever worked for a while has seen the request."""
    wire_server.answers(
        json_answer(200, MODELS), [Pause(1.2), Cut()], json_answer(200, completion("x"))
    )
    client.list_models()
    with pytest.raises(ChatServerError):
        client.create_completion("m", "x")
    assert len(wire_server.requests) == 2


def test_failures_do_not_hold_the_key(api_key: str) -> None:
    """Nor does what led to them."""
    with ChatServerClient(api_key, "http://127.0.0.1:9", max_retries=0) as client:
        with pytest.raises(ChatServerError) as caught:
            client.list_models()
    cause: Any = caught.value.__cause__
    assert cause.request is None


def test_a_stream_says_that_it_stays_here(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Its cursor is what can travel."""
    import pickle

    wire_server.answers(event_stream(DONE))
    with client.create_completion("m", "x", stream=True) as stream:
        with pytest.raises(TypeError, match="its cursor can"):
            pickle.dumps(stream)


def test_a_place_is_kept_over_connections_that_bring_nothing(wire_server: WireServer) -> None:
    """Events without an id, and a server that begins anew, repeat no token."""
    first, second = delta("A", id="t:1"), delta("B", id="t:2")
    last = event("[DONE]", id="t:3")
    wire_server.answers(
        numbered(first, second, Cut()),
        numbered(event({"choices": []}), Cut()),
        numbered(first, second, delta("C", id="t:3"), last),
    )
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        stream = client.create_completion("m", "x", stream=True)
        assert "".join(stream) == "ABC"
    places = [request.headers["Last-Event-ID"] for request in wire_server.requests]
    assert places == [None, "t:2", "t:2"]


@pytest.mark.parametrize("second", ["silence", "busy"])
def test_a_closed_client_waits_for_no_other_connection(
    wire_server: WireServer, second: str
) -> None:
    """Whatever the stream is waiting for: a server that says nothing, or another attempt."""
    busy = json_answer(503, {}, {"Retry-After": "30"})
    wait: list[Step] = busy if second == "busy" else [Pause(threading.Event())]
    wire_server.answers(numbered(delta("a", id="t:1"), Cut()), wait)
    client = ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE)
    stream = client.create_completion("m", "x", stream=True)
    assert next(stream) == "a"
    timer = threading.Timer(0.3, client.close)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(StreamConsumedError):
        next(stream)
    assert time.monotonic() - begun < 10
    timer.join()


def test_a_stop_before_there_is_a_connection(wire_server: WireServer) -> None:
    """It is heard as soon as there is one."""
    attempt = Attempt()
    attempt.shut()
    with pytest.raises(ConnectionAbortedError):
        attempt.note_connected()


ODD: list[dict[str, Any]] = [
    {"created": 1.5},
    {"created": "1700000000"},
    {"system_fingerprint": 7},
    {"usage": {"prompt_tokens": 1.5}},
    {"usage": []},
    {"id": ["x"]},
]


@pytest.mark.parametrize("fields", ODD)
def test_odd_headings_cost_nobody_the_answer(
    wire_server: WireServer, client: ChatServerClient, fields: dict[str, Any]
) -> None:
    """What stands beside the text and cannot be read is passed over; the text is what counts."""
    wire_server.answers(event_stream(delta("A", **fields), finished(**fields), DONE))
    stream = client.create_completion("m", "x", stream=True)
    assert list(stream) == ["A"]
    assert stream.response().choices[0].message.text == "A"


@pytest.mark.parametrize(
    "said",
    [
        {"index": 0, "delta": {"content": "q", "role": 5}, "finish_reason": 3},
        {"index": 0, "delta": {"content": [{"type": "text", "text": "q"}]}},
        {"index": True, "delta": {}},
        {"index": -1, "delta": {"content": "z"}},
    ],
)
def test_odd_choices_cost_nobody_the_answer(
    wire_server: WireServer, client: ChatServerClient, said: dict[str, Any]
) -> None:
    """Nor does an odd choice."""
    wire_server.answers(event_stream(delta("A"), event({"choices": [said]}), DONE))
    stream = client.create_completion("m", "x", stream=True)
    text = "".join(stream)
    assert text in ("A", "Aq") and stream.response().choices[0].message.text == text


def test_a_resumed_turn_of_several_choices(wire_server: WireServer) -> None:
    """Nobody knows how many there were: only [DONE] says that it is whole."""
    stop = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, id="t:4")
    other = event({"choices": [{"index": 1, "delta": {"content": "b"}}]}, id="t:5")
    done = event("[DONE]", id="t:6")
    wire_server.answers(numbered(stop, Cut()), numbered(other, done))
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        answer = client.resume_stream("t:3").response()
    assert [choice.message.text for choice in answer.choices] == ["", "b"]
