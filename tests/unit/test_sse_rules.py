"""Server-sent events by the rules of the WHATWG, however the bytes are cut.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk._wire.sse import (
    MAX_EVENT_BYTES,
    encode_comment,
    encode_event,
    iter_events,
)
from chatserver_sdk._wire.sse import ServerSentEvent as Event
from chatserver_sdk.exceptions import DecodeError

Events = list[Event]

RULES: list[tuple[str, bytes, Events]] = [
    ("nothing", b"", []),
    ("one event", b"data: a\n\n", [Event("a")]),
    ("one blank after the colon is dropped", b"data:  a\n\n", [Event(" a")]),
    ("none need be there", b"data:a\n\n", [Event("a")]),
    ("a tab is no blank", b"data:\ta\n\n", [Event("\ta")]),
    ("several data lines", b"data: a\ndata: b\n\n", [Event("a\nb")]),
    ("an empty data line is a line", b"data: a\ndata:\n\n", [Event("a\n")]),
    ("a colon in the value", b"data: a: b\n\n", [Event("a: b")]),
    ("an event without its end", b"data: a\n", []),
    ("an event without a line end", b"data: a", []),
    ("an event without data", b"event: x\n\n", []),
    ("two events", b"data: a\n\ndata: b\n\n", [Event("a"), Event("b")]),
    ("blank lines between them", b"\n\ndata: a\n\n\n\n\ndata: b\n\n", [Event("a"), Event("b")]),
    ("CR", b"data: a\r\rdata: b\r\r", [Event("a"), Event("b")]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [Event("a"), Event("b")]),
    ("mixed line ends", b"data: a\r\ndata: b\r\n\ndata: c\n\r", [Event("a\nb"), Event("c")]),
    ("a name", b"event: x\ndata: a\n\n", [Event("a", "x")]),
    ("an empty name is message", b"event:\ndata: a\n\n", [Event("a", "message")]),
    ("the last name holds", b"event: x\nevent: y\ndata: a\n\n", [Event("a", "y")]),
    ("a name ends with its event", b"event: x\n\ndata: a\n\n", [Event("a", "message")]),
    ("an id sticks", b"id: 1\ndata: a\n\ndata: b\n\n", [Event("a", id="1"), Event("b", id="1")]),
    ("also one without data", b"id: 1\n\ndata: b\n\n", [Event("b", id="1")]),
    (
        "an empty id takes it back",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [Event("a", id="1"), Event("b")],
    ),
    (
        "an id with NUL does not count",
        b"id: 1\ndata: a\n\nid: \x002\ndata: b\n\n",
        [Event("a", id="1"), Event("b", id="1")],
    ),
    ("retry", b"retry: 250\ndata: a\n\n", [Event("a", retry=250)]),
    ("retry that is no number", b"retry: 2s\ndata: a\n\n", [Event("a")]),
    ("retry in other digits", "retry: ٢\ndata: a\n\n".encode(), [Event("a")]),
    ("retry of 5000 digits", b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [Event("a")]),
    ("a comment", b": hello\n\ndata: a\n\n", [Event("a")]),
    ("a comment inside an event", b"data: a\n:\ndata: b\n\n", [Event("a\nb")]),
    ("unknown fields", b"datum: x\nDATA: x\n data: x\ndata: a\n\n", [Event("a")]),
    ("an unknown field alone", b"datum: x\n\n", []),
    ("a line of blanks is a field", b"data: a\n \n\n", [Event("a")]),
    ("a byte-order mark", b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
    ("a second one is text", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [Event("b")]),
    ("a part of one", b"\xef\xbb", []),
    ("one later is text", b"data: \xef\xbb\xbfa\n\n", [Event("\ufeffa")]),
    ("bad UTF-8 is replaced", b"data: a\xffb\n\n", [Event("a\ufffdb")]),
    ("also in bigger events", b"data: \xff\ndata: \xc3\n\n", [Event("\ufffd\n\ufffd")]),
    (
        "what Python calls a line end",
        "data: a\u2028b\x0b\x0c\x1c\x85c\n\n".encode(),
        [Event("a\u2028b\x0b\x0c\x1c\x85c")],
    ),
    (
        "the same in bigger events",
        "data: a\u2028b\x0b\x0c\ndata: \x1c\x85c\n\n".encode(),
        [Event("a\u2028b\x0b\x0c\n\x1c\x85c")],
    ),
    ("the standard's stocks", b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("YHOO\n+2\n10")]),
    (
        "the standard's four blocks",
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [Event("first event", id="1"), Event("second event"), Event(" third event")],
    ),
    ("the standard's empty events", b"data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
    (
        "the standard's identical events",
        b"data:test\n\ndata: test\n\n",
        [Event("test"), Event("test")],
    ),
]

GOLDEN = (
    "\ufeff: hello\r\n\r\nid: 1\r\nevent: x\rdata: ä\ndata: b\r\n\r\n\n"
    "data: c\n\nretry: 5\rdata\r\rid\ndata: d\n\ndata: [DONE]\r\n\r\n"
).encode()


def by_the_book(body: bytes) -> Events:
    """The standard's algorithm, line by line over the whole body; slow and plain."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    events, data, name, last_id, retry = [], "", "", "", None
    for line in lines[:-1]:  # what follows the last line end is no line
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                events.append(Event(data[:-1], name or "message", last_id, retry))
            data, name, retry = "", "", None
        elif field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) < 16:
            retry = int(value)
    return events


