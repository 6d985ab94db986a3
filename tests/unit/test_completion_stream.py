"""CompletionStream over a body that a test holds in its hand: states, threads, interrupts."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chatserver_sdk.exceptions import (
    APIConnectionError,
    DecodeError,
    StreamConsumedError,
    StreamFailedError,
    StreamInterruptedError,
)
from chatserver_sdk.models import UsageInfo
from chatserver_sdk.raw import RawResponse
from chatserver_sdk.streaming import CompletionStream
from chatserver_sdk.testing import DONE, delta, event, finished

HELLO = [delta("Hel"), delta("lo"), finished(usage={"total_tokens": 3}), DONE]


class Waits:
    """A read that waits until the body is shut, and says that it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()


class Body:
    """Bytes, waits and failures in the place of a connection."""

    def __init__(self, steps: Sequence[bytes | BaseException | Waits]) -> None:
        self.raw = RawResponse(200, {"X-Session-Id": "s1"}, request_id="r1")
        self.closed = 0
        self.events = 0
        self.bound: float | None = None
        self._steps = steps
        self._shut = threading.Event()

    def iter_bytes(self) -> Iterator[bytes]:
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, bytes):
                yield step
            else:
                step.begun.set()
                self._shut.wait()
                return

    def note_event(self) -> None:
        self.events += 1

    def drain_for(self, seconds: float) -> None:
        self.bound = seconds
        self._shut.set()

    def shut(self) -> None:
        self._shut.set()

    def close(self) -> None:
        self.closed += 1


def stream_of(*steps: bytes | BaseException | Waits) -> tuple[CompletionStream, Body]:
    """A stream and the body that it reads."""
    body = Body(steps)
    return CompletionStream(body), body


def test_the_text_and_what_is_known_of_it() -> None:
    """Text as it comes, metadata as it becomes known, the body closed at the end."""
    stream, body = stream_of(*HELLO)
    known = {"system_fingerprint": "s1", "request_id": "r1", "reconnects": 0}
    assert stream.metadata == known
    assert (next(stream), stream.text, body.closed) == ("Hel", "Hel", 0)
    assert list(stream) == ["lo"]
    assert stream.text == "Hello" and body.closed
    assert stream.metadata == {
        **known,
        "id": "chatcmpl-1",
        "created": 1700000000,
        "model": "m",
        "finish_reason": "stop",
        "usage": UsageInfo(total_tokens=3),
    }


def test_the_whole_answer() -> None:
    """response() reads what is left; afterwards it is there as often as it is asked for."""
    stream, _ = stream_of(*HELLO)
    assert next(stream) == "Hel"
    response = stream.response()
    assert response == stream.response()
    assert response.choices[0].message.content == "Hello"
    assert (response.choices[0].finish_reason, response.usage.total_tokens) == ("stop", 3)
    assert (response.id, response.system_fingerprint) == ("chatcmpl-1", "s1")


@pytest.mark.parametrize(
    ("steps", "raised"),
    [
        ([delta("Hel")], StreamInterruptedError),
        ([delta("Hel"), APIConnectionError("gone")], StreamInterruptedError),
        ([delta("Hel"), DecodeError("too long")], StreamInterruptedError),
        ([delta("Hel"), b"data: {\n\n"], StreamInterruptedError),
        ([delta("Hel"), event({"error": "No"})], StreamFailedError),
    ],
)
def test_a_broken_answer_stays_broken(steps: Any, raised: type[Exception]) -> None:
    """Iterating raises once and response() as often as it is asked; neither gives half of it."""
    stream, body = stream_of(*steps)
    with pytest.raises(raised) as caught:
        list(stream)
    assert (caught.value.partial, caught.value.metadata["id"]) == ("Hel", "chatcmpl-1")  # type: ignore[attr-defined]
    assert body.closed and list_again(stream) == []
    for _ in range(2):
        with pytest.raises(raised) as again:
            stream.response()
        assert again.value is caught.value


def list_again(stream: CompletionStream) -> list[str]:
    """What next() still gives."""
    return [text for text in [next(stream, None)] if text is not None]


