"""Place: where in a turn's numbered events a reader is; cursors look like `<turn_id>:<seq>`."""

from __future__ import annotations

from collections.abc import Mapping

from chatserver_sdk.raw import is_able

from .sse import ServerSentEvent


class Place:
    """headers: of the answer that is read. cursor: behind what it begins, if not at the start."""

    def __init__(self, headers: Mapping[str, str], cursor: str | None) -> None:
        self.last_id = cursor or ""
        self._turn_id = headers.get("X-Turn-Id")
        # Before its first event a stream can be resumed where we know who numbers them.
        numbered = self._turn_id is not None and is_able(headers)
        self._start = f"{self._turn_id}:0" if numbered else None
        self.is_resumed = False
        self._seen = 0

    @property
    def cursor(self) -> str | None:
        """The last event of this turn that came."""
        return self.last_id if _seq(self.last_id, self._turn_id) is not None else None

    @property
    def to_resume(self) -> str | None:
        """Behind what a server is to go on."""
        return self.cursor or (None if self.last_id else self._start)

    def is_in(self, headers: Mapping[str, str]) -> bool:
        """Whether these are of an answer that says the same turn."""
        return headers.get("X-Turn-Id") == self._turn_id

    def go_on(self, cursor: str) -> None:
        """The stream begins anew behind the cursor."""
        self.is_resumed = True
        self._seen = max(self._seen, _seq(cursor, self._turn_id) or 0)

    def has_seen(self, event: ServerSentEvent) -> bool:
        """Whether the server says again what came before the stream broke off; the last event and
        the last word have one number."""
        seq = _seq(event.id, self._turn_id)
        return seq is not None and seq <= self._seen


def _seq(event_id: str, turn_id: str | None) -> int | None:
    turn, _, seq = event_id.rpartition(":")
    is_number = seq.isascii() and seq.isdecimal() and len(seq) < 16
    return int(seq) if turn and turn == turn_id and is_number else None
