"""Streams over real sockets: every token at once, the end read to its end, every error seen."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from chatserver_sdk import (
    APIConnectionError,
    ChatServerClient,
    CompletionStream,
    StreamInterruptedError,
    UsageInfo,
)
from chatserver_sdk._transport import Settings, Transport
from chatserver_sdk.models import ChatCompletionRequest, Message, MessageRole
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Step,
    UntilHangup,
    WireServer,
    delta,
    event,
    event_stream,
    finished,
    json_answer,
)
from chatserver_sdk.testing.answers import Framing

FRAMINGS: list[Framing] = ["chunked", "close_delimited", "sized"]
each_framing = pytest.mark.parametrize("framing", FRAMINGS)


def stream_from(client: ChatServerClient) -> CompletionStream:
    """A stream of the client's."""
    return client.create_completion("m", "Hello", stream=True)


class Gates:
    """Pauses between the pieces of an answer, opened one by one."""

    def __init__(self, *pieces: bytes) -> None:
        self._gates = [threading.Event() for _ in pieces]
        self._pieces = pieces

    def steps(self) -> Iterator[Step]:
        """Each piece, then a wait."""
        for piece, gate in zip(self._pieces, self._gates):
            yield piece
            yield Pause(gate)

    def __iter__(self) -> Iterator[threading.Event]:
        return iter(self._gates)


TOKENS = ["Hel", "lo", " ", "wörld"]


@each_framing
def test_a_token_is_yielded_before_the_next_is_sent(
    wire_server: WireServer, client: ChatServerClient, framing: Framing
) -> None:
    """Whatever says where the body ends, nothing is held back."""
    gates = Gates(*map(delta, TOKENS))
    wire_server.answers(event_stream(*gates.steps(), DONE, framing=framing))
    stream = stream_from(client)
    for token, gate in zip(TOKENS, gates):
        assert next(stream) == token
        gate.set()
    assert list(stream) == []
    assert stream.text == "Hello wörld"


def test_half_an_http_chunk_is_yielded(wire_server: WireServer, client: ChatServerClient) -> None:
    """A token does not wait for the end of the chunk that a proxy has put it into."""
    gates = Gates(*map(delta, TOKENS))
    whole = b"".join(map(delta, TOKENS)) + DONE
    head, *_ = event_stream()
    opening, ending = b"%x\r\n" % len(whole), b"\r\n0\r\n\r\n"
    wire_server.answers([head, opening, *gates.steps(), DONE, ending])
    stream = stream_from(client)
    for token, gate in zip(TOKENS, gates):
        assert next(stream) == token
        gate.set()
    assert list(stream) == []


@each_framing
@pytest.mark.parametrize(("encoding", "bits"), [("gzip", 31), ("deflate", 15)])
def test_packed_tokens_are_yielded_as_well(
    wire_server: WireServer, client: ChatServerClient, framing: Framing, encoding: str, bits: int
) -> None:
    """Proxies pack event streams; what they flush is unpacked at once."""
    packer = zlib.compressobj(wbits=bits)
    packed = [packer.compress(delta(token)) + packer.flush(zlib.Z_SYNC_FLUSH) for token in TOKENS]
    gates = Gates(*packed)
    last = packer.compress(DONE) + packer.flush()
    headers = {"Content-Encoding": encoding}
    wire_server.answers(event_stream(*gates.steps(), last, framing=framing, headers=headers))
    stream = stream_from(client)
    for token, gate in zip(TOKENS, gates):
        assert next(stream) == token
        gate.set()
    assert list(stream) == []


@each_framing
def test_metadata_is_there_before_the_first_event(
    wire_server: WireServer, client: ChatServerClient, framing: Framing
) -> None:
    """A stream that is cut at its first token can be resumed: its fingerprint is known."""
    gate = threading.Event()
    headers = {"X-Turn-Id": "t1", "X-Request-Id": "r1"}
    last = finished(usage={"prompt_tokens": 1, "total_tokens": 3})
    steps: list[Step] = [Pause(gate), delta("Hi"), last, DONE]
    wire_server.answers(event_stream(*steps, framing=framing, headers=headers))
    stream = stream_from(client)
    known = {"system_fingerprint": "s1", "turn_id": "t1", "request_id": "r1", "reconnects": 0}
    assert stream.metadata == known
    gate.set()
    assert list(stream) == ["Hi"]
    assert stream.metadata == {
        **known,
        "id": "chatcmpl-1",
        "created": 1700000000,
        "model": "m",
        "finish_reason": "stop",
        "usage": UsageInfo(1, 0, 3),
    }
    response = stream.response()
    assert response.choices[0].message == Message(MessageRole.ASSISTANT, "Hi")
    assert response.system_fingerprint == "s1"