@pytest.mark.parametrize(
    ("end", "failure"),
    [
        (finished(), APIConnectionError("gone")),
        (finished(), b"data: {"),
        (DONE, APIConnectionError("gone")),
        (DONE, DecodeError("too long")),
        (DONE, b"data: {}\n\ndata: no json\n\n"),
    ],
)
def test_a_whole_answer_stays_whole(end: bytes, failure: Any) -> None:
    """What goes wrong after the end of the answer takes nothing back."""
    stream, body = stream_of(delta("Hi"), end, failure)
    assert list(stream) == ["Hi"]
    assert stream.response().choices[0].message.content == "Hi"
    assert body.closed


def test_an_error_after_the_answer() -> None:
    """What the server calls an error is one, also after a finish_reason."""
    stream, _ = stream_of(delta("Hi"), finished(), event({"error": "not stored"}))
    with pytest.raises(StreamFailedError, match="^not stored "):
        list(stream)


def test_reading_on_after_done_is_bounded() -> None:
    """A server that keeps the body open keeps the caller for seconds and not for ever."""
    stream, body = stream_of(delta("Hi"), DONE, Waits(), b"never read")
    assert list(stream) == ["Hi"]
    assert body.bound == 5.0 and body.closed


def test_what_comes_after_done_is_no_text() -> None:
    """It is read, and nothing else."""
    stream, _ = stream_of(delta("Hi"), DONE, delta("more"), event({"error": "x"}), b"data: {\n\n")
    assert list(stream) == ["Hi"]
    assert stream.text == "Hi"


def test_a_stream_is_iterated_once() -> None:
    """A loop that is left may go on; one that has ended cannot begin again."""
    stream, _ = stream_of(*HELLO)
    for text in stream:
        assert text == "Hel"
        break
    assert list(stream) == ["lo"]
    with pytest.raises(StreamConsumedError, match="its text is in .text") as caught:
        iter(stream)
    assert (caught.value.partial, caught.value.metadata["id"]) == ("Hello", "chatcmpl-1")
    assert next(stream, "nothing") == "nothing"


def test_a_closed_stream() -> None:
    """close() twice, nothing to read, no whole answer, what came is kept."""
    stream, body = stream_of(*HELLO)
    assert next(stream) == "Hel"
    stream.close()
    stream.close()
    assert body.closed and stream.text == "Hel"
    assert next(stream, "nothing") == "nothing"
    for use in (stream.response, stream.__iter__):
        with pytest.raises(StreamConsumedError) as caught:
            use()
        assert (caught.value.partial, caught.value.metadata["id"]) == ("Hel", "chatcmpl-1")


def test_closing_a_finished_stream_loses_nothing() -> None:
    """response() works inside and behind the with block."""
    stream, _ = stream_of(*HELLO)
    with stream as same:
        assert same is stream and list(stream) == ["Hel", "lo"]
    assert stream.response().choices[0].message.content == "Hello"


@pytest.mark.parametrize(
    ("use", "state"),
    [
        (lambda stream: None, "open"),
        (next, "open"),
        (list, "finished"),
        (lambda stream: stream.close(), "closed"),
        (lambda stream: (list(stream), stream.close()), "finished"),
    ],
)
def test_a_repr_says_the_state(use: Callable[[CompletionStream], object], state: str) -> None:
    """And the fingerprint; never the text."""
    stream, _ = stream_of(*HELLO)
    use(stream)
    assert repr(stream) == f"<CompletionStream {state} s1>"


def test_it_is_a_generator() -> None:
    """send() reads on, throw() closes and raises, as on any generator."""
    stream, body = stream_of(*HELLO)
    assert stream.send(None) == "Hel"
    with pytest.raises(KeyError):
        stream.throw(KeyError)
    assert body.closed == 1
    with pytest.raises(KeyError, match="x"):
        stream_of(*HELLO)[0].throw(KeyError("x"))
    with pytest.raises(KeyError, match="x"):
        stream_of(*HELLO)[0].throw(KeyError, KeyError("x"))


def test_an_interrupt_is_no_end() -> None:
    """Ctrl-C in the middle of an answer does not make half of it a whole one."""
    stream, body = stream_of(delta("Hel"), KeyboardInterrupt(), *HELLO)
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    assert body.closed
    with pytest.raises(StreamConsumedError, match="closed before its end"):
        stream.response()


