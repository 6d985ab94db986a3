"""An answer as server-sent events, straight from a turn's log to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from starlette.types import Message, Receive, Send

from chatserver_sdk._wire import sse
from chatserver_sdk.engine import Turn
from chatserver_sdk.models.events import Event

from . import visits

# A proxy cuts a connection that is silent for 16 to 30 s.
HEARTBEAT = 10.0
# A reader that reads nothing keeps its turn in memory for no longer than this.
_SEND_PATIENCE = 120.0

# Whoever waits for a whole answer is not looked after before that.
_PROMPT = 0.05

# What one reader is sent at once: a slow one holds no more of a long log than that.
_MOST_EVENTS = 512
_MOST_BYTES = 64 * 1024

Encode = Callable[[Event], Iterable[bytes]]

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    # nginx would keep the events until it has a bufferful.
    "x-accel-buffering": "no",
}


async def read_end(turn: Turn, receive: Receive) -> Event | None:
    """The event that ends the turn; None if the reader is gone before."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    gone: asyncio.Future[Message] | None = None

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    def listen() -> None:
        nonlocal gone
        gone = asyncio.ensure_future(receive())
        gone.add_done_callback(wake)

    # Most answers are whole before anybody could be gone.
    listening = loop.call_later(_PROMPT, listen)
    try:
        with turn.waking_at_end(wake):
            await waiter
        return turn.ending
    finally:
        listening.cancel()
        if gone is not None:
            gone.cancel()


async def send_events(
    turn: Turn,
    encode: Encode,
    headers: dict[str, str],
    receive: Receive,
    send: Send,
    *,
    after: int = 0,
    heartbeat: float = HEARTBEAT,
) -> None:
    """Everything that the turn says, to its end or until the reader is gone.

    after: the number of the last event that the reader has; there must be one behind it, or the
    turn must go on. heartbeat: after so many seconds of silence a comment is sent.
    """
    # Not Starlette's StreamingResponse: that sends one message an event, this one all that wait.
    raw = [(k.encode(), v.encode()) for k, v in {**_HEADERS, **headers}.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    # The request's body was read, so the next message says that the reader is gone.
    gone = asyncio.ensure_future(receive())
    delivery = _Delivery(turn, encode, send, gone, after, heartbeat)
    turn.watch(delivery.wake)
    try:
        await delivery.run()
    finally:
        turn.unwatch(delivery.wake)
        delivery.stop()


class _Delivery:
    """One reader's way through a turn's log, with one clock for its silence and its patience."""

    def __init__(
        self,
        turn: Turn,
        encode: Encode,
        send: Send,
        gone: asyncio.Future[Message],
        after: int,
        heartbeat: float,
    ) -> None:
        self._turn = turn
        self._encode = encode
        self._send = send
        self._gone = gone
        self._seq = after
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._waiter: asyncio.Future[None] | None = None
        self._said_at = self._loop.time()
        self._is_sending = False
        self._is_silent = False
        self._timer = self._loop.call_later(heartbeat, self._tick)
        gone.add_done_callback(lambda _: self.wake())

    async def run(self) -> None:
        """Send until the turn has ended, or nobody is there."""
        log = self._turn.log
        while await self._wait_for_news():
            events = log[self._seq : self._seq + _MOST_EVENTS]
            body, count = _pack(events, self._encode)
            self._seq += count
            visits.note_events(count)
            is_last = count > 0 and events[count - 1].is_terminal
            if body or self._is_silent:
                await self._say(body or sse.encode_comment("still here"), is_last)
            if is_last:
                return
            if self._seq < len(log):
                # A reader who takes everything at once must not keep the loop to itself.
                await asyncio.sleep(0)

    def wake(self) -> None:
        """There is something to do."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def stop(self) -> None:
        """Stop the clock."""
        self._timer.cancel()
        self._gone.cancel()

    async def _wait_for_news(self) -> bool:
        """Whether there is something to send; False when nobody is there any more."""
        log = self._turn.log
        while self._seq >= len(log) and not self._is_silent and not self._gone.done():
            self._waiter = self._loop.create_future()
            await self._waiter
        return not self._gone.done()

    async def _say(self, body: bytes, is_last: bool) -> None:
        self._said_at = self._loop.time()
        self._is_sending = True
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})
        self._is_sending = self._is_silent = False

    def _tick(self) -> None:
        """Wake a reader that hears nothing; let go of one that takes nothing."""
        silence = self._loop.time() - self._said_at
        if self._is_sending and silence >= _SEND_PATIENCE and self._task is not None:
            # Its turn goes on without it, and whoever comes back reads on behind the last event.
            self._task.cancel()
            return
        if not self._is_sending and silence >= self._heartbeat:
            self._is_silent = True
            self.wake()
        rest = self._heartbeat if self._is_sending else self._heartbeat - silence
        self._timer = self._loop.call_later(max(rest, 0.0) or self._heartbeat, self._tick)


def _pack(events: Sequence[Event], encode: Encode) -> tuple[bytes, int]:
    """The bytes of as many events as may be sent at once, and how many these are."""
    parts: list[bytes] = []
    size = count = 0
    for event in events:
        if size >= _MOST_BYTES:
            break
        encoded = list(encode(event))
        parts += encoded
        size += sum(map(len, encoded))
        count += 1
    return b"".join(parts), count
