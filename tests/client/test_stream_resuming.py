"""A stream that breaks off is taken up again at the next event: nothing is lost, nothing said twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ChatServerClient,
    CompletionStream,
    NotFoundError,
    RetryPolicy,
    StreamConsumedError,
    StreamFailedError,
    StreamInterruptedError,
    Timeout,
)
from chatserver_sdk.testing.answers import Framing
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Script,
    Step,
    UntilHangup,
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
)

TURN = "t-1"
HEADERS = {"X-Chatserver": "0.2.0", "X-Turn-Id": TURN}
WORDS = ["One ", "two ", "three ", "four"]
# Numbers rise and may skip what this dialect does not show.
NUMBERED = [
    *((seq, delta(word, id=f"{TURN}:{seq}")) for seq, word in zip((2, 3, 5, 6), WORDS)),
    (8, finished(id=f"{TURN}:8") + event("[DONE]", id=f"{TURN}:8")),
]
WHOLE = b"".join(said for _, said in NUMBERED)
ANSWERED = WHOLE.index(b"id: t-1:8\ndata: [DONE]")
AT_ONCE = RetryPolicy(max_retries=2, backoff=0)
FRAMINGS: list[Framing] = ["chunked", "close_delimited", "sized"]


def answer(*steps: Step, framing: Framing = "close_delimited", **headers: str) -> Script:
    """A stream of a chat server of ours."""
    named = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return event_stream(*steps, framing=framing, headers=named)


def behind(seq: int) -> bytes:
    """What the events route sends behind an event."""
    return b"".join(said for number, said in NUMBERED if number > seq)


def asked_behind(wire_server: WireServer) -> list[str | None]:
    """The cursors that streams were taken up at."""
    return [request.headers["Last-Event-ID"] for request in wire_server.requests[1:]]


@pytest.fixture
def eager(wire_server: WireServer) -> Iterator[ChatServerClient]:
    """A client that tries again without waiting."""
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        yield client


def ask(client: ChatServerClient) -> CompletionStream:
    """A streamed answer."""
    return client.create_completion("m", "Count.", stream=True)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("cut", range(0, len(WHOLE), 7))
def test_a_cut_anywhere_is_not_noticed(
    wire_server: WireServer, eager: ChatServerClient, cut: int, framing: Framing
) -> None:
    """The server is asked for exactly what is missing, and the text is whole."""
    seen = [int(seq) for seq, _ in NUMBERED if len(WHOLE) - len(behind(seq)) <= cut]
    last = max(seen, default=0)
    length = {"Content-Length": str(len(WHOLE))} if framing == "sized" else {}
    wire_server.answers(answer(WHOLE[:cut], Cut(), framing=framing, **length), answer(behind(last)))
    stream = ask(eager)
    assert list(stream) == WORDS
    assert stream.text == "".join(WORDS) and stream.metadata["finish_reason"] == "stop"
    if cut >= ANSWERED:
        # With its finish_reason an answer is whole; [DONE] is not waited for.
        assert stream.metadata["reconnects"] == 0
        return
    assert stream.metadata["reconnects"] == 1
    assert asked_behind(wire_server) == [f"{TURN}:{last}"]
    resumed = wire_server.requests[1]
    assert (resumed.method, resumed.path) == ("GET", f"/v1/chat/completions/{TURN}/events")
    assert resumed.headers["Authorization"] == "Bearer k"
    assert resumed.headers["Accept"] == "text/event-stream"


@given(cuts=st.lists(st.integers(0, len(WHOLE) - 1), max_size=8))
def test_many_cuts_are_not_noticed(cuts: list[int]) -> None:
    """As long as each connection brings an event, a stream may break off as often as it likes."""
    last, scripts = 0, []
    for cut in cuts:
        following = next((len(said) for seq, said in NUMBERED if seq > last), 0)
        body = behind(last)[: max(cut, following)]
        scripts.append(answer(body))
        last = max((seq for seq, said in NUMBERED if said in body), default=last)
    with WireServer() as server, ChatServerClient("k", server.base_url, max_retries=AT_ONCE) as c:
        server.answers(*scripts, answer(behind(last)))
        assert list(ask(c)) == WORDS


def test_a_server_that_begins_anew(wire_server: WireServer, eager: ChatServerClient) -> None:
    """One that says again what was said already is not believed."""
    wire_server.answers(answer(behind(0)[: len(NUMBERED[0][1]) * 2]), answer(WHOLE))
    stream = ask(eager)
    assert list(stream) == WORDS


def test_the_cursor(wire_server: WireServer, eager: ChatServerClient) -> None:
    """It names the last event that was handed out, from none to the last one."""
    wire_server.answers(answer(WHOLE))
    stream = ask(eager)
    assert stream.cursor is None
    cursors = [stream.cursor for _ in stream]
    assert cursors == [f"{TURN}:{seq}" for seq in (2, 3, 5, 6)]
    assert stream.cursor == f"{TURN}:8"


@pytest.mark.parametrize("after", [0, 2, 3, 5, 6, 8])
def test_another_process_goes_on(
    wire_server: WireServer, eager: ChatServerClient, after: int
) -> None:
    """resume_stream() gives what is behind a cursor, and breaks off no more than a stream does."""
    rest = behind(after) or event("[DONE]", id=f"{TURN}:8")
    wire_server.answers(answer(rest[:10], Cut()), answer(rest))
    stream = eager.resume_stream(f"{TURN}:{after}")
    assert list(stream) == [word for word, (seq, _) in zip(WORDS, NUMBERED) if seq > after]
    assert [r.headers["Last-Event-ID"] for r in wire_server.requests] == [f"{TURN}:{after}"] * 2
    assert stream.metadata["reconnects"] == 1


def test_chunks_and_the_whole_response(wire_server: WireServer, eager: ChatServerClient) -> None:
    """However a stream is read, it is taken up again."""
    for read in (lambda s: [c for c in s.chunks()], lambda s: [s.response()]):
        wire_server.answers(answer(WHOLE[:300], Cut()), answer(behind(2)))
        read(stream := ask(eager))
        assert stream.response().choices[0].message.content == "".join(WORDS)


OTHERS: dict[str, dict[str, str]] = {
    "no turn": {"X-Chatserver": "1"},
    "our first version": {"X-Chatserver": "0.1.0", "X-Turn-Id": TURN},
    "nobody we know": {"X-Turn-Id": TURN},
    "another turn": {"X-Chatserver": "1", "X-Turn-Id": "t-2"},
}


@pytest.mark.parametrize("headers", OTHERS.values(), ids=OTHERS)
def test_other_servers(
    wire_server: WireServer, eager: ChatServerClient, headers: dict[str, str]
) -> None:
    """The model is never silently asked again: it would answer something else, and cost twice."""
    body = delta("Hel") if headers.get("X-Turn-Id") == TURN else delta("Hel", id=f"{TURN}:1")
    wire_server.answers(event_stream(body, Cut(), headers=headers))
    stream = ask(eager)
    with pytest.raises(StreamInterruptedError) as caught:
        list(stream)
    assert caught.value.partial == "Hel" and stream.cursor is None
    assert len(wire_server.requests) == 1


def test_numbers_are_enough_to_go_on(wire_server: WireServer, eager: ChatServerClient) -> None:
    """A gateway may take our header away; ids that carry the turn's name speak for themselves."""
    headers = {"X-Turn-Id": TURN}
    first = event_stream(NUMBERED[0][1], Cut(), headers=headers)
    wire_server.answers(first, event_stream(behind(2), headers=headers))
    assert list(ask(eager)) == WORDS


