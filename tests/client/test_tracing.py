"""Spans by OpenTelemetry's conventions: one a call, with what was asked for and never what was said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode
from span_reading import (
    ANSWERED,
    ASKED,
    EVENTS,
    PROMPT,
    SAID,
    WHOLE,
    Spans,
    ask,
    attributes,
    only,
    traceparent,
)

from chatserver_sdk import ChatServerClient, ChatServerError, RetryPolicy
from chatserver_sdk.testing import (
    Cut,
    Script,
    Step,
    WireServer,
    completion,
    json_answer,
    plain_answer,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def eager(wire_server: WireServer) -> Iterator[ChatServerClient]:
    """A client that tries again once, without waiting."""
    retries = RetryPolicy(max_retries=1, backoff=0)
    with ChatServerClient("sk-key", wire_server.base_url, max_retries=retries) as client:
        yield client


def test_a_completion(wire_server: WireServer, eager: ChatServerClient, spans: Spans) -> None:
    """Its span says what was asked for, who answered and what it cost."""
    wire_server.answers(WHOLE)
    ask(eager)
    span = only(spans)
    assert (span.name, span.kind) == ("chat model-1", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    host, _, port = wire_server.base_url.removeprefix("http://").partition(":")
    place = {"server.address": host, "server.port": int(port), "http.request.method": "POST"}
    reasons = {"gen_ai.response.finish_reasons": ("stop",)}
    assert dict(span.attributes or {}) == {**ASKED, **ANSWERED, **place, **reasons}
    assert wire_server.requests[0].headers["traceparent"] == traceparent(span)


def test_options_of_a_completion(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """Numbers only, those that were chosen; text where an answer stops is the caller's."""
    wire_server.answers(json_answer(200, completion("x", usage={}, id="")))
    options: dict[str, Any] = {"n": 2, "seed": 7, "stop": SAID, "presence_penalty": 1.5}
    eager.create_completion(
        "m", PROMPT, temperature=None, top_p=None, max_completion_tokens=5, **options
    )
    assert attributes(only(spans)) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.seed": 7,
        "gen_ai.request.presence_penalty": 1.5,
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "http.response.status_code": 200,
    }


FAILURES: dict[str, tuple[Script, str, int | None]] = {
    "status": (json_answer(429, {"detail": SAID}), "RateLimitError", 429),
    "cut": ([Cut()], "APIConnectionError", None),
    "not json": (plain_answer(200, SAID.encode()), "DecodeError", 200),
    "error": (json_answer(200, {"error": {"message": SAID}}), "InternalServerError", 200),
}


@pytest.mark.parametrize(("answer", "kind", "status"), FAILURES.values(), ids=FAILURES)
def test_a_call_that_fails(
    wire_server: WireServer,
    eager: ChatServerClient,
    spans: Spans,
    answer: Script,
    kind: str,
    status: int | None,
) -> None:
    """The class of what is raised, and the status that came, if one did."""
    wire_server.answers(answer)
    with pytest.raises(ChatServerError):
        ask(eager, max_retries=0)
    found = attributes(only(spans))
    assert found["error.type"] == kind
    assert found.get("http.response.status_code") == status
    assert only(spans).status.status_code is StatusCode.ERROR
    assert only(spans).status.description is None


