"""Answers as they arrive: CompletionStream, and what it shares with other dialects."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ._wire import openai, sse
from ._wire.places import Place
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
from .raw import RawResponse

if TYPE_CHECKING:
    from typing_extensions import Self

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
    watcher: weakref.ref[AnswerStream] | None

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


class Answer(Protocol):
    """An answer as it adds up, event by event, in the words of one dialect."""

    metadata: dict[str, Any]
    is_done: bool
    events: int
    # What says that there is no more.
    last_word: str

    @property
    def text(self) -> str: ...
    @property
    def is_whole(self) -> bool: ...
    @property
    def finish_reasons(self) -> list[str | None]: ...

    def add(self, event: sse.ServerSentEvent) -> str: ...
    def is_last(self, event: sse.ServerSentEvent) -> bool: ...
    def typed_chunk(self) -> Any: ...
    def response(self) -> Any: ...


class AnswerStream(Generator[str, None, None]):
    """The text of one answer as it arrives, in whichever dialect; iterate once, or close.

    decode: makes what the answer adds up in, out of what is known before its first event. on_end:
    is told once, when nothing more is read.
    """

    _resumed_by = "resume_stream"

    def __init__(
        self,
        body: Body,
        resume: Resume | None,
        decode: Callable[[dict[str, Any]], Answer],
        *,
        cursor: str | None = None,
        awaits_usage: bool = False,
        on_end: Callable[[Any, ChatServerError | None], None] | None = None,
    ) -> None:
        known = openai.metadata_from_headers(body.raw.headers)
        self._body = body
        self._resume = resume
        self._answer = decode({**known, "request_id": body.raw.request_id, "reconnects": 0})
        self._events = _events(body, is_rest=cursor is not None)
        self._place = Place(body.raw.headers, cursor)
        self._patience = _USAGE_SECONDS if awaits_usage else _DRAIN_SECONDS
        self._fruitless = 0
        self._finished = False
        self._is_draining = False
        self._closed = False
        self._closing = threading.Event()
        self._failure: ChatServerError | None = None
        self._on_whole: Callable[[Any], None] | None = None
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

    def __iter__(self) -> Self:
        if self._finished or self._closed:
            raise self._consumed("this answer was read or closed already; its text is in .text")
        return self

    def __next__(self) -> str:
        said: str = self._next(as_chunk=False)
        return said

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

    def _typed(self) -> Iterator[Any]:
        """The rest of the answer as models."""
        with suppress(StopIteration):
            while True:
                yield self._next(as_chunk=True)

    def _whole(self) -> Any:
        """The whole answer, read to its end."""
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
        raise TypeError(
            f"a stream cannot be pickled; its cursor can, for client.{self._resumed_by}()"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A stream that is dropped half-read gives its connection back as well.
        if hasattr(self, "_reading"):
            self.close()

    def __repr__(self) -> str:
        state = "finished" if self._finished else "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state} {self.metadata.get('system_fingerprint') or ''}>"

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
        if answer.is_done or (
            place.is_resumed and not answer.is_last(event) and place.has_seen(event)
        ):
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
            raise self._broken(self._cut_off, failure) from failure
        self._body.close()
        self._body = self._reopen(self._resume, cursor, failure)
        self._body.watcher = weakref.ref(self)
        if not self._place.is_in(self._body.raw.headers):
            raise self._broken(
                f"{self._cut_off}, and what came in its place is no rest of it", None
            )
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
                raise self._broken(self._cut_off, failure) from failure
            try:
                return resume.reopen(cursor)
            except ChatServerError as exc:
                failure = exc

    @property
    def _cut_off(self) -> str:
        return f"the answer ended before {self._answer.last_word}"

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


class CompletionStream(AnswerStream):
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
        super().__init__(
            body,
            resume,
            lambda metadata: openai.StreamedAnswer(metadata, choices_asked),
            cursor=cursor,
            awaits_usage=awaits_usage,
            on_end=on_end,
        )

    def chunks(self) -> Iterator[ChatCompletionChunk]:
        """The rest of the answer as models: every chunk, those without text included.

        Raises what iterating over the text does.
        """
        return self._typed()

    def on_whole(self, tell: Callable[[ChatCompletionResponse], None]) -> None:
        """Have `tell` called once, with the whole answer, when it was read to its end."""
        self._on_whole = tell

    def response(self) -> ChatCompletionResponse:
        """The whole answer, read to its end if that has not happened yet.

        Raises what iterating would raise, StreamConsumedError after an early close.
        """
        answer: ChatCompletionResponse = self._whole()
        return answer


def _events(body: Body, *, is_rest: bool) -> Iterator[sse.ServerSentEvent]:
    kind = body.raw.headers.get("Content-Type")
    return openai.events_of(kind, body.iter_bytes(), is_rest=is_rest)
