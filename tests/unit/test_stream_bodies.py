"""What was to be a stream may be a whole answer, a page or a text; each is read as what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from chatserver_sdk._wire import openai
from chatserver_sdk.exceptions import DecodeError

EVENTS = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n'
WHOLE = b'{"choices": [{"index": 0, "message": {"content": "Hi"}}]}'
PAGE = b"<!DOCTYPE html><html><body>secret</body></html>"

TYPES = [
    "text/event-stream",
    "text/event-stream; charset=utf-8",
    "TEXT/EVENT-STREAM",
    "text/plain",
    "text/html; charset=utf-8",
    "application/json",
    "application/problem+json",
    "application/octet-stream",
    "nonsense",
    "",
    None,
]
BEFORE = [b"", b"\n", b"\r\n\r\n  ", b"\xef\xbb\xbf"]


def read(kind: str | None, body: bytes, size: int = 1000) -> str:
    """The text of the answer that comes in pieces of this size."""
    answer = openai.StreamedAnswer({})
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    for event in openai.events_of(kind, pieces):
        answer.add(event)
    return answer.text if answer.is_done else "unfinished"


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kind", TYPES)
def test_what_it_is_counts_and_not_what_it_is_called(
    kind: str | None, before: bytes, size: int
) -> None:
    """Events and whole answers are both read under every type, blank bytes before them or not."""
    for start in (b"", b": hello\n\n", b"event: x\nid: 1\n", b"retry: 5\n"):
        assert read(kind, before + start + EVENTS, size) == "Hi"
    assert read(kind, before + WHOLE, size) == "Hi"


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kind", TYPES)
def test_a_page_is_refused(kind: str | None, before: bytes) -> None:
    """With its type and without its text; the rest of it is not read."""

    def pieces() -> Iterator[bytes]:
        yield before
        yield PAGE
        raise AssertionError("read on")

    with pytest.raises(
        DecodeError, match=r"^the server answered with a page \(.+\), not"
    ) as caught:
        list(openai.events_of(kind, pieces()))
    assert "secret" not in str(caught.value)
    expected = kind.partition(";")[0].lower() if kind else "of no type"
    assert f"({expected})" in str(caught.value)


@pytest.mark.parametrize("kind", ["text/plain", "text/html", None])
def test_a_text_is_refused(kind: str | None) -> None:
    """It holds no event, whichever letter it begins with."""
    for body in (b"Service unavailable", b"data is what we have none of", b"data: cut"):
        with pytest.raises(DecodeError, match=r"with text \(.+\), not with events$"):
            read(kind, body)


@pytest.mark.parametrize(
    ("kind", "body"), [("text/event-stream", b": hi\n\n"), ("", b" "), (None, b"")]
)
def test_nothing_is_no_text(kind: str | None, body: bytes) -> None:
    """A stream that is cut before its first event is for the reader to judge."""
    assert read(kind, body) == "unfinished"


@pytest.mark.parametrize("body", [b"", b"hello", b"{", b"7 8"])
def test_json_that_is_none(body: bytes) -> None:
    """What was announced as JSON is refused as such."""
    with pytest.raises(DecodeError, match="neither events nor JSON"):
        read("application/json", body)


def test_the_type_in_a_message_is_bounded() -> None:
    """A header may hold anything."""
    with pytest.raises(DecodeError) as caught:
        read("x" * 5000, PAGE)
    assert len(str(caught.value)) < 200


def test_nothing_is_read_before_it_is_asked_for() -> None:
    """Whoever makes the stream does not wait for its first byte; each event comes at once."""
    given: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            given.append(number)
            yield b'data: {"x": 1}\n\n'

    events = openai.events_of(None, pieces())
    assert given == []
    assert json.loads(next(events).data) == {"x": 1}
    assert given == [0]
