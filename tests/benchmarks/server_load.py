"""Measures what a server answers in a second of its CPU, side by side with a bare uvicorn
application and with FastAPI's own path. The server runs on one core, the load on the other.

`python tests/benchmarks/server_load.py`; with --short a JSON object of rates, roughly.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from served import KEY, WORDS

HERE = Path(__file__).parent
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_CORES = sorted(os.sched_getaffinity(0))
_CALLERS = 64
_STREAMS = 50


class Case(NamedTuple):
    """What is asked of which server, and how many things an answer counts for."""

    name: str
    server: str
    path: str
    body: dict[str, object]
    callers: int = _CALLERS
    worth: int = 1


QUESTION: dict[str, object] = {
    "model": "echo",
    "messages": [{"role": "user", "content": "Hello there"}],
}
STORED = {**QUESTION, "user": "ada"}
STREAMED = {**QUESTION, "model": "paced", "stream": True}
COMPLETIONS = "/v1/chat/completions"
CASES = [
    Case("bare uvicorn", "bare", "/", QUESTION),
    Case("FastAPI echo", "fastapi", "/echo", QUESTION),
    Case("completion, not stored", "ours", COMPLETIONS, QUESTION),
    Case("completion, stored first", "ours", COMPLETIONS, STORED),
    Case("bare events", "bare", "/events", QUESTION, _STREAMS, WORDS),
    Case("streamed events", "ours", COMPLETIONS, STREAMED, _STREAMS, WORDS),
]
# (case, beside which other, what must be reached)
RATIOS = [
    ("FastAPI echo", "bare uvicorn", None),
    ("completion, not stored", "bare uvicorn", 0.20),
    ("completion, stored first", "bare uvicorn", 0.10),
    ("streamed events", "bare events", 0.40),
]


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, while there is something left."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request = request
        self._left = left
        self._done = done
        self._content = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._content = self._content + data if self._content else data
        if self._is_whole():
            if not self._content.startswith(b"HTTP/1.1 200"):
                self._done.set_exception(ValueError(self._content[:300]))
                return
            self._content = b""
            self._ask()

    def _is_whole(self) -> bool:
        head = self._content.find(b"\r\n\r\n")
        if head < 0:
            return False
        length = _LENGTH.search(self._content, 0, head)
        if length is None:
            # Only the end of a long stream is looked at.
            is_whole = self._content.endswith(b"\r\n0\r\n\r\n")
            self._content = (
                self._content if is_whole else self._content[: head + 4] + self._content[-8:]
            )
            return is_whole
        return len(self._content) >= head + 4 + int(length[1])

    def _ask(self) -> None:
        if self._left[0] > 0:
            self._left[0] -= 1
            self._transport.write(self._request)
        elif not self._done.done():
            self._done.set_result(None)


async def load(url: str, case: Case, count: int) -> None:
    """So many requests, from all callers together."""
    address = urlsplit(url)
    body = json.dumps(case.body).encode()
    head = f"POST {case.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    loop, left = asyncio.get_running_loop(), [count]
    ends: list[asyncio.Future[None]] = []
    transports = []
    for _ in range(case.callers):
        ends.append(end := loop.create_future())
        transport, _ = await loop.create_connection(
            lambda end=end: Caller(head.encode() + body, left, end),  # type: ignore[misc]
            address.hostname,
            address.port,
        )
        transports.append(transport)
    await asyncio.wait_for(asyncio.gather(*ends), 120)
    for transport in transports:
        transport.close()


def cpu_seconds(pid: int) -> float:
    """What a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(kind: str, folder: str) -> Iterator[tuple[str, int]]:
    """A server on the first core: its URL and its process."""
    command = [sys.executable, str(HERE / "served.py"), kind, f"{folder}/chat.db"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
    )
    # Threads that are still to come take the core of the one that makes them.
    os.sched_setaffinity(process.pid, {_CORES[0]})
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.communicate()


def rate_of(case: Case, seconds: float) -> float:
    """How many in a second of CPU, over about so many seconds of it."""
    with tempfile.TemporaryDirectory() as folder, server(case.server, folder) as (url, pid):
        count, spent = max(case.callers, 200 // case.worth), 0.0
        # Everybody is warm after the first round, and its speed says how long the last one is.
        while spent < seconds:
            begun = cpu_seconds(pid)
            run(load(url, case, count))
            spent = max(cpu_seconds(pid) - begun, 0.01)
            found = count * case.worth / spent
            count = max(count * 2, int(count * seconds / spent * 1.1))
        return found


def run(work: object) -> None:
    """On the fastest loop that there is."""
    import uvloop

    uvloop.run(work)


def main(short: bool) -> None:
    """Measure, and print."""
    rates = {}
    os.sched_setaffinity(0, {_CORES[-1]})
    for case in CASES:
        rates[case.name] = rate_of(case, 0.1 if short else 3.0)
    if short:
        print(json.dumps(rates))
        return
    print(f"per CPU second of the server, on one of {len(_CORES)} cores\n")
    print("| measure | per CPU second | ratio | must reach |\n|---|---|---|---|")
    beside = {name: (other, must) for name, other, must in RATIOS}
    for name, rate in rates.items():
        other, must = beside.get(name, (name, None))
        wanted = f"{must:.0%}" if must else ""
        print(f"| {name} | {rate:,.0f} | {rate / rates[other]:.1%} of {other} | {wanted} |")


if __name__ == "__main__":
    main("--short" in sys.argv)
