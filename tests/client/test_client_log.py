"""The client's log: a line for what happened, never a word of what was sent or said."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chatserver_sdk import ChatServerClient, ChatServerError, RetryPolicy
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Step,
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
    plain_answer,
    sized,
)

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-secret-key-0123456789"
PROMPT = "secret-prompt-0123456789"
SAID = "secret-answer-0123456789"
HEADER = "secret-header-0123456789"
QUERY = "secret-query-0123456789"
SECRETS = (KEY, PROMPT, SAID, HEADER, QUERY)
OPTIONS: dict[str, Any] = {"extra_headers": {"X-Own": HEADER}, "extra_query": {"q": QUERY}}

Call = Callable[[ChatServerClient], Any]
CALLS: dict[str, Call] = {
    "get": lambda c: c.list_models(**OPTIONS),
    "query": lambda c: c.list_sessions(QUERY, **OPTIONS),
    "post": lambda c: c.create_completion("m", PROMPT, **OPTIONS),
    "stream": lambda c: list(c.create_completion("m", PROMPT, stream=True, **OPTIONS)),
    "early": lambda c: c.create_completion("m", PROMPT, stream=True, **OPTIONS).close(),
    "resume": lambda c: list(c.resume_stream("t:1", **OPTIONS)),
    "delete": lambda c: c.remove_admin("a@x.org", **OPTIONS),
    "own": lambda c: c.request("POST", f"/x?q={QUERY}", body={"p": PROMPT}, **OPTIONS),
    "bad": lambda c: c.create_completion("", PROMPT),
    "unwritable": lambda c: c.create_completion("m", PROMPT, metadata={"x": object()}),
}
ANSWERS: dict[str, list[Step]] = {
    **{
        str(status): json_answer(status, {"detail": SAID}, {"X-Request-Id": SAID})
        for status in (400, 401, 429, 500, 503)
    },
    "whole": json_answer(200, completion(SAID), {"X-Request-Id": SAID}),
    "events": event_stream(delta(SAID), finished(), DONE),
    "nothing": [Cut()],
    "no http": [SAID.encode() + b"\r\n\r\n"],
    "half": sized(SAID.encode(), Cut(), headers={"Content-Length": "99"}),
    "not json": plain_answer(200, SAID.encode()),
    "redirect": plain_answer(302, b"", {"Location": f"http://[::1/{SAID}"}),
    "error inside": event_stream(delta(SAID), event({"error": {"message": SAID}}), DONE),
    "cut": event_stream(delta(SAID), Cut()),
}


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What is logged, by the client at debug."""
    kept = Kept()
    caplog.set_level(logging.DEBUG, "chatserver_sdk")
    logging.getLogger().addHandler(kept)
    yield kept.records
    logging.getLogger().removeHandler(kept)


@pytest.fixture
def eager(wire_server: WireServer) -> Iterator[ChatServerClient]:
    """A client with a secret key that tries again without waiting."""
    retries = RetryPolicy(max_retries=1, backoff=0)
    with ChatServerClient(KEY, wire_server.base_url, max_retries=retries) as client:
        yield client


def said(lines: list[logging.LogRecord]) -> list[str]:
    """The lines without what differs from run to run."""
    texts = [f"{r.levelname} {r.getMessage()}" for r in lines if r.name == "chatserver_sdk"]
    texts = [re.sub(r"request id [0-9a-f]{32}", "request id R", text) for text in texts]
    return [re.sub(r"\d+\.\d{2,3} s", "T s", text) for text in texts]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_line_holds_a_secret(
    wire_server: WireServer,
    eager: ChatServerClient,
    lines: list[logging.LogRecord],
    call: Call,
    answer: list[Step],
) -> None:
    """Nor do the objects that a line was made of, which some handlers look into."""
    wire_server.answers(answer)
    with suppress(ChatServerError):
        call(eager)
    assert bool(wire_server.requests) == any(r.name == "chatserver_sdk" for r in lines)
    for record in lines:
        shown = f"{record.getMessage()} {record.args!r} {record.exc_info} {vars(record)}"
        # urllib3 has lines of its own, which show queries to those who want them.
        secrets = SECRETS if record.name == "chatserver_sdk" else (KEY, PROMPT, HEADER)
        assert not [secret for secret in secrets if secret in shown]


