"""CompletionStream: the text of one answer as it arrives, with what else is known of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._wire import openai, sse
from .exceptions import (
    ChatServerError,
    DecodeError,
    StreamConsumedError,
    StreamError,
    StreamInterruptedError,
    TransportError,
)

if TYPE_CHECKING:
    from .models import ChatCompletionChunk, ChatCompletionResponse

T = TypeVar("T")

# How long the end of the body may keep us after `[DONE]`. The server that this protocol comes
# from stores the answer only then, and drops that work when the client has hung up.
_DRAIN_SECONDS = 5.0


class Body(Protocol):
    """What a stream reads from."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    def iter_bytes(self) -> Iterator[bytes]: ...
    def note_event(self) -> None: ...
    def drain_for(self, seconds: float) -> None: ...
    def shut(self) -> None: ...
    def close(self) -> None: ...


class CompletionStream(Generator[str, None, None]):
    """The text of one answer as it arrives; iterate once, or close.

    `metadata` holds system_fingerprint (known before the first text), and id, model, usage
    and finish_reason as they become known. Iterating raises StreamInterruptedError when the answer
    ends before it is whole and StreamFailedError when the server says "error"; both carry the
    text so far as `partial`.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._answer = openai.StreamedAnswer(openai.metadata_from_headers(body.headers))
        self._events = _events(body)
        self._finished = False
        self._is_draining = False
        self._closed = False
        self._failure: ChatServerError | None = None
        self._reading = threading.Lock()

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of the answer beside its text."""
        return self._answer.metadata

    @property
    def text(self) -> str:
        """The text so far."""
        return self._answer.text

    def __iter__(self) -> CompletionStream:
        if self._finished or self._closed:
            raise self._consumed("this answer was read or closed already; its text is in .text")
        return self

    def __next__(self) -> str:
        return self._next(lambda text: text)

    def chunks(self) -> Iterator[ChatCompletionChunk]:
        """The rest of the answer as models: every chunk, those without text included.

        Raises what iterating over the text does.
        """
        with suppress(StopIteration):
            while True:
                yield self._next(lambda _: self._answer.typed_chunk())

    def send(self, value: None, /) -> str:
        """The same as next(): a stream takes nothing."""
        return next(self)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None, /) -> str:
        """Close the stream and raise."""
        self.close()
        raise typ if val is None else val

    def close(self) -> None:
        """Stop reading and give the connection back; safe to call twice and from any thread.

        A thread that waits for the next text gets StreamConsumedError.
        """
        self._closed = True
        # The reader may sit in a blocking read, which only shutting the socket ends.
        if self._reading.acquire(blocking=False):
            try:
                self._body.close()
            finally:
                self._reading.release()
        else:
            self._body.shut()

    def response(self) -> ChatCompletionResponse:
        """The whole answer, read to its end if that has not happened yet.

        Raises what iterating would raise, StreamConsumedError after an early close.
        """
        if self._failure is not None:
            raise self._failure
        while not (self._finished or self._closed):
            next(self, None)
        # Also an interrupt from the keyboard ends a stream, and is no failure of its own.
        if not self._answer.is_whole:
            raise self._consumed("this answer was closed before its end; what came is in .text")
        return self._answer.response()

    def __enter__(self) -> CompletionStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A stream that is dropped half-read gives its connection back as well.
        if hasattr(self, "_reading"):
            self.close()

    def __repr__(self) -> str:
        state = "finished" if self._finished else "closed" if self._closed else "open"
        return f"<CompletionStream {state} {self.metadata.get('system_fingerprint') or ''}>"

    def _next(self, pick: Callable[[str], T | None]) -> T:
        try:
            with self._reading:
                if self._finished or self._closed:
                    raise StopIteration
                return self._read_on(pick)
        finally:
            # A close() that came while we read could only shut the socket.
            if self._closed:
                self._body.close()

    def _read_on(self, pick: Callable[[str], T | None]) -> T:
        try:
            return self._advance(pick)
        except BaseException as exc:
            self._finished = True
            self._failure = exc if isinstance(exc, ChatServerError) else None
            self._body.close()
            raise

    def _advance(self, pick: Callable[[str], T | None]) -> T:
        """Read until an event gives what is picked, at the end raise StopIteration."""
        try:
            for event in self._events:
                if self._answer.is_done:
                    # What a server says behind [DONE] is no part of the answer.
                    continue
                self._body.note_event()
                picked = pick(self._answer.add(event))
                if self._answer.is_whole and not self._is_draining:
                    self._drain()
                if picked:
                    return picked
            if not self._answer.is_whole:
                raise self._broken("the answer ended before [DONE]")
        except (TransportError, DecodeError) as exc:
            if not self._answer.is_whole:
                raise self._broken(f"the answer ended before [DONE]: {exc.message}") from exc
        raise StopIteration

    def _drain(self) -> None:
        """What comes from here on is read to the end of the body, for a bounded time."""
        self._is_draining = True
        self._body.drain_for(_DRAIN_SECONDS)

    def _broken(self, message: str) -> StreamError:
        if self._closed:
            return self._consumed("this answer was closed while it was read; see .text")
        return StreamInterruptedError(message, partial=self.text, metadata=self.metadata)

    def _consumed(self, message: str) -> StreamConsumedError:
        return StreamConsumedError(message, partial=self.text, metadata=self.metadata)


def _events(body: Body) -> Iterator[sse.ServerSentEvent]:
    kind = body.headers.get("Content-Type") or ""
    if kind.partition(";")[0].strip().lower() == "application/json":
        return openai.events_of_whole(body.iter_bytes())
    return sse.iter_events(body.iter_bytes())