REFUSALS = [(404, NotFoundError), (410, APIStatusError), (401, APIStatusError)]


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_too_late(
    wire_server: WireServer, eager: ChatServerClient, status: int, kind: type[Exception]
) -> None:
    """Where the server cannot go on, the caller gets what came, and why."""
    wire_server.answers(answer(NUMBERED[0][1]), json_answer(status, {"detail": "Gone."}))
    with pytest.raises(StreamInterruptedError, match="could not be taken up again: Gone.") as e:
        list(ask(eager))
    assert e.value.partial == WORDS[0] and isinstance(e.value.__cause__, kind)
    assert len(wire_server.requests) == 2


def test_no_event_in_several_attempts(wire_server: WireServer, eager: ChatServerClient) -> None:
    """A server that always hangs up is given up: after the first attempt and two more."""
    wire_server.answers(answer(NUMBERED[0][1]), answer())
    with pytest.raises(StreamInterruptedError) as caught:
        list(ask(eager))
    assert caught.value.metadata["reconnects"] == 3
    assert asked_behind(wire_server) == [f"{TURN}:2"] * 3


PASSING: list[Script] = [
    [Cut()],
    [Cut(reset=True)],
    json_answer(503, {}),
    json_answer(502, {}),
    json_answer(429, {}, {"Retry-After": "0"}),
]


