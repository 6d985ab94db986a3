"""CompletionStream: the text of one answer as it arrives, with what else is known of it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ._wire import openai, sse
from .exceptions import (
    APIConnectionError,
    APIStatusError,
    ChatServerError,
    DecodeError,
    StreamConsumedError,
    StreamError,
    StreamInterruptedError,
    TransportError,
)
from .raw import RawResponse, is_able

if TYPE_CHECKING:
    from .models import ChatCompletionChunk, ChatCompletionResponse

# How long the end of the body may keep us after `[DONE]`. The server that this protocol comes
# from stores the answer only then, and drops that work when the client has hung up.
_DRAIN_SECONDS = 5.0
# The same behind a finish_reason, for a caller who has asked what the answer cost.
_USAGE_SECONDS = 30.0


class Body(Protocol):
    """What a stream reads from."""

    @property
    def raw(self) -> RawResponse: ...

    # Who is to be closed with it.
    watcher: weakref.ref[CompletionStream] | None

    def iter_bytes(self) -> Iterator[bytes]: ...
    def note_event(self) -> None: ...
    def drain_for(self, seconds: float) -> None: ...
    def shut(self) -> None: ...
    def close(self) -> None: ...


class Resume(Protocol):
    """How a stream that broke off is taken up again."""

    def pause(self, fruitless: int, error: ChatServerError | None) -> float | None: ...
    def reopen(self, cursor: str) -> Body: ...
    def stop(self) -> None: ...


class CompletionStream(Generator[str, None, None]):
    """The text of one answer as it arrives; iterate once, or close.

    `metadata` holds system_fingerprint (known before the first text), and id, model, usage
    and finish_reason as they become known. A stream of a server that numbers its events is taken
    up again by itself where it breaks off; `metadata["reconnects"]` counts. Iterating raises
    StreamInterruptedError when the answer ends before it is whole and StreamFailedError when the
    server says "error"; both carry the text so far as `partial`.
    """

    def __init__(
        self,
        body: Body,
        resume: Resume | None = None,
        *,
        cursor: str | None = None,
        choices_asked: int = 1,
        awaits_usage: bool = False,
        on_end: Callable[[openai.StreamedAnswer, ChatServerError | None], None] | None = None,
    ) -> None:
        known = openai.metadata_from_headers(body.raw.headers)
        metadata = {**known, "request_id": body.raw.request_id, "reconnects": 0}
        self._body = body
        self._resume = resume
        self._answer = openai.StreamedAnswer(metadata, choices_asked)
        self._events = _events(body, is_rest=cursor is not None)
        self._place = _Place(body.raw.headers, cursor)
        self._patience = _USAGE_SECONDS if awaits_usage else _DRAIN_SECONDS
        self._fruitless = 0
        self._finished = False
        self._is_draining = False
        self._closed = False
        self._closing = threading.Event()
        self._failure: ChatServerError | None = None
        self._on_whole: Callable[[ChatCompletionResponse], None] | None = None
        self._on_end = on_end
        self._reading = threading.Lock()
        body.watcher = weakref.ref(self)

    @property
    def raw(self) -> RawResponse:
        """How the answer began: status, headers, request id."""
        return self._body.raw

    @property
    def cursor(self) -> str | None:
        """Where `client.resume_stream()` goes on, in any process; None where the server does not
        number its events, and before the first one."""
        return self._place.cursor

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
        said: str = self._next(as_chunk=False)
        return said

    def chunks(self) -> Iterator[ChatCompletionChunk]:
        """The rest of the answer as models: every chunk, those without text included.

        Raises what iterating over the text does.
        """
        with suppress(StopIteration):
            while True:
                yield self._next(as_chunk=True)

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
        self._closing.set()
        # The reader may sit in a blocking read, which only shutting the socket ends.
        if self._reading.acquire(blocking=False):
            try:
                self._leave()
            finally:
                self._reading.release()
        else:
            self._body.shut()
            if self._resume is not None:
                self._resume.stop()

    def on_whole(self, tell: Callable[[ChatCompletionResponse], None]) -> None:
        """Have `tell` called once, with the whole answer, when it was read to its end."""
        self._on_whole = tell

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
        answer = self._answer.response()
        answer.__dict__["_raw"] = self.raw
        return answer

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream cannot be pickled; its cursor can, for client.resume_stream()")

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

    def _next(self, as_chunk: bool) -> Any:
        try:
            with self._reading:
                if self._finished or self._closed:
                    raise StopIteration
                return self._advance(as_chunk)
        except BaseException as exc:
            self._finished = True
            self._failure = exc if isinstance(exc, ChatServerError) else self._failure
            raise
        finally:
            # A close() that came while we read could only shut the socket.
            if self._finished or self._closed:
                self._leave()

    def _leave(self) -> None:
        """Nothing more is read; who waits for the end is told, once."""
        self._body.close()
        tell, self._on_end = self._on_end, None
        if tell is not None:
            tell(self._answer, self._failure)

    def _advance(self, as_chunk: bool) -> Any:
        """Read until an event says something, at the end raise StopIteration."""
        while True:
            failure: ChatServerError | None = None
            try:
                for event in self._events:
                    said = self._take(event, as_chunk)
                    if said:
                        return said
            except (TransportError, DecodeError) as exc:
                failure = exc
            if isinstance(failure, DecodeError) and not self._answer.is_done:
                raise self._broken("the answer cannot be read", failure) from failure
            if self._answer.is_whole:
                self._end()
            self._take_up(failure)

    def _end(self) -> NoReturn:
        tell, self._on_whole = self._on_whole, None
        if tell is not None:
            tell(self._answer.response())
        raise StopIteration

    def _take(self, event: sse.ServerSentEvent, as_chunk: bool) -> Any:
        answer, place = self._answer, self._place
        # What a server says behind [DONE] is no part of the answer.
        if answer.is_done or (place.is_resumed and place.has_seen(event)):
            return None
        self._body.note_event()
        self._fruitless = 0
        text = answer.add(event)
        # The place moves on behind what can be given only.
        said = answer.typed_chunk() if as_chunk else text
        if event.id:
            # A connection that is taken up begins without an id; the place stays what it was.
            place.last_id = event.id
        if answer.is_whole and (answer.is_done or not self._is_draining):
            # [DONE] ends an answer, and what comes behind it is none of it; behind a finish_reason
            # the cost may still come.
            self._is_draining = True
            self._body.drain_for(_DRAIN_SECONDS if answer.is_done else self._patience)
        return said

    def _take_up(self, failure: ChatServerError | None) -> None:
        """Go on behind the last event; raise where the server cannot, or time is up."""
        cursor = self._place.to_resume
        broke_off = failure is None or isinstance(failure, APIConnectionError)
        if self._resume is None or cursor is None or not broke_off:
            raise self._broken("the answer ended before [DONE]", failure) from failure
        self._body.close()
        self._body = self._reopen(self._resume, cursor, failure)
        self._body.watcher = weakref.ref(self)
        self._place.go_on(cursor)
        self._events = _events(self._body, is_rest=True)
        self.metadata["reconnects"] += 1
        if self._closed:
            # The thread that closes may have seen the old body only.
            raise self._broken("", None)

    def _reopen(self, resume: Resume, cursor: str, failure: ChatServerError | None) -> Body:
        while True:
            pause = resume.pause(self._fruitless, failure)
            self._fruitless += 1
            if pause is None or self._closing.wait(pause):
                raise self._broken("the answer ended before [DONE]", failure) from failure
            try:
                return resume.reopen(cursor)
            except ChatServerError as exc:
                failure = exc

    def _broken(self, message: str, cause: ChatServerError | None) -> StreamError:
        if self._closed:
            return self._consumed("this answer was closed while it was read; see .text")
        if isinstance(cause, APIStatusError):
            message += " and could not be taken up again"
        return StreamInterruptedError(
            message if cause is None else f"{message}: {cause.message}",
            partial=self.text,
            metadata=self.metadata,
            request_id=self._body.raw.request_id,
        )

    def _consumed(self, message: str) -> StreamConsumedError:
        return StreamConsumedError(
            message,
            partial=self.text,
            metadata=self.metadata,
            request_id=self._body.raw.request_id,
        )


class _Place:
    """Where in a turn's numbered events a reader is; cursors look like `<turn_id>:<seq>`."""

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

    def go_on(self, cursor: str) -> None:
        """The stream begins anew behind the cursor."""
        self.is_resumed = True
        self._seen = max(self._seen, _seq(cursor, self._turn_id) or 0)

    def has_seen(self, event: sse.ServerSentEvent) -> bool:
        """Whether the server says again what came before the stream broke off."""
        seq = _seq(event.id, self._turn_id)
        # The last event and [DONE] have one number.
        return seq is not None and seq <= self._seen and event.data.strip() != openai.DONE


def _seq(event_id: str, turn_id: str | None) -> int | None:
    turn, _, seq = event_id.rpartition(":")
    is_number = seq.isascii() and seq.isdecimal() and len(seq) < 16
    return int(seq) if turn and turn == turn_id and is_number else None


def _events(body: Body, *, is_rest: bool) -> Iterator[sse.ServerSentEvent]:
    kind = body.raw.headers.get("Content-Type")
    return openai.events_of(kind, body.iter_bytes(), is_rest=is_rest)
