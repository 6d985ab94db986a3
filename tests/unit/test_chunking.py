"""HTTP's chunked framing comes off, wherever it is cut, and nothing else passes for it."""

from __future__ import annotations

from http.client import IncompleteRead

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk._transport.chunking import Dechunker

ENDS = [b"0\r\n\r\n", b"00;last\r\nX-Trailer: a\r\nY: b\r\n\r\n", b"0\n\n"]


def framed(pieces: list[bytes], end: bytes = ENDS[0]) -> bytes:
    """The pieces as chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + end


def fed(*parts: bytes) -> tuple[bytes, Dechunker]:
    """What comes out of the parts."""
    chunks = Dechunker()
    return b"".join(chunks.feed(part) for part in parts), chunks


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=8),
    end=st.sampled_from(ENDS),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_any_cuts_give_the_same_body(pieces: list[bytes], end: bytes, cuts: list[int]) -> None:
    """A network cuts where it likes; what is behind the end is not part of the body."""
    data = framed(pieces, end)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[a:b] for a, b in zip(places, places[1:])]
    body, chunks = fed(*parts)
    assert body == b"".join(pieces) and chunks.is_over
    assert chunks.feed(b"5\r\nhello\r\n") == b""


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8), st.data())
def test_what_has_come_is_handed_out(pieces: list[bytes], data: st.DataObject) -> None:
    """Half a chunk too: a token does not wait for the rest of it."""
    whole = framed(pieces, b"")
    cut = data.draw(st.integers(0, len(whole)))
    body, chunks = fed(whole[:cut])
    assert b"".join(pieces).startswith(body) and not chunks.is_over
    framing = sum(len(b"%x\r\n\r\n" % len(piece)) for piece in pieces)
    assert len(body) >= cut - framing


@pytest.mark.parametrize(
    "said",
    [
        b"5;a=b\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\n",
        b"005\r\nhello\r\n",
        b"5 ; x\r\nhello\r\n",
        b"5\t;x\r\nhello\r\n",
    ],
)
def test_ways_to_write_a_chunk(said: bytes) -> None:
    """Extensions are passed over, and lines may end in LF alone."""
    assert fed(said)[0] == b"hello"


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+5\r\nhello",
        b"\r5\r\nhello\r\n",
        b"\r5;x\r\nhello\r\n",
        b"1_0\r\n",
        b"0x5\r\n",
        b"5\r\nhelloXX\r\n",
        b"5\r\nhello5\r\nhello\r\n",
        b"\xff\r\n",
        b"g\r\n",
        b"1" * 17 + b"\r\n",
        b"1" * 70000,
        b"5" + b";" * 70000,
    ],
)
def test_what_is_no_chunk(said: bytes) -> None:
    """It breaks the answer off."""
    with pytest.raises(IncompleteRead):
        fed(said)
