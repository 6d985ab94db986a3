"""An answer as server-sent events, straight from a turn's log to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from starlette.types import Message, Receive, Send

from chatserver_sdk._wire import sse
from chatserver_sdk.engine import Turn
from chatserver_sdk.models.events import TERMINAL, Event

# A proxy cuts a connection that is silent for 16 to 30 s.
HEARTBEAT = 10.0
# A reader that reads nothing keeps its turn in memory for no longer than this.
_SEND_PATIENCE = 120.0

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
    ended, gone = asyncio.ensure_future(turn.end()), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((ended, gone), return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else None
    finally:
        ended.cancel()
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
    # Who waits in a silent turn is to leave it at once.
    gone.add_done_callback(lambda _: turn.wake())
    try:
        await _send_log(turn, encode, gone, send, heartbeat, after)
    finally:
        gone.cancel()


async def _send_log(
    turn: Turn,
    encode: Encode,
    gone: asyncio.Future[Message],
    send: Send,
    heartbeat: float,
    seq: int,
) -> None:
    while not gone.done():
        events = await turn.read(seq, heartbeat, _MOST_EVENTS)
        if gone.done() and not events:
            return
        body, count = _pack(events, encode)
        seq += count
        is_last = count > 0 and isinstance(events[count - 1], TERMINAL)
        if body or not events:
            body = body or sse.encode_comment("still here")
            await _send_soon(
                send, {"type": "http.response.body", "body": body, "more_body": not is_last}
            )
        if is_last:
            return
        if seq < len(turn.log):
            # A reader who takes everything at once must not keep the loop to itself.
            await asyncio.sleep(0)


async def _send_soon(send: Send, message: Message) -> None:
    """Send, or end this answer where the reader takes nothing for too long: its turn goes on
    without it, and whoever comes back reads on behind the last event."""
    task = asyncio.current_task()
    assert task is not None
    timer = asyncio.get_running_loop().call_later(_SEND_PATIENCE, task.cancel)
    try:
        await send(message)
    finally:
        timer.cancel()


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