def cut_into(body: bytes, size: int) -> list[bytes]:
    """The body in pieces of so many bytes."""
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize(
    ("body", "events"), [pytest.param(*rule[1:], id=rule[0]) for rule in RULES]
)
def test_a_rule_of_the_standard(body: bytes, events: Events) -> None:
    """Whole, or byte by byte: the events are those of the standard."""
    assert list(iter_events([body])) == events
    assert list(iter_events(cut_into(body, 1))) == events
    assert by_the_book(body) == events


def test_every_way_to_cut_a_body_in_three() -> None:
    """Where the chunks end changes nothing: not in a character, not between CR and LF."""
    events = by_the_book(GOLDEN)
    assert len(events) == 5
    for first, second in itertools.combinations_with_replacement(range(len(GOLDEN) + 1), 2):
        chunks = [GOLDEN[:first], GOLDEN[first:second], GOLDEN[second:]]
        assert list(iter_events(chunks)) == events, (first, second)


def test_every_cut_gives_a_prefix() -> None:
    """A body that is cut off gives the events that were whole and nothing else."""
    events = by_the_book(GOLDEN)
    for end in range(len(GOLDEN) + 1):
        found = list(iter_events([GOLDEN[:end]]))
        assert found == events[: len(found)]
        assert found == by_the_book(GOLDEN[:end])


PIECES = [b"\r", b"\n", b"data:a", b"data", b"id:1", b"event:e", b":"]


@pytest.mark.parametrize("length", [*range(7), pytest.param(7, marks=pytest.mark.full)])
def test_every_short_body(length: int) -> None:
    """All bodies of a few lines and line ends, whole and byte by byte."""
    for pieces in itertools.product(PIECES, repeat=length):
        body = b"".join(pieces)
        expected = by_the_book(body)
        assert list(iter_events([body])) == expected, body
        assert list(iter_events(pieces)) == expected, pieces


BODIES = st.lists(
    st.sampled_from(
        [b"data", b"event", b"id", b"retry", b":", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"7"]
    )
    | st.sampled_from([b"\xef\xbb\xbf", b"\xff", b"\0", "ä".encode(), "\u2028".encode(), b"x"])
).map(b"".join)


@given(body=BODIES, cuts=st.lists(st.integers(0, 200)))
def test_any_body_in_any_chunks(body: bytes, cuts: list[int]) -> None:
    """Whatever comes, in whatever chunks, is read as the standard says."""
    ends = sorted({*(cut for cut in cuts if cut < len(body)), len(body)})
    chunks = [body[start:end] for start, end in zip([0, *ends], ends)]
    assert list(iter_events(chunks)) == by_the_book(body)


@given(body=st.binary(max_size=60), cut=st.integers(0, 60))
def test_any_bytes(body: bytes, cut: int) -> None:
    """Bytes that are no event stream raise nothing."""
    assert list(iter_events([body[:cut], b"", body[cut:]])) == by_the_book(body)


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)
FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1)
DATA = st.lists(LINE, min_size=1).map("\n".join)


@given(data=DATA, name=st.none() | FIELD, id=st.none() | FIELD)
def test_an_encoded_event_is_read_back(data: str, name: str | None, id: str | None) -> None:
    """encode_event and iter_events are inverse, line ends in the data included."""
    encoded = encode_event(data, event=name, id=id)
    assert list(iter_events([encoded])) == [Event(data, name or "message", id or "")]


@given(st.lists(st.sampled_from(["a", "\r", "\n", "data: x", ""])).map("".join))
def test_line_ends_in_data_cannot_forge_an_event(data: str) -> None:
    """Whatever the data holds, it stays one event; CR and CRLF become LF."""
    (event,) = iter_events([encode_event(data), encode_comment("alive")])
    assert event.data == data.replace("\r\n", "\n").replace("\r", "\n")


def test_events_come_as_soon_as_their_last_byte() -> None:
    """Nothing is held back until the next chunk, after a CR neither."""
    given: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"data: a\n", b"\n", b"data: b\r\n\r", b"\ndata: c\r\r"):
            given.append(chunk)
            yield chunk

    events = iter_events(chunks())

    assert (next(events).data, len(given)) == ("a", 2)
    assert (next(events).data, len(given)) == ("b", 3)
    assert (next(events).data, len(given)) == ("c", 4)


def megabytes(count: int, first: bytes, piece: bytes) -> Iterable[bytes]:
    """A body of so many megabytes that takes no memory."""
    return itertools.chain([first], itertools.repeat(piece * (2**20 // len(piece)), count))


@pytest.mark.parametrize("piece", [b"x", b"data: x\n"])
def test_an_event_that_never_ends(piece: bytes) -> None:
    """A server cannot fill the memory with one event."""
    body = megabytes(MAX_EVENT_BYTES // 2**20 + 1, b"data: ", piece)
    with pytest.raises(DecodeError, match="an event of more than"):
        list(iter_events(body))


def test_a_big_event_in_small_pieces() -> None:
    """Each byte is searched once: 200,000 pieces of one event are no work."""
    body = itertools.chain([b"data: "], itertools.repeat(b"x", 200_000), [b"\n\n"])
    (event,) = iter_events(body)
    assert len(event.data) == 200_000