def test_the_chunks_fingerprint_wins(wire_server: WireServer, client: ChatServerClient) -> None:
    """Other servers say it in the chunks alone, or say another one there."""
    wire_server.answers(event_stream(delta("x", system_fingerprint="s2"), DONE, fingerprint=None))
    stream = stream_from(client)
    assert "system_fingerprint" not in stream.metadata
    assert list(stream) == ["x"]
    assert stream.metadata["system_fingerprint"] == "s2"


def test_the_whole_answer_of_a_stream(wire_server: WireServer, client: ChatServerClient) -> None:
    """response() reads everything by itself."""
    wire_server.answers(event_stream(delta("Hel"), delta("lo"), finished("length"), DONE))
    response = stream_from(client).response()
    assert response.choices[0].message.content == "Hello"
    assert response.choices[0].finish_reason == "length"


def test_what_other_servers_send(wire_server: WireServer, client: ChatServerClient) -> None:
    """Comments, names, ids, retry, CRLF, usage in a chunk of its own, no [DONE]."""
    wire_server.answers(
        event_stream(
            b"\xef\xbb\xbf: PROCESSING\r\n\r\n",
            b"retry: 3000\r\n\r\n",
            event({"choices": [{"delta": {"role": "assistant"}}]}, name="chunk", id="1"),
            delta("Hi").replace(b"\n", b"\r\n"),
            finished(),
            event({"choices": [], "usage": {"total_tokens": 3}}),
            fingerprint=None,
        )
    )
    stream = stream_from(client)
    assert list(stream) == ["Hi"]
    assert stream.metadata["usage"].total_tokens == 3


AFTER_DONE: list[bytes] = [b": stored\n\n", delta("ignored"), b"data: {\n\n", b"half"]


@pytest.mark.parametrize("framing", ["chunked", "sized"])
def test_the_body_is_read_on_after_done(
    wire_server: WireServer, client: ChatServerClient, framing: Framing
) -> None:
    """A server that stores the answer after [DONE] is not hung up on, nor the connection lost."""
    after = [step for piece in AFTER_DONE for step in (Pause(0), piece)]
    wire_server.answers(
        event_stream(delta("Hi"), DONE, *after, framing=framing), json_answer(200, {"data": []})
    )
    assert list(stream_from(client)) == ["Hi"]
    client.list_models()
    assert [request.connection for request in wire_server.requests] == [0, 0]


def test_a_body_that_breaks_after_done(wire_server: WireServer, client: ChatServerClient) -> None:
    """The answer was whole; what happens to the connection is no concern of the caller's."""
    for reset in (False, True):
        wire_server.answers(event_stream(delta("Hi"), DONE, Cut(reset)))
        stream = stream_from(client)
        assert next(stream) == "Hi"
        try:
            assert list(stream) == []
        except StreamInterruptedError:
            assert reset  # a reset may take bytes along that had come before it


@each_framing
def test_reading_on_ends_in_time(wire_server: WireServer, framing: Framing) -> None:
    """A read that still waits when its time is over ends, however the body is framed."""
    seen = threading.Event()
    length = {"Content-Length": "99"} if framing == "sized" else {}
    wire_server.answers(event_stream(DONE, UntilHangup(seen), framing=framing, headers=length))
    transport = Transport(Settings.of(wire_server.base_url, None, 30, 0))
    body = transport.open_stream("POST", "/x", body=ChatCompletionRequest("m", []))
    chunks, came = body.iter_bytes(), b""
    while came != DONE:
        came += next(chunks)

    body.drain_for(0.01)
    with nullcontext() if framing == "close_delimited" else pytest.raises(APIConnectionError):
        assert list(chunks) == []

    body.close()
    assert seen.wait(30)
    transport.close()


def test_shutting_what_has_ended(wire_server: WireServer) -> None:
    """A timer that is late finds a connection that is back in the pool, or closed."""
    wire_server.answers(event_stream(DONE))
    transport = Transport(Settings.of(wire_server.base_url, None, 30, 0))
    body = transport.open_stream("POST", "/x", body=ChatCompletionRequest("m", []))
    assert b"".join(body.iter_bytes()) == DONE
    body.shut()
    body.close()
    body.shut()
    transport.close()


@pytest.mark.full
def test_a_server_that_keeps_the_body_open(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """The whole way: [DONE] has come, the body does not end, the caller is let go."""
    seen = threading.Event()
    wire_server.answers(event_stream(delta("Hi"), finished(), DONE, UntilHangup(seen)))
    assert list(stream_from(client)) == ["Hi"]
    assert seen.wait(30)


def test_typed_chunks_of_a_stream(wire_server: WireServer, client: ChatServerClient) -> None:
    """chunks() gives every chunk as a model; the text adds up beside, and next() goes on from it."""
    wire_server.answers(event_stream(delta("Hel"), delta("lo"), finished(), DONE))
    stream = client.create_completion("m", "Hello", stream=True)
    chunks = stream.chunks()
    assert next(chunks).choices[0].delta.content == "Hel"
    assert next(stream) == "lo"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == ["stop"]
    assert stream.text == "Hello"
