"""Streams that fail: errors inside them, silence, and answers that are no streams at all."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from chatserver_sdk import (
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ChatServerClient,
    ChatServerError,
    CompletionStream,
    DecodeError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    StreamFailedError,
    StreamInterruptedError,
    UnprocessableEntityError,
)
from chatserver_sdk.testing import (
    DONE,
    Pause,
    Step,
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    json_answer,
    plain_answer,
)

NO = {"message": "No", "type": "server_error"}
LOC = {"loc": ["body", "model"], "msg": "No"}


def failing(said: dict[str, Any], reason: str | None = "error") -> bytes:
    """A chunk whose second choice failed, as gateways say it."""
    choice = {"index": 0, "delta": {}, "finish_reason": reason, **said}
    return event({"choices": [{"index": 1, "delta": {}}, choice]})


ERRORS: list[tuple[bytes, type[APIStatusError], int]] = [
    (event({"error": {"message": "No", "type": "invalid_request_error"}}), BadRequestError, 400),
    (event({"error": NO}), InternalServerError, 500),
    (event({"error": {**NO, "code": "model_not_found"}}), NotFoundError, 404),
    (event({"error": {**NO, "code": 429}}), RateLimitError, 429),
    (event({"error": {**NO, "status": 503}}), ServiceUnavailableError, 503),
    (event({"error": {**NO, "status": 418}}), APIStatusError, 418),
    (event({"error": "No"}), InternalServerError, 500),
    (event({"error": "No", "status_code": 422}), UnprocessableEntityError, 422),
    (event({"error": "rate_limit_error", "message": "No"}), RateLimitError, 429),
    (event({"detail": "No"}), InternalServerError, 500),
    (event({"detail": [LOC], "status": 422}), UnprocessableEntityError, 422),
    (event({"error": NO, "choices": [{"delta": {"content": "x"}}]}), InternalServerError, 500),
    (event({"message": "No"}, name="error"), InternalServerError, 500),
    (
        event(
            {"type": "error", "error": {"type": "overloaded_error", "message": "No"}}, name="error"
        ),
        ServiceUnavailableError,
        503,
    ),
    (event("No", name="error"), InternalServerError, 500),
    (failing({"error": {"code": 502, "message": "No"}}), InternalServerError, 502),
    (failing({"error": "No", "delta": {"content": "x"}}, "stop"), InternalServerError, 500),
    (failing({"error": {"code": 429, "message": "No"}}, None), RateLimitError, 429),
    (event({"type": "error", "message": "No"}), InternalServerError, 500),
    (event({"errors": [{"message": "No", "code": 404}]}), NotFoundError, 404),
    (event({"errors": ["No"]}), InternalServerError, 500),
    (event({"message": "No"}), InternalServerError, 500),
    (event({"message": "No", "type": "rate_limit_error"}), RateLimitError, 429),
    (b"event: error\r\ndata: No\r\n\r\n", InternalServerError, 500),
    (event([{"error": {**NO, "code": 429}}]), RateLimitError, 429),
    (event({"error": [{"message": "No", "code": 404}]}), NotFoundError, 404),
]


@pytest.mark.parametrize("after", [b"", DONE], ids=["", "done"])
@pytest.mark.parametrize("before", [[], ["Hel", "lo"]], ids=["first", "later"])
@pytest.mark.parametrize(("error", "kind", "status"), ERRORS)
def test_an_error_inside_a_stream(
    wire_server: WireServer,
    client: ChatServerClient,
    error: bytes,
    kind: type[APIStatusError],
    status: int,
    before: list[str],
    after: bytes,
) -> None:
    """Every shape, before and after the first text, with [DONE] behind it or without."""
    wire_server.answers(event_stream(*map(delta, before), error, after))
    stream = client.create_completion("m", "Hello", stream=True)

    texts = []
    with pytest.raises(StreamFailedError) as caught:
        for text in stream:
            texts.append(text)

    assert texts == before
    assert isinstance(caught.value, kind)
    assert "No" in str(caught.value)
    assert caught.value.status_code == status
    # What came with the error belongs to it.
    assert caught.value.partial == stream.text
    assert stream.text.removesuffix("x") == "".join(before)
    assert caught.value.metadata["system_fingerprint"] == "s1"
    with pytest.raises(kind):
        stream.response()


def test_the_request_id_of_an_error_inside_a_stream(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """It came with the headers and is in the sentence."""
    wire_server.answers(event_stream(event({"error": NO}), headers={"X-Request-Id": "r1"}))
    with pytest.raises(StreamFailedError, match=r"^No \(request id: r1\)$"):
        list(client.create_completion("m", "Hello", stream=True))


@pytest.mark.parametrize(
    "broken",
    [b"data: {\n\n", b"data: nothing\n\n", b'data: "\n\n'],
)
def test_an_event_that_cannot_be_read(
    wire_server: WireServer, client: ChatServerClient, broken: bytes
) -> None:
    """The answer is broken off there; the text so far is kept and the cause named."""
    wire_server.answers(event_stream(delta("Hel"), broken, delta("lo"), DONE))
    with pytest.raises(StreamInterruptedError, match="^the answer cannot be read") as caught:
        list(client.create_completion("m", "Hello", stream=True))
    assert caught.value.partial == "Hel"
    assert isinstance(caught.value.__cause__, DecodeError)


def first_text(client: ChatServerClient) -> CompletionStream | None:
    """A stream whose first text has come; None where the time was too short for that."""
    with suppress(ChatServerError):
        stream = client.create_completion("m", "Hello", stream=True)
        assert next(stream) == "Hel"
        return stream
    return None


def test_a_stream_that_falls_silent(wire_server: WireServer) -> None:
    """The time between two pieces has a bound of its own."""
    wire_server.answers(event_stream(delta("Hel"), Pause(threading.Event())))
    with ExitStack() as clients:
        # A machine that is busy gets more time until it has sent the first text.
        for timeout in (0.1, 1, 10, 100):
            client = ChatServerClient("k", wire_server.base_url, timeout=timeout)
            if stream := first_text(clients.enter_context(client)):
                break
        assert stream is not None
        with pytest.raises(StreamInterruptedError) as caught:
            next(stream)
    assert caught.value.message == (
        f"the answer ended before [DONE]: the stream from {wire_server.base_url}"
        f" was silent for {timeout:g} s"
    )
    assert caught.value.partial == "Hel"
    cause = caught.value.__cause__
    assert isinstance(cause, APITimeoutError) and cause.kind == "idle"


NO_STREAMS: list[tuple[str, list[Step]]] = [
    ("empty", plain_answer(200, b"")),
    ("html", plain_answer(200, b"<html></html>", {"Content-Type": "text/html"})),
    ("no json", plain_answer(200, b"<html>", {"Content-Type": "application/json"})),
    ("no answer", json_answer(200, {"hello": "there"})),
    ("not packed", plain_answer(200, b"x", {"Content-Encoding": "gzip"})),
    ("comments", event_stream(b": a\n\n", b": b\n\n")),
]


@pytest.mark.parametrize("script", [pytest.param(s, id=name) for name, s in NO_STREAMS])
def test_a_success_that_is_no_stream(
    wire_server: WireServer, client: ChatServerClient, script: Any
) -> None:
    """Status 200 and no events: no answer came, and an empty one is not made up."""
    wire_server.answers(script)
    stream = client.create_completion("m", "Hello", stream=True)
    with pytest.raises(StreamInterruptedError) as caught:
        list(stream)
    assert caught.value.partial == ""


def test_a_whole_answer_where_a_stream_was_asked_for(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """A server that does not stream answers with JSON; it is the whole answer all the same."""
    wire_server.answers(json_answer(200, completion("Hello you")))
    stream = client.create_completion("m", "Hello", stream=True)
    assert list(stream) == ["Hello you"]
    assert stream.metadata["finish_reason"] == "stop"
    assert stream.response().choices[0].message.content == "Hello you"


def test_an_error_with_status_200_where_a_stream_was_asked_for(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """It is raised, as the class of the status that it means."""
    wire_server.answers(json_answer(200, {"error": {"message": "slow down", "code": 429}}))
    with pytest.raises(RateLimitError, match="slow down"):
        list(client.create_completion("m", "Hello", stream=True))


def test_a_choice_that_only_says_error(wire_server: WireServer, client: ChatServerClient) -> None:
    """An answer that ended so is not whole, and a short one must not look it."""
    choice = {"index": 0, "delta": {}, "finish_reason": "error"}
    wire_server.answers(event_stream(delta("Hel"), event({"choices": [choice]}), DONE))
    with pytest.raises(StreamFailedError, match="did not name") as caught:
        list(client.create_completion("m", "Hello", stream=True))
    assert caught.value.partial == "Hel"


FAILED = {"error": {"message": "No", "code": 502}}
SAID = {"index": 0, "delta": {"content": "lo"}}
BESIDE_TEXT: dict[str, dict[str, Any]] = {
    "the chunk": {**FAILED, "choices": [SAID, "odd"]},
    "its choice": {"choices": [{**SAID, **FAILED}]},
    "another choice": {"choices": [SAID, {"index": 1, "delta": {}, **FAILED}]},
    "no choice": {"choices": [SAID, {"index": -1, **FAILED}]},
}


@pytest.mark.parametrize("chunk", BESIDE_TEXT.values(), ids=BESIDE_TEXT)
def test_an_error_beside_text(
    wire_server: WireServer, client: ChatServerClient, chunk: dict[str, Any]
) -> None:
    """It ends the answer also where no reason does, and the text is part of what came."""
    wire_server.answers(event_stream(delta("Hel"), event(chunk), DONE))
    with pytest.raises(StreamFailedError, match="^No") as caught:
        list(client.create_completion("m", "Hello", stream=True, n=2))
    assert caught.value.partial == "Hello" and caught.value.status_code == 502


def test_an_error_in_a_choice_that_came_whole(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """The same where a server does not stream when it is asked to."""
    choice = {"index": 0, "message": {"content": "Hel"}, **FAILED}
    wire_server.answers(json_answer(200, {"choices": [choice]}))
    with pytest.raises(StreamFailedError, match="^No") as caught:
        list(client.create_completion("m", "Hello", stream=True))
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize("listed", [[], [5], [{"x": "y"}]])
def test_lists_that_are_no_errors(
    wire_server: WireServer, client: ChatServerClient, listed: list[Any]
) -> None:
    """They say nothing, as any chunk that is no object."""
    wire_server.answers(event_stream(event(listed), delta("Hel"), DONE))
    assert list(client.create_completion("m", "Hello", stream=True)) == ["Hel"]


@pytest.mark.parametrize("heartbeat", [b"data:\n\n", b"data: \n\n", event("", name="ping")])
@pytest.mark.parametrize("end", [DONE, b"data: [DONE] \n\n"])
def test_signs_of_life_and_padded_ends(
    wire_server: WireServer, client: ChatServerClient, heartbeat: bytes, end: bytes
) -> None:
    """An event without a word is none, and [DONE] is an end with a blank behind it too."""
    wire_server.answers(event_stream(heartbeat, delta("Hel"), heartbeat, delta("lo"), end))
    assert list(client.create_completion("m", "Hello", stream=True)) == ["Hel", "lo"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "No"}, "No"),
        ({"error": {}}, "did not name"),
        ({"error": None}, "did not name"),
        ({"code": 503, "message": "No"}, "No"),
        ({"errors": [{"message": "No"}]}, "No"),
        (completion("x", choices=[{"index": 0, "error": {"message": "No"}}]), "No"),
        (completion("x", choices=[None, {"index": 0, "finish_reason": "error"}]), "did not name"),
    ],
)
def test_an_error_in_place_of_an_answer(
    wire_server: WireServer, client: ChatServerClient, body: Any, said: str
) -> None:
    """A success that says error is one, with all that is known of how it came."""
    wire_server.answers(json_answer(200, body, {"X-Request-Id": "r1"}))
    with pytest.raises(APIStatusError, match=said) as caught:
        client.create_completion("m", "Hello")
    assert caught.value.request_id == "r1" and caught.value.response is not None
    assert caught.value.response.json() == body
