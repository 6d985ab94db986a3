"""Measures parts of our client that need no server: models, big events, memory.

Prints one JSON object of ratios (and bytes, for the memory).
"""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any


def best(work: Callable[[], Any], times: int) -> float:
    """The least CPU seconds of some runs."""
    work()
    spent = []
    for _ in range(times):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent)


def records(count: int) -> bytes:
    """A long transcript as the server sends it: questions of 15 words, answers of 200."""
    message = {
        "id": "5b1f0d9e-9d3c-4b0e-8a52-0c9be81a7f11",
        "metadata": {"turn_id": "x", "finish_reason": "stop"},
        "tokens": 8,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": None,
    }
    session = {"id": "s", "user_id": "u", "created_at": "2026-01-02T03:04:05Z"}
    session["updated_at"] = session["created_at"]
    said = [("user", "lorem ipsum dolor " * 5), ("assistant", "lorem ipsum dolor sit " * 50)]
    messages = [
        {
            **message,
            "message_index": index,
            "role": said[index % 2][0],
            "content": said[index % 2][1],
        }
        for index in range(count)
    ]
    return json.dumps({"session": session, "messages": messages}).encode()


def records_ratio() -> float:
    """10,000 records into models, against json.loads of the same bytes."""
    from chatserver_sdk.models import ChatSessionDetailResponse

    raw = records(10_000)
    plain = best(lambda: json.loads(raw), 15)
    return best(lambda: ChatSessionDetailResponse.from_json(raw), 15) / plain


def big_event_ratio() -> float:
    """One event of 4 MiB in blocks of 128 bytes, against blocks of 64 KiB."""
    from chatserver_sdk._wire.sse import iter_events

    body = b"data: " + b"x" * (4 * 2**20) + b"\n\n"

    def read(size: int) -> None:
        blocks = (body[at : at + size] for at in range(0, len(body), size))
        assert sum(1 for _ in iter_events(blocks)) == 1

    return best(lambda: read(128), 3) / best(lambda: read(65536), 3)


def stream_growth(chunks: int) -> float:
    """Bytes that a chunk leaves behind while a long stream is read and its text not kept."""
    from chatserver_sdk._wire.sse import iter_events

    line = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' * 100

    def body() -> Iterator[bytes]:
        for _ in range(chunks // 100):
            yield line

    tracemalloc.start()
    seen = 0
    for _ in iter_events(body()):
        seen += 1
        if seen == chunks // 10:
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (late - early) / (chunks * 0.9)


if __name__ == "__main__":
    short = "--short" in sys.argv
    print(
        json.dumps(
            {
                "10,000 records against json.loads": records_ratio(),
                "4 MiB event, 128-byte against 64-KiB blocks": big_event_ratio(),
                "bytes kept a chunk of a long stream": stream_growth(10_000 if short else 10**6),
            }
        )
    )