def test_retries_are_one_span(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """It counts them; every attempt continues the same trace."""
    wire_server.answers(json_answer(503, {}), WHOLE)
    ask(eager)
    found = attributes(only(spans))
    assert (found["http.request.resend_count"], found["http.response.status_code"]) == (1, 200)
    headers = {request.headers["traceparent"] for request in wire_server.requests}
    assert headers == {traceparent(only(spans))}


def reject(client: ChatServerClient) -> None:
    """A call that is wrong before anything is sent."""
    with pytest.raises(ChatServerError):
        client.create_completion("", PROMPT)


OTHERS: dict[str, tuple[Callable[[ChatServerClient], Any], str | None]] = {
    "GET": (lambda c: c.request("GET", "/own/17?x=1"), "GET"),
    "_OTHER": (lambda c: c.request("BREW", "/pot"), "HTTP"),
    "models": (lambda c: c.list_models(), "GET /v1/models"),
    "session": (
        lambda c: c.get_session("s-17", user_id="u"),
        "GET /atoms/chat/sessions/{session_id}",
    ),
    "admin": (lambda c: c.remove_admin("a@x.org"), "DELETE /api/v1/platform/admins/{email}"),
    "nothing sent": (reject, None),
}


@pytest.mark.parametrize(("call", "name"), OTHERS.values(), ids=OTHERS)
def test_other_calls(
    wire_server: WireServer,
    eager: ChatServerClient,
    spans: Spans,
    call: Callable[[ChatServerClient], Any],
    name: str | None,
) -> None:
    """Method and route; what differs from call to call is in no name, and no value in the rest."""
    wire_server.answers(json_answer(404, {}) if name and "{" in name else json_answer(200, {}))
    with suppress(ChatServerError):
        call(eager)
    assert [span.name for span in spans()] == ([] if name is None else [name])
    for span in spans():
        assert not {"17", "a@x.org"} & set(json.dumps(dict(span.attributes or {})).split('"'))
        method = (span.attributes or {})["http.request.method"]
        assert method == ("_OTHER" if name == "HTTP" else (name or "").partition(" ")[0])


def test_spans_of_the_caller(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """A call belongs to the caller's span and is not the current one behind it."""
    wire_server.answers(WHOLE, EVENTS, json_answer(401, {}))
    with trace.get_tracer("own").start_as_current_span("own") as own:
        ask(eager)
        stream = ask(eager, stream=True)
        with suppress(ChatServerError):
            eager.list_models()
        assert trace.get_current_span() is own
        list(stream)
    children = [span for span in spans() if span.name != "own"]
    assert len(children) == 3
    assert [span.parent for span in children] == [own.get_span_context()] * 3


def test_headers_of_the_caller_win(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """And baggage travels along."""
    wire_server.answers(WHOLE)
    token = context.attach(baggage.set_baggage("tenant", "t1"))
    ask(eager, extra_headers={"Traceparent": "mine"})
    context.detach(token)
    headers = wire_server.requests[0].headers
    assert headers.get_all("traceparent") == ["mine"]
    assert headers["baggage"] == "tenant=t1"


def test_another_server_is_not_told(
    wire_server: WireServer, eager: ChatServerClient, spans: Spans
) -> None:
    """A redirect to somewhere else takes no trace along."""
    with WireServer() as other:
        other.answers(json_answer(200, {"data": []}))
        wire_server.answers(plain_answer(302, b"", {"Location": f"{other.base_url}/v1/models"}))
        eager.list_models()
        assert other.requests[0].headers["traceparent"] is None


def test_long_words_are_cut(wire_server: WireServer, eager: ChatServerClient, spans: Spans) -> None:
    """A server may say what it likes; a span stays small."""
    said = {"role": "assistant", "content": ""}
    choices = [{"index": i, "message": said, "finish_reason": "r" * 999} for i in range(200)]
    wire_server.answers(json_answer(200, completion("", id="i" * 999, choices=choices)))
    ask(eager)
    found = attributes(only(spans))
    assert found["gen_ai.response.id"] == "i" * 256
    assert found["gen_ai.response.finish_reasons"] == ("r" * 256,) * 128


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answer",
    [WHOLE, EVENTS, [Cut()], plain_answer(200, SAID.encode()), json_answer(400, {"detail": SAID})],
    ids=["whole", "events", "cut", "text", "refused"],
)
def test_no_span_holds_a_word(
    wire_server: WireServer,
    eager: ChatServerClient,
    spans: Spans,
    answer: list[Step],
    stream: bool,
) -> None:
    """Nor the key: not in attributes, events or status, whatever happens."""
    wire_server.answers(answer)
    with suppress(ChatServerError):
        answered = ask(eager, stream=stream, system_prompt=PROMPT, user=PROMPT)
        list(answered if stream else ())
    shown = only(spans).to_json()
    assert not [word for word in (PROMPT, SAID, "sk-key") if word in shown]


def loaded_by(program: str) -> list[str]:
    """What a program prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


START = """
import logging, sys
from chatserver_sdk import ChatServerClient
from chatserver_sdk.testing import WireServer, completion, json_answer
def loaded():
    print(any(name.startswith("opentelemetry.") for name in sys.modules))
def call():
    with WireServer() as server, ChatServerClient("k", server.base_url) as client:
        server.answers(json_answer(200, completion("Hello")))
        client.create_completion("m", "Hi")
        print(server.requests[0].headers["traceparent"])
"""


def test_who_does_not_trace_loads_nothing() -> None:
    """Neither to import us, nor to make a client, nor to call, installed or not."""
    program = "ChatServerClient().close()\nloaded()\ncall()\nloaded()"
    assert loaded_by(START + program) == ["False", "None", "False"]
    hidden = "import sys\nsys.modules['opentelemetry'] = None\n"
    assert loaded_by(hidden + START + "call()") == ["None"]


def test_the_api_without_a_provider() -> None:
    """Nobody records; a trace that came from elsewhere goes on."""
    program = """
call()
from opentelemetry import propagate, context
call()
parent = "00-" + 32 * "1" + "-" + 16 * "2" + "-01"
context.attach(propagate.extract({"traceparent": parent}))
call()
print(parent)
"""
    first, second, third, parent = loaded_by(START + program)
    assert (first, second, third) == ("None", "None", parent)


def test_a_broken_installation_breaks_no_call() -> None:
    """It is said in the log."""
    program = """
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
import opentelemetry.context
sys.modules["opentelemetry.propagate"] = None
call()
call()
"""
    words = "no traces: OpenTelemetry failed with ModuleNotFoundError None None"
    assert loaded_by(START + program) == words.split()
