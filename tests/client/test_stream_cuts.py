"""A stream that is cut, at every byte: the caller keeps the text and never takes it for whole."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from chatserver_sdk import ChatServerClient, StreamInterruptedError
from chatserver_sdk.testing import DONE, Cut, Step, WireServer, delta, event, finished
from chatserver_sdk.testing.answers import chunked, close_delimited, sized

FINGERPRINT = {"X-Session-Id": "s1"}


def short(text: str) -> bytes:
    """A chunk with nothing in it but its text, unescaped."""
    return event(json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False))


END = event({"choices": [{"finish_reason": "stop"}]})
USAGE = event({"choices": [], "usage": {"total_tokens": 3}})
# Every kind of line end and field, characters of two and four bytes, an id.
GOLDEN = [
    b": hello\n\n",
    short("Hel"),
    short("lö ").replace(b"\n", b"\r\n"),
    b"id: t1:3\n" + short("🎈"),
    END,
    USAGE,
    DONE,
]
TEXTS = {1: "Hel", 2: "lö ", 3: "🎈"}
WITHOUT_END = [*GOLDEN[:4], DONE]


def read_at(body: bytes, pieces: list[bytes]) -> tuple[str, bool]:
    """The text in the first bytes of a golden stream, and whether it is whole."""
    end, text, whole = 0, "", False
    for number, piece in enumerate(pieces):
        end += len(piece)
        # A CR ends its line at once: the LF behind the last one adds nothing.
        if end - piece.endswith(b"\r\n") <= len(body):
            text += TEXTS.get(number, "")
            whole = whole or piece in (END, DONE)
    return text, whole


def assert_read(client: ChatServerClient, text: str, whole: bool, cut: object) -> None:
    """The stream gives this text and then ends, or is interrupted with it."""
    stream = client.create_completion("m", "Hello", stream=True)
    try:
        texts = list(stream)
        assert whole, cut
    except StreamInterruptedError as exc:
        assert not whole, cut
        texts = [exc.partial]
        assert exc.metadata["system_fingerprint"] == "s1"
        with pytest.raises(StreamInterruptedError):
            stream.response()
    assert "".join(texts) == text == stream.text, cut


@pytest.mark.parametrize("write", [close_delimited, sized])
@pytest.mark.parametrize("pieces", [GOLDEN, WITHOUT_END], ids=["golden", "without end"])
def test_a_cut_stream_never_passes_for_a_finished_one(
    wire_server: WireServer,
    client: ChatServerClient,
    pieces: list[bytes],
    write: Callable[..., list[Step]],
) -> None:
    """Wherever the bytes stop, the caller keeps the text so far and the fingerprint."""
    body = b"".join(pieces)
    headers = {**FINGERPRINT, "Content-Length": str(len(body))} if write is sized else FINGERPRINT
    for cut in range(len(body) + 1):
        wire_server.answers(write(body[:cut], Cut(), headers=headers))
        assert_read(client, *read_at(body[:cut], pieces), cut)


def unchunked(wire: bytes) -> bytes:
    """What of a body is in the first bytes of its HTTP chunks."""
    body = b""
    while wire:
        size, _, wire = wire.partition(b"\r\n")
        length = int(size or b"0", 16) if wire else 0
        body, wire = body + wire[:length], wire[length + 2 :]
    return body


SEVENS = [b"".join(GOLDEN)[start : start + 7] for start in range(0, len(b"".join(GOLDEN)), 7)]


@pytest.mark.parametrize("pieces", [GOLDEN, SEVENS], ids=["events", "sevens"])
def test_a_cut_between_and_inside_of_http_chunks(
    wire_server: WireServer, client: ChatServerClient, pieces: list[bytes]
) -> None:
    """Chunked bodies, cut at every byte of the wire: an event a chunk, and chunks of 7 bytes."""
    head, *chunks = chunked(*pieces, headers=FINGERPRINT)
    wire = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))
    assert unchunked(wire) == b"".join(GOLDEN)
    for cut in range(len(wire) + 1):
        wire_server.answers([head, wire[:cut], Cut()])
        assert_read(client, *read_at(unchunked(wire[:cut]), GOLDEN), cut)


@pytest.mark.parametrize("write", [close_delimited, chunked, sized])
def test_a_reset_at_every_byte(
    wire_server: WireServer, client: ChatServerClient, write: Callable[..., list[Step]]
) -> None:
    """A reset may take bytes along that came before it; what is left is never called whole."""
    body = b"".join(GOLDEN)
    headers = {**FINGERPRINT, "Content-Length": str(len(body))} if write is sized else FINGERPRINT
    for cut in range(len(body) + 1):
        wire_server.answers(write(body[:cut], Cut(reset=True), headers=headers))
        text, whole = read_at(body[:cut], GOLDEN)
        try:
            stream = client.create_completion("m", "Hello", stream=True)
            assert "".join(stream) == text and whole, cut
        except StreamInterruptedError as exc:
            assert text.startswith(exc.partial), cut
            assert exc.metadata["system_fingerprint"] == "s1"
        except ConnectionError:
            continue  # it took the head along


def test_the_documented_stream(wire_server: WireServer, client: ChatServerClient) -> None:
    """The events that our servers send, cut at every byte as well."""
    pieces = [delta("Hel", id="t1:1"), delta("lo", id="t1:2"), finished(id="t1:3"), DONE]
    whole_from = len(b"".join(pieces[:3]))
    body = b"".join(pieces)
    for cut in range(len(body) + 1):
        wire_server.answers(close_delimited(body[:cut], headers=FINGERPRINT))
        stream = client.create_completion("m", "Hello", stream=True)
        try:
            assert list(stream) == ["Hel", "lo"] and cut >= whole_from
        except StreamInterruptedError as exc:
            assert cut < whole_from and "Hello".startswith(exc.partial)
