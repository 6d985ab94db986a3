"""Streams of messages in sessions: text, typed events, ends, and wherever they break off."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from chatserver_sdk import (
    ChatServerClient,
    MessageStream,
    RateLimitError,
    RetryPolicy,
    StreamConsumedError,
    StreamFailedError,
    StreamInterruptedError,
)
from chatserver_sdk._wire import session_chat
from chatserver_sdk.models import ChatMessageRecord, MessageRole, UsageInfo
from chatserver_sdk.models.events import (
    Event,
    MessageStored,
    ModeChanged,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
    WidgetShown,
    WidgetUpdated,
)
from chatserver_sdk.testing import (
    Script,
    WireServer,
    close_delimited,
    event,
    json_answer,
    running_server,
    ScriptedAgent,
)

HEADING = session_chat.Heading("t-1", "s-1", "m")
HEADERS = {"X-Chatserver": "0.3.0", "X-Turn-Id": "t-1", "X-Session-Id": "s-1"}
STORED = ChatMessageRecord.from_dict(
    {
        "id": "m1",
        "message_index": 1,
        "role": "assistant",
        "created_at": "2026-01-01",
        "content": "x",
    }
)
SAID: list[Event] = [
    TurnStarted(),
    ThoughtDelta("hm"),
    TextDelta("One "),
    ToolCall("c1", "look", '{"a":'),
    ToolCallDelta(0, "1}"),
    ToolResult("c1", "found"),
    ModeChanged("ai"),
    WidgetShown("w", "form", {"f": 1}),
    WidgetUpdated("w", {"f": 2}),
    TextDelta("two"),
    MessageStored(STORED),
    Usage(UsageInfo(1, 2, 3)),
    TurnCompleted("length", UsageInfo(1, 2, 3)),
]
for seq, one in enumerate(SAID, 1):
    one.seq = seq


def blocks(*said: Event) -> list[bytes]:
    """The bytes of these events, an item each."""
    return [part for one in said for part in session_chat.encode_event(HEADING, one)]


def answer(*pieces: bytes) -> Script:
    """A stream of a chat server of ours that ends where its connection does."""
    return close_delimited(*pieces, headers=HEADERS)


def opened(wire_server: WireServer, client: ChatServerClient, *scripts: Script) -> MessageStream:
    """A stream that reads these answers."""
    wire_server.answers(*scripts)
    return client.send_message("s-1", "Hi", stream=True)


def test_text(wire_server: WireServer, client: ChatServerClient) -> None:
    """The text as it comes, and what is known beside it."""
    stream = opened(wire_server, client, answer(*blocks(*SAID)))
    assert (stream.turn_id, stream.cursor) == ("t-1", None)
    assert list(stream) == ["One ", "two"]
    assert stream.text == "One two" and stream.cursor == "t-1:13"
    known = stream.metadata
    assert (known["model"], known["finish_reason"], known["id"]) == ("m", "length", "chatcmpl-t1")
    assert known["usage"] == UsageInfo(1, 2, 3)
    assert repr(stream) == "<MessageStream finished s-1>"
    request = wire_server.requests[0]
    assert request.json()["stream"] is True and request.path == "/api/v2/sessions/s-1/chat"


def test_events(wire_server: WireServer, client: ChatServerClient) -> None:
    """Everything that was said, as models; what a newer server says besides is passed over."""
    more = event({"type": "to_come", "a": 1}, name="to_come", id="t-1:9")
    parts = blocks(*SAID)
    stream = opened(wire_server, client, answer(*parts[:9], more, *parts[9:]))
    assert list(stream.events()) == SAID


def test_the_whole_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """The same as if it had not been streamed."""
    stream = opened(wire_server, client, answer(*blocks(*SAID)))
    assert next(stream) == "One "
    found = stream.response()
    assert found == stream.response()
    assert (found.message.text, found.message.id, found.message.role) == (
        "One two",
        "m1",
        MessageRole.ASSISTANT,
    )
    assert found.message.tool_calls == [{"id": "c1", "name": "look", "arguments": '{"a":1}'}]
    assert found.message.tool_results == [{"call_id": "c1", "result": "found"}]
    assert (found.turn_id, found.completion_id, found.finish_reason) == (
        "t-1",
        "chatcmpl-t1",
        "length",
    )
    assert found.usage.total_tokens == 3 and found.raw is not None


def test_a_cancelled_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """It ends like any other, for that reason."""
    stream = opened(
        wire_server, client, answer(*blocks(TextDelta("a", seq=1), TurnCancelled(seq=2)))
    )
    assert list(stream) == ["a"] and stream.metadata["finish_reason"] == "cancelled"
    found = stream.response()
    assert (found.message.id, found.message.tool_calls) == (None, None)


def test_a_failed_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """The class of the status, with the text so far."""
    failed = TurnFailed("tomorrow", "quota", 429, seq=2)
    stream = opened(wire_server, client, answer(*blocks(TextDelta("a", seq=1), failed)))
    with pytest.raises(StreamFailedError, match="tomorrow") as caught:
        list(stream)
    assert isinstance(caught.value, RateLimitError)
    assert (caught.value.partial, caught.value.code) == ("a", "quota")


def test_wherever_it_is_cut(wire_server: WireServer) -> None:
    """It goes on at the next event: nothing is lost, nothing comes twice."""
    parts = blocks(*SAID)
    whole = b"".join(parts)
    starts = [sum(map(len, parts[:at])) for at in range(len(parts) + 1)]
    policy = RetryPolicy(max_retries=2, backoff=0)
    with ChatServerClient("k", wire_server.base_url, max_retries=policy) as client:
        for cut in range(0, len(whole), 7):
            seen = sum(start <= cut for start in starts[1:])
            scripts = [answer(whole[:cut])]
            # Behind the last event nothing more is needed, and nothing is asked for.
            if seen < len(SAID):
                scripts.append(answer(*parts[seen:]))
            wire_server.requests.clear()
            stream = opened(wire_server, client, *scripts)
            assert list(stream.events()) == SAID, cut
            assert [one.headers["Last-Event-ID"] for one in wire_server.requests[1:]] == [
                f"t-1:{seen}" for _ in scripts[1:]
            ]
            assert stream.metadata["reconnects"] == len(scripts) - 1


def test_too_late_to_go_on(wire_server: WireServer, client: ChatServerClient) -> None:
    """What the server says to it is in the error, with the text so far."""
    gone = json_answer(410, {"error": {"message": "read again", "code": "resync"}})
    wire_server.answers(answer(*blocks(*SAID[:3])), gone)
    with ChatServerClient("k", wire_server.base_url, max_retries=1) as patient:
        stream = patient.send_message("s-1", "Hi", stream=True)
        with pytest.raises(StreamInterruptedError, match="read again") as caught:
            list(stream)
    assert caught.value.partial == "One "
    assert client.base_url


def test_a_broken_answer(wire_server: WireServer, client: ChatServerClient) -> None:
    """An end before interaction_end, where nothing is sent again; what is no event."""
    stream = opened(wire_server, client, answer(*blocks(*SAID[:3])))
    with pytest.raises(StreamInterruptedError, match="before interaction_end"):
        list(stream)
    stream = opened(wire_server, client, answer(event("no JSON", name="text_delta")))
    with pytest.raises(StreamInterruptedError, match="cannot be read"):
        list(stream)
    stream = opened(wire_server, client, answer(event({"type": "text_delta", "content": 1})))
    with pytest.raises(StreamInterruptedError, match="text"):
        list(stream.events())


def test_odd_particulars(wire_server: WireServer, client: ChatServerClient) -> None:
    """What stands beside the text costs nobody the answer."""
    odd: list[Any] = [
        {"type": "usage", "usage": 1},
        {"type": "message", "message": "odd"},
        {"type": "text_delta", "content": "a"},
        {"type": "completion"},
        {"type": "interaction_end"},
    ]
    stream = opened(wire_server, client, answer(*(event(one, name=one["type"]) for one in odd)))
    found = stream.response()
    assert (found.message.text, found.completion_id, found.finish_reason) == ("a", "", "completion")


def test_joining(wire_server: WireServer, client: ChatServerClient) -> None:
    """From the beginning, or behind a place."""
    wire_server.answers(answer(*blocks(*SAID)), answer(*blocks(*SAID[3:])))
    assert list(client.join_stream("s-1")) == ["One ", "two"]
    assert list(client.join_stream("s-1", after="t-1:3")) == ["two"]
    first, second = wire_server.requests
    assert first.path == second.path == "/api/v2/sessions/s-1/chat/events"
    assert "Last-Event-ID" not in first.headers
    assert second.headers["Last-Event-ID"] == "t-1:3"


def test_a_stream_is_read_once(wire_server: WireServer, client: ChatServerClient) -> None:
    """And is no thing to be pickled."""
    stream = opened(wire_server, client, answer(*blocks(*SAID)))
    with pytest.raises(TypeError, match="join_stream"):
        pickle.dumps(stream)
    with stream as same:
        assert next(same) == "One "
    with pytest.raises(StreamConsumedError):
        iter(stream)


def test_with_a_server() -> None:
    """A conversation with all that belongs to it."""
    agents = [
        ScriptedAgent("showing", list(SAID[1:10])),
        ScriptedAgent("failing", ["a ", ValueError()]),
    ]
    with running_server(agents=agents) as server, server.client() as client:
        session = client.create_session("showing", user_id="ada", title="T")
        file = client.upload_file(session.id, b"hello", filename="a.txt")
        stream = client.send_message(session.id, "Hi", files=[file], stream=True)
        kinds = [said.type for said in stream.events()]
        assert kinds[0] == "turn_started" and kinds[-1] == "turn_completed"
        assert {said.type for said in SAID} <= {*kinds}
        joined = client.join_stream(session.id, after=f"{stream.turn_id}:3")
        assert joined.response().message.text == "two"
        assert client.cancel_message(session.id).cancelled is False
        whole = client.send_message(session.id, [{"type": "text", "text": "Hi"}])
        assert whole.message.text == "One two"
        assert len(client.get_session(session.id, user_id="ada").messages) == 4
        other = client.create_session("failing", user_id="ada")
        with pytest.raises(StreamFailedError) as caught:
            list(client.send_message(other.id, "Hi", stream=True))
        assert caught.value.partial == "a "
        assert client.update_session(other.id, status="archived").archived is True
        assert client.delete_session(session.id).deleted is True


def test_it_is_traced(
    wire_server: WireServer, client: ChatServerClient, spans: Callable[[], list[ReadableSpan]]
) -> None:
    """One span with what the answer is, beside its text."""
    list(opened(wire_server, client, answer(*blocks(*SAID))))
    [span] = spans()
    assert span.name == "POST /api/v2/sessions/{session_id}/chat"
    known = span.attributes or {}
    assert known["gen_ai.response.finish_reasons"] == ("length",)
    assert known["gen_ai.usage.output_tokens"] == 2