@pytest.mark.parametrize("failure", PASSING)
def test_failures_that_pass(
    wire_server: WireServer, eager: ChatServerClient, failure: Script
) -> None:
    """A server that is back after a moment goes on."""
    wire_server.answers(answer(NUMBERED[0][1]), failure, failure, answer(behind(2)))
    assert list(ask(eager)) == WORDS


def test_no_retries_is_no_resuming(wire_server: WireServer, client: ChatServerClient) -> None:
    """max_retries=0 sends nothing a second time, whatever it is."""
    wire_server.answers(answer(NUMBERED[0][1]))
    with pytest.raises(StreamInterruptedError):
        list(ask(client))
    assert len(wire_server.requests) == 1


ERRORS: list[tuple[bytes, type[Exception]]] = [
    (event({"error": {"message": "No"}}, id=f"{TURN}:3"), StreamFailedError),
    (b"data: no json\n\n", StreamInterruptedError),
]


@pytest.mark.parametrize(("said", "kind"), ERRORS)
def test_what_the_server_says_is_no_cut(
    wire_server: WireServer, eager: ChatServerClient, said: bytes, kind: type[Exception]
) -> None:
    """An error, or what is none of the protocol, would come again."""
    wire_server.answers(answer(NUMBERED[0][1], said))
    with pytest.raises(kind):
        list(ask(eager))
    assert len(wire_server.requests) == 1


def test_time_is_counted_from_the_beginning(wire_server: WireServer) -> None:
    """A total bounds the stream over all its connections; silence is the caller's limit too."""
    slow: Any = itertools.chain(*[(Pause(0.05), b": still here\n\n")] * 200)
    wire_server.answers(answer(NUMBERED[0][1]), answer(*slow))
    with ChatServerClient("k", wire_server.base_url, Timeout(total=1), max_retries=AT_ONCE) as c:
        with pytest.raises(StreamInterruptedError) as caught:
            list(ask(c))
    assert isinstance(caught.value.__cause__, APITimeoutError)
    assert caught.value.__cause__.kind == "total"
    assert caught.value.partial == WORDS[0]


def test_silence_is_not_broken_by_reconnecting(wire_server: WireServer) -> None:
    """Idle means: no event for so long. A new connection would only wait as long again."""
    wire_server.answers(answer(NUMBERED[0][1], Pause(threading.Event())))
    with ChatServerClient("k", wire_server.base_url, Timeout(idle=0.1), max_retries=AT_ONCE) as c:
        with pytest.raises(StreamInterruptedError) as caught:
            list(ask(c))
    assert isinstance(caught.value.__cause__, APITimeoutError)
    assert len(wire_server.requests) == 1


@pytest.mark.parametrize("cursor", ["", " ", "t", ":1", "t:", "t:x", "t:-1", "..:1", None, 5])
def test_what_is_no_cursor(eager: ChatServerClient, cursor: Any) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(BadRequestError) as caught:
        eager.resume_stream(cursor)
    assert caught.value.param == "cursor" and caught.value.response is None


