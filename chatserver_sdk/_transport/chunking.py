"""Chunking: takes HTTP's chunked framing off bytes, wherever they are cut (RFC 9112 7.1).

http.client hands out one chunk a call, which costs more than the event that is in it; this hands
out what has come.
"""

from __future__ import annotations

from functools import lru_cache
from http.client import IncompleteRead

# Sizes, extensions and trailers are short; a line without an end must not fill the memory.
_LONGEST_LINE = 65536
_HEX_DIGITS = b"0123456789abcdefABCDEF"


class Dechunker:
    """Feed it a body's bytes until `is_over`. Raises IncompleteRead for what is no chunk."""

    def __init__(self) -> None:
        self.is_over = False
        self._rest = b""
        self._left = 0
        self._expects_end = False
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """What the bytes hold of the body."""
        data = self._rest + data if self._rest else data
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.is_over:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                continue
            if not (self._expects_end or self._in_trailers):
                at = _take_whole(data, at, pieces)
            end = data.find(b"\n", at)
            if end < 0:
                break
            self._read_line(data[at:end])
            at = end + 1
        self._rest = data[at:]
        if len(self._rest) > _LONGEST_LINE:
            raise IncompleteRead(b"")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self, line: bytes) -> None:
        if self._expects_end:
            if line.rstrip(b"\r"):
                raise IncompleteRead(b"")
            self._expects_end = False
        elif self._in_trailers:
            self.is_over = not line.rstrip(b"\r")
        else:
            self._left = _size_in(line)
            self._expects_end = self._left > 0
            self._in_trailers = not self._expects_end


def _take_whole(data: bytes, at: int, pieces: list[bytes]) -> int:
    """Where the chunks end that have come as a whole, as nearly all have; they become pieces."""
    while (end := data.find(b"\n", at)) >= 0:
        start = end + 1
        stop = start + _size_in(data[at:end])
        if stop == start or not data.startswith(b"\r\n", stop):
            break
        pieces.append(data[start:stop])
        at = stop + 2
    return at


def _size_in(line: bytes) -> int:
    return _size(line.rstrip(b"\r").partition(b";")[0].strip(b" \t"))


# The chunks of an answer are of a few sizes.
@lru_cache(256)
def _size(digits: bytes) -> int:
    # int() alone takes signs, underscores and 0x.
    if not digits or len(digits) > 16 or digits.strip(_HEX_DIGITS):
        raise IncompleteRead(b"")
    return int(digits, 16)
