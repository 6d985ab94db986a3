"""Server-sent events: bytes to events and back, by the rules of the WHATWG.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
Events are framed here and the common one (a single `data:` line) is read here; sseclient-py
parses the others, from blocks in which its weak spots (byte-order mark, mixed line ends, bad
UTF-8, ids) can no longer be met.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple

from chatserver_sdk.exceptions import DecodeError

# An event that never ends must not fill the memory.
MAX_EVENT_BYTES = 64 * 2**20

_BOM = b"\xef\xbb\xbf"
# As numbers: a byte is found several times faster than a bytes of one.
_LF, _NUL = 10, 0
_RETRY = re.compile("[0-9]{1,15}")  # more digits than int() takes are no time to wait either


class ServerSentEvent(NamedTuple):
    """One event: `id` is the last id that was seen (it sticks), `retry` milliseconds."""

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None


# What the class does itself, without looking at defaults: half of the time an event takes.
_event = partial(tuple.__new__, ServerSentEvent)


def iter_events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events in a body, wherever its chunks are cut; an event without its end is dropped.

    Raises DecodeError for an event of more than MAX_EVENT_BYTES.
    """
    last_id = ""
    blocks = _split(_with_plain_line_ends(_without_bom(chunks)))
    for block in chain.from_iterable(blocks):
        # The common event is one data line; servers that number them have an id line before it.
        line = block
        if block.startswith(b"id: "):
            head, _, line = block.partition(b"\n")
        if line.startswith(b"data: ") and _LF not in line and _NUL not in block:
            if line is not block:
                last_id = head[4:].decode("utf-8", "replace")
            yield _event((line[6:].decode("utf-8", "replace"), "message", last_id, None))
            continue
        last_id, event = _parse_block(block, last_id)
        if event is not None:
            yield event


def encode_event(data: str, *, event: str | None = None, id: str | None = None) -> bytes:
    """The bytes of one event; each line of `data` becomes a data line of its own."""
    head = (f"event: {event}\n" if event else "") + (f"id: {id}\n" if id else "")
    # Splitting at LF only would let a CR in the data end its line on the reader's side.
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


def encode_line(data: str, *, id: str) -> bytes:
    """The same for data without line ends, such as compact JSON."""
    return f"id: {id}\ndata: {data}\n\n".encode()


def encode_comment(text: str) -> bytes:
    """The bytes of a comment, which readers skip: a sign of life."""
    return f": {text}\n\n".encode()


def _without_bom(chunks: Iterable[bytes]) -> Iterator[bytes]:
    head = b""
    undecided = True
    for chunk in chunks:
        if undecided:
            head += chunk
            undecided = len(head) < len(_BOM) and _BOM.startswith(head)
            if undecided:
                continue
            chunk = head.removeprefix(_BOM)
        yield chunk
    if undecided:
        yield head


def _with_plain_line_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """CR and CRLF become LF; a CR at the end of a chunk ends its line at once."""
    after_cr = False
    for chunk in chunks:
        if after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            after_cr = False
        if b"\r" in chunk:
            after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield chunk


def _split(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """What stands between two empty lines, as many of these as a chunk completes."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        # Only what is new is searched, and joined once: a big event in small pieces stays linear.
        ends = b"\n\n" in chunk or (chunk[:1] == b"\n" and waiting and waiting[-1][-1:] == b"\n")
        size += len(chunk)
        if chunk:
            waiting.append(chunk)
        if ends:
            *blocks, rest = b"".join(waiting).split(b"\n\n")
            yield blocks
            waiting, size = [rest] if rest else [], len(rest)
        if size > MAX_EVENT_BYTES:
            raise DecodeError(f"the server sent an event of more than {MAX_EVENT_BYTES} bytes")


def _parse_block(block: bytes, last_id: str) -> tuple[str, ServerSentEvent | None]:
    retry: int | None = None
    lines = []
    for line in block.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            # An id counts also in an event without data; one with NUL never does.
            last_id = last_id if "\0" in value else value
        elif name == "retry":
            retry = int(value) if _RETRY.fullmatch(value) else retry
        else:
            lines.append(line)
    for parsed in _client()(iter([("\n".join(lines) + "\n\n").encode()])).events():
        return last_id, ServerSentEvent(parsed.data, parsed.event, last_id, retry)
    return last_id, None


@lru_cache
def _client() -> Any:
    from sseclient import SSEClient  # only streams need it

    # At DEBUG it logs each event, with the words that are in it.
    log = logging.getLogger(SSEClient.__module__)
    log.setLevel(log.level or logging.INFO)
    return SSEClient