def test_a_dropped_stream_gives_its_body_back() -> None:
    """Also one whose making failed half-way is dropped in silence."""
    stream, body = stream_of(*HELLO)
    next(stream)
    del stream
    gc.collect()
    assert body.closed == 1
    CompletionStream.__new__(CompletionStream).__del__()


def test_closing_from_another_thread_ends_the_read() -> None:
    """The reader gets an exception and not an end that looks like the answer's."""
    wait = Waits()
    stream, body = stream_of(delta("Hel"), wait)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, stream)
        wait.begun.wait()
        stream.close()
        with pytest.raises(StreamConsumedError, match="closed while it was read") as caught:
            reading.result()
    assert caught.value.partial == "Hel" and body.closed
    with pytest.raises(StreamConsumedError) as again:
        stream.response()
    assert again.value is caught.value


def test_a_broken_read_after_close_is_no_interruption() -> None:
    """However the read ends that close() has ended: it was closed."""

    class Broken(Body):
        def iter_bytes(self) -> Iterator[bytes]:
            yield from super().iter_bytes()
            raise APIConnectionError("gone")

    wait = Waits()
    stream = CompletionStream(Broken([delta("Hel"), wait]))
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, stream)
        wait.begun.wait()
        stream.close()
        with pytest.raises(StreamConsumedError):
            reading.result()


def test_closing_while_the_end_is_read_takes_nothing_back() -> None:
    """An answer that is whole stays whole when its stream is closed before the body ends."""
    wait = Waits()
    stream, body = stream_of(delta("Hi"), finished(), wait)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, stream)
        wait.begun.wait()
        stream.close()
        assert reading.result() == ["Hi"]
    assert body.closed and stream.response().choices[0].message.content == "Hi"


def test_a_text_that_comes_with_the_close_is_kept_and_the_body_closed() -> None:
    """close() could not close the body under the reader; the reader does it."""

    class Late(Body):
        def iter_bytes(self) -> Iterator[bytes]:
            yield from super().iter_bytes()
            yield delta("late")

    wait = Waits()
    body = Late([wait])
    stream = CompletionStream(body)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(next, stream)
        wait.begun.wait()
        stream.close()
        assert reading.result() == "late"
    assert body.closed


def test_two_threads_share_a_stream() -> None:
    """Each text goes to one of them; both come to the end."""
    texts = [str(number) for number in range(500)]
    stream, _ = stream_of(*map(delta, texts), DONE)
    with ThreadPoolExecutor(4) as pool:
        parts = [part.result() for part in [pool.submit(read_all, stream) for _ in range(4)]]
    assert sorted(sum(parts, []), key=int) == texts


def read_all(stream: CompletionStream) -> list[str]:
    """Every text that this thread gets."""
    return list(iter(lambda: next(stream, ""), ""))


def test_a_thread_that_waits_for_the_reader_sees_the_end() -> None:
    """It waited for a text while another thread met the failure."""
    wait = Waits()
    stream, body = stream_of(delta("Hel"), wait)
    assert next(stream) == "Hel"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(next, stream, "end")
        wait.begun.wait()
        second = pool.submit(next, stream, "end")
        body.shut()
        outcomes = [first.exception(), second.exception()]
    assert isinstance(outcomes[0], StreamInterruptedError)
    assert outcomes[1] is None and second.result() == "end"


def test_a_close_while_the_stream_is_taken_up_again() -> None:
    """The connection that comes too late is closed as well."""
    first, second = Body([delta("Hel", id="t:1")]), Body([delta("lo", id="t:2"), DONE])
    for body in (first, second):
        body.raw = RawResponse(200, {"X-Turn-Id": "t", "X-Chatserver": "1"})

    class Resume:
        def pause(self, fruitless: int, error: Exception | None) -> float | None:
            return 0.0

        def reopen(self, cursor: str) -> Body:
            closing = threading.Thread(target=stream.close)
            closing.start()
            closing.join()
            return second

        def stop(self) -> None:
            """There is nothing to end."""

    stream = CompletionStream(first, Resume())
    assert next(stream) == "Hel"
    with pytest.raises(StreamConsumedError):
        next(stream)
    assert first.closed and second.closed