def test_a_turn_that_is_not_known(wire_server: WireServer, eager: ChatServerClient) -> None:
    """resume_stream() raises what the server says."""
    wire_server.answers(json_answer(404, {"detail": "No such turn"}))
    with pytest.raises(NotFoundError, match="^No such turn"):
        eager.resume_stream("a/b:7")
    assert wire_server.requests[0].path == "/v1/chat/completions/a%2Fb/events"


WAITS: dict[str, Callable[[threading.Event], Script]] = {
    "events": lambda seen: answer(UntilHangup(seen)),
    "a retry": lambda seen: json_answer(429, {}, {"Retry-After": "30"}),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_closing_while_it_is_taken_up(
    wire_server: WireServer, eager: ChatServerClient, wait: Callable[[threading.Event], Script]
) -> None:
    """close() from another thread ends the wait for the next connection, and that connection."""
    wire_server.answers(answer(NUMBERED[0][1]), wait(threading.Event()))
    stream = ask(eager)
    assert next(stream) == WORDS[0]
    timer = threading.Timer(0.2, stream.close)
    timer.start()
    with pytest.raises(StreamConsumedError):
        next(stream)
    timer.join()


def test_closing_while_a_server_takes_its_time(
    wire_server: WireServer, eager: ChatServerClient
) -> None:
    """A connection that is only there after close() is closed at once."""
    gate = threading.Event()
    steps: Any = answer(UntilHangup(seen := threading.Event()))
    wire_server.answers(answer(NUMBERED[0][1]), [Pause(gate), *steps])
    stream = ask(eager)
    assert next(stream) == WORDS[0]

    def close() -> None:
        stream.close()
        gate.set()

    timer = threading.Timer(0.2, close)
    timer.start()
    with pytest.raises(StreamConsumedError):
        next(stream)
    timer.join()
    assert seen.wait(30)


def test_a_server_that_does_not_answer_any_more(wire_server: WireServer) -> None:
    """The caller's patience is not spent a second time."""
    wire_server.answers(answer(NUMBERED[0][1]), [Pause(threading.Event())])
    with ChatServerClient("k", wire_server.base_url, Timeout(idle=0.2), max_retries=AT_ONCE) as c:
        with pytest.raises(StreamInterruptedError, match="did not answer within 0.2 s"):
            list(ask(c))
    assert len(wire_server.requests) == 2


def test_what_ends_the_connection_is_the_cause(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """The exception below says how it broke off."""
    wire_server.answers(answer(NUMBERED[0][1], Cut(reset=True), framing="chunked"))
    with pytest.raises(StreamInterruptedError) as caught:
        list(ask(client))
    assert isinstance(caught.value.__cause__, APIConnectionError)


def test_a_whole_answer_is_not_the_rest_of_one(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Nobody knows what it repeats: it is not appended."""
    whole = json_answer(200, completion("abc"), HEADERS)
    begun = event_stream(delta("a", id=f"{TURN}:1"), Cut(), headers=HEADERS)
    wire_server.answers(begun, whole, whole)
    stream = client.create_completion("m", "x", stream=True, max_retries=1)
    assert next(stream) == "a"
    with pytest.raises(StreamInterruptedError, match="in place of the rest") as caught:
        next(stream)
    assert caught.value.partial == "a"
    with pytest.raises(StreamInterruptedError, match="in place of the rest"):
        list(client.resume_stream(f"{TURN}:1"))


def test_digits_of_other_scripts(wire_server: WireServer, client: ChatServerClient) -> None:
    """No cursor has them: what could not be taken up again is no place."""
    wire_server.answers(event_stream(delta("a", id=f"{TURN}:\u0661"), DONE, headers=HEADERS))
    stream = client.create_completion("m", "x", stream=True)
    assert list(stream) == ["a"] and stream.cursor is None
