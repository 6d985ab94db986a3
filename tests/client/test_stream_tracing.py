"""Spans of streams: open while somebody reads, one however often the stream is taken up again."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from span_reading import (
    ANSWERED,
    ASKED,
    CHAT,
    EVENTS,
    OURS,
    PROMPT,
    SAID,
    USAGE,
    Spans,
    ask,
    attributes,
    only,
    traceparent,
)

from chatserver_sdk import ChatServerClient, ChatServerError, RetryPolicy
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Script,
    WireServer,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
    plain_answer,
)


@pytest.fixture
def eager(wire_server: WireServer) -> Iterator[ChatServerClient]:
    """A client that tries again once, without waiting."""
    retries = RetryPolicy(max_retries=1, backoff=0)
    with ChatServerClient("sk-key", wire_server.base_url, max_retries=retries) as client:
        yield client


def test_a_stream(wire_server: WireServer, eager: ChatServerClient, spans: Spans) -> None:
    """Its span is open while it is read, and says in the end what a whole answer's does."""
    wire_server.answers(EVENTS)
    stream = ask(eager, stream=True)
    assert next(stream) == SAID and not spans()
    assert list(stream) == []
    span = only(spans)
    assert (span.name, span.status.status_code) == ("chat model-1", StatusCode.UNSET)
    reasons = {"gen_ai.response.finish_reasons": ("length",)}
    assert attributes(span) == {**ASKED, **ANSWERED, **reasons}
    stream.close()
    assert len(spans()) == 1


def test_choices_of_a_stream(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """Each has its own reason; what a server writes in the place of an id is no id."""
    choices = [{"index": i, "delta": {}, "finish_reason": r} for i, r in ((1, "stop"), (0, "b"))]
    wire_server.answers(event_stream(event({"id": 5, "choices": choices}), DONE))
    list(ask(eager, stream=True, n=2))
    found = attributes(only(spans))
    assert found["gen_ai.response.finish_reasons"] == ("b", "stop")
    assert "gen_ai.response.id" not in found and "gen_ai.usage.input_tokens" not in found


@pytest.mark.parametrize("drop", [False, True])
def test_a_stream_that_nobody_reads_on(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans, drop: bool
) -> None:
    """Closed or dropped, its span ends, and that is no failure."""
    wire_server.answers(event_stream(delta("Hel"), Pause(threading.Event()), DONE))
    stream = ask(eager, stream=True)
    next(stream)
    if not drop:
        stream.close()
    assert len(spans()) == (0 if drop else 1)
    del stream
    gc.collect()
    span = only(spans)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["gen_ai.response.id"] == "chatcmpl-1"


def test_a_stream_that_is_closed_by_another_thread(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """Its reader's exception is no failure of the call, and its span ends once."""
    wire_server.answers(event_stream(delta("Hel"), Pause(threading.Event()), DONE))
    stream = ask(eager, stream=True)
    next(stream)
    closing = threading.Thread(target=stream.close)
    closing.start()
    with suppress(ChatServerError):
        list(stream)
    closing.join()
    assert only(spans).status.status_code is StatusCode.UNSET


def test_a_call_ends_once(
    wire_server: WireServer,
    eager: ChatServerClient,
    spans: Spans,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two threads may find a stream's end at the same time; OpenTelemetry would complain."""
    wire_server.answers(EVENTS)
    body = eager._transport.open_stream("POST", CHAT)
    for _ in range(2):
        body.trace.end_stream(None, 0, None)
        body.trace.end()
    body.close()
    assert only(spans).name == f"POST {CHAT}" and not caplog.records


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (event_stream(delta(SAID), Cut()), "StreamInterruptedError"),
        (event_stream(delta(SAID), event({"error": SAID}), DONE), "StreamFailedError"),
        (plain_answer(401, b""), "UnauthorizedError"),
    ],
)
def test_a_stream_that_fails(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans, answer: Script, kind: str
) -> None:
    """Before its first event or behind it."""
    wire_server.answers(answer)
    with pytest.raises(ChatServerError):
        list(ask(eager, stream=True))
    assert attributes(only(spans))["error.type"] == kind
    assert only(spans).status.status_code is StatusCode.ERROR


def test_a_stream_taken_up_again_is_one_span(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """The request for its rest, and one that failed, belong to the same trace."""
    wire_server.answers(
        event_stream(delta("Hel", id="t:1"), framing="close_delimited", headers=OURS),
        json_answer(503, {}),
        event_stream(finished(id="t:3", usage=USAGE), DONE, headers=OURS),
    )
    list(ask(eager, stream=True))
    reasons = {"gen_ai.response.finish_reasons": ("stop",)}
    assert attributes(only(spans)) == {**ASKED, **ANSWERED, **reasons}
    headers = [request.headers["traceparent"] for request in wire_server.requests]
    assert headers == [traceparent(only(spans))] * 3


def test_a_resumed_stream(wire_server: WireServer, eager: ChatServerClient, spans: Spans) -> None:
    """In another process it is a call of its own, also where it breaks off once more."""
    wire_server.answers(
        event_stream(delta("Hel", id="t:2"), framing="close_delimited", headers=OURS),
        event_stream(finished(id="t:3"), DONE, headers=OURS),
    )
    list(eager.resume_stream("t:1"))
    span = only(spans)
    assert span.name == f"GET {CHAT}/{{turn_id}}/events"
    assert attributes(span)["gen_ai.response.id"] == "chatcmpl-1"
    headers = [request.headers["traceparent"] for request in wire_server.requests]
    assert headers == [traceparent(span)] * 2


def test_others_trace_within_the_call(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """What instruments requests or urllib3 sees this span as its parent."""
    seen: list[Any] = []

    def key() -> str:
        seen.append(trace.get_current_span().get_span_context())
        return "k"

    wire_server.answers(
        event_stream(delta("Hel", id="t:1"), framing="close_delimited", headers=OURS),
        event_stream(finished(id="t:3"), DONE, headers=OURS),
    )
    with ChatServerClient(key, wire_server.base_url) as client:
        list(client.create_completion("m", PROMPT, stream=True))
    assert seen == [only(spans).context] * 2