def test_urllib3_keeps_its_level(
    wire_server: WireServer,
    eager: ChatServerClient,
    lines: list[logging.LogRecord],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its lines come to those who asked for them, and hold neither key nor prompt."""
    wire_server.answers(ANSWERS["whole"])
    CALLS["post"](eager)
    assert {record.name for record in lines} == {"chatserver_sdk"}
    caplog.set_level(logging.DEBUG, "urllib3")
    CALLS["post"](eager)
    theirs = [r.getMessage() for r in lines if r.name.startswith("urllib3")]
    assert theirs and not [x for x in theirs if KEY in x or PROMPT in x or HEADER in x]


def test_what_parses_odd_events_says_nothing(
    wire_server: WireServer, eager: ChatServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has every library's lines shown does not see there what was answered."""
    caplog.set_level(logging.DEBUG)
    wire_server.answers(event_stream(b"retry: 5\n" + delta(SAID), DONE))
    assert list(eager.create_completion("m", PROMPT, stream=True)) == [SAID]
    assert not [record for record in caplog.records if record.name.startswith("sseclient")]


def test_a_call_that_succeeds_the_second_time(
    wire_server: WireServer, eager: ChatServerClient, lines: list[logging.LogRecord]
) -> None:
    """A line for each attempt and one for the retry, all with the id that the server got."""
    wire_server.answers(ANSWERS["503"], ANSWERS["whole"])
    CALLS["post"](eager)
    assert wire_server.requests[0].headers["X-Request-Id"] in lines[0].getMessage()
    call = "POST /v1/chat/completions (request id R)"
    assert said(lines) == [
        f"DEBUG {call}: ServiceUnavailableError 503, T s",
        f"INFO {call}: ServiceUnavailableError 503; again in T s",
        f"DEBUG {call}: 200, T s",
    ]


def test_a_query_in_a_path_is_left_out(
    wire_server: WireServer, eager: ChatServerClient, lines: list[logging.LogRecord]
) -> None:
    """The path of a route of the caller's own may bring one."""
    wire_server.answers(json_answer(200, {}))
    CALLS["own"](eager)
    assert said(lines) == ["DEBUG POST /x (request id R): 200, T s"]


def test_a_call_whose_time_runs_out(
    wire_server: WireServer, lines: list[logging.LogRecord]
) -> None:
    """An error without a status is told by its class."""
    wire_server.answers([Pause(threading.Event())])
    with ChatServerClient(KEY, wire_server.base_url, timeout=0.01) as client:
        with pytest.raises(ChatServerError):
            client.list_models()
    assert said(lines) == ["DEBUG GET /v1/models (request id R): APITimeoutError, T s"]


STREAMS: dict[str, tuple[list[Step], str]] = {
    "whole": (ANSWERS["events"], "ended; 3 events"),
    "error": (ANSWERS["error inside"], "StreamFailedError 500; 2 events"),
    "cut": (ANSWERS["cut"], "StreamInterruptedError; 1 events"),
}


@pytest.mark.parametrize(("answer", "end"), STREAMS.values(), ids=STREAMS)
def test_a_stream_has_an_end(
    wire_server: WireServer,
    eager: ChatServerClient,
    lines: list[logging.LogRecord],
    answer: list[Step],
    end: str,
) -> None:
    """After the line of its beginning there is exactly one, however often it is closed."""
    wire_server.answers(answer)
    stream = eager.create_completion("m", PROMPT, stream=True)
    with suppress(ChatServerError):
        list(stream)
    stream.close()
    stream.close()
    call = "DEBUG POST /v1/chat/completions (request id R):"
    assert said(lines) == [f"{call} 200, T s", f"{call} stream {end}, T s"]


def test_a_stream_that_is_closed_early_or_dropped(
    wire_server: WireServer, eager: ChatServerClient, lines: list[logging.LogRecord]
) -> None:
    """Both are ends."""
    wire_server.answers(ANSWERS["events"])
    for drop in (False, True):
        stream = eager.create_completion("m", PROMPT, stream=True)
        next(stream)
        if not drop:
            stream.close()
        del stream
    ends = [line for line in said(lines) if "stream ended; 1 events" in line]
    assert len(ends) == 2


def test_a_stream_that_is_taken_up_again(
    wire_server: WireServer, eager: ChatServerClient, lines: list[logging.LogRecord]
) -> None:
    """One line at info; the events of both parts are counted at the end."""
    headers = {"X-Chatserver": "0.2.0", "X-Turn-Id": "t"}
    wire_server.answers(
        event_stream(delta("Hel", id="t:1"), framing="close_delimited", headers=headers),
        event_stream(delta(SAID, id="t:2"), finished(id="t:3"), DONE, headers=headers),
    )
    assert list(eager.create_completion("m", PROMPT, stream=True)) == ["Hel", SAID]
    first = "POST /v1/chat/completions (request id R)"
    second = "GET /v1/chat/completions/t/events (request id R)"
    assert said(lines) == [
        f"DEBUG {first}: 200, T s",
        f"DEBUG {second}: 200, T s",
        f"INFO {second}: a stream that broke off is taken up again",
        f"DEBUG {first}: stream ended; 4 events, T s",
    ]


PROGRAM = """
import logging, sys
from chatserver_sdk import ChatServerClient, ConfigurationError
from chatserver_sdk.testing import WireServer, json_answer
for _ in range(2):
    try:
        ChatServerClient().close()
    except ConfigurationError as exc:
        print(exc)
        raise SystemExit
with WireServer() as server:
    server.answers(json_answer(503, {}), json_answer(200, {"data": []}))
    with ChatServerClient("k", server.base_url) as client:
        client.list_models()
logging.getLogger("chatserver_sdk").warning("warned")
"""


def run(level: str | None) -> subprocess.CompletedProcess[str]:
    """A program with two clients, one retry and a warning, where CHATSERVER_LOG says this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CHATSERVER_LOG", raising=False)
        if level is not None:
            patch.setenv("CHATSERVER_LOG", level)
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        (None, []),
        ("", []),
        ("debug", ["DEBUG", "INFO", "DEBUG", "WARNING"]),
        (" Info ", ["INFO", "WARNING"]),
        ("WARNING", ["WARNING"]),
    ],
)
def test_the_environment_asks_for_a_log(level: str | None, levels: list[str]) -> None:
    """Each line once, with its time, on stderr; without the variable there is none."""
    done = run(level)
    assert done.stdout == ""
    form = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) chatserver_sdk: \S.*"
    matches = [m for line in done.stderr.splitlines() if (m := re.fullmatch(form, line))]
    assert [match[1] for match in matches] == levels


def test_a_level_that_is_none() -> None:
    """The first client is not made, and the error says what could be."""
    done = run("verbose")
    assert done.stdout == "CHATSERVER_LOG must be debug, info or warning, or not be set\n"
    assert done.stderr == ""
