"""The audit log's hash chain: how an entry is written down, and what its hash is. Pure.

Canonical form, version 1: one JSON object in UTF-8 with the keys action, metadata, org_id,
previous, resource, resource_id, seq, timestamp, user_id and v (= 1), sorted, also inside metadata;
no blanks between tokens; only what JSON demands is escaped; times are whole microseconds since
1970; what is absent is null. `previous` is the hash of the entry in front, 64 zeros for the first.
An entry's hash is the SHA-256 of that, in lower-case hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Protocol

VERSION = 1
# In front of the first entry.
NOTHING = "0" * 64

_HEAD = re.compile(r"(0|[1-9][0-9]{0,17}):([0-9a-f]{64})")
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


class Written(Protocol):
    """An entry as it is stored: its time a number, its metadata the text."""

    @property
    def seq(self) -> Any: ...
    @property
    def timestamp(self) -> Any: ...
    @property
    def user_id(self) -> Any: ...
    @property
    def org_id(self) -> Any: ...
    @property
    def action(self) -> Any: ...
    @property
    def resource(self) -> Any: ...
    @property
    def resource_id(self) -> Any: ...
    @property
    def metadata(self) -> Any: ...


@dataclass(frozen=True)
class Draft:
    """An entry that is about to be stored. metadata: canonical JSON."""

    seq: int
    timestamp: int
    user_id: str | None
    org_id: str | None
    action: str
    resource: str | None
    resource_id: str | None
    metadata: str


@dataclass(frozen=True)
class Head:
    """The last entry of a log: its number and its hash, which stands for all in front of it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


EMPTY = Head(0, NOTHING)


def parse_head(text: str) -> Head:
    """The head that str() wrote. Raises ValueError."""
    found = _HEAD.fullmatch(text)
    if found is None:
        raise ValueError("a head is an entry's number, a colon and its hash of 64 hex digits")
    return Head(int(found[1]), found[2])


def canonical_json(value: Any) -> str:
    """JSON in its canonical form. Raises TypeError and ValueError for what is no JSON."""
    # Keys that are no texts become ones first: they would be sorted as what they are.
    return _encode(json.loads(_encode(value)))


def canonical_form(previous: str, entry: Written, seq: int | None = None) -> bytes:
    """What the hash is taken of; with another number where one is given.

    Raises TypeError and ValueError for values that no entry has.
    """
    # The stored text of the metadata stands there as it is: it was canonical when it was written,
    # and any change of it shows. join() refuses what is no text.
    return (
        f'{{"action":{encode_basestring(entry.action)},"metadata":{"".join((entry.metadata,))},'
        f'"org_id":{_text(entry.org_id)},"previous":"{previous}",'
        f'"resource":{_text(entry.resource)},"resource_id":{_text(entry.resource_id)},'
        f'"seq":{entry.seq if seq is None else seq:d},"timestamp":{entry.timestamp:d},'
        f'"user_id":{_text(entry.user_id)},"v":{VERSION}}}'
    ).encode()


def hash_of(previous: str, entry: Written, seq: int | None = None) -> str:
    """The entry's hash behind this one. Raises as canonical_form() does."""
    return hashlib.sha256(canonical_form(previous, entry, seq)).hexdigest()


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)
