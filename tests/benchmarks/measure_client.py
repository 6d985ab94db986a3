"""Measures one client library in this process: `measure_client.py openai|ours PORT`.

Prints one JSON object: CPU microseconds where nothing else is said.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol


class Client(Protocol):
    """What both libraries can do."""

    def whole(self, size: int) -> Any: ...
    def stream(self, model: str) -> Any: ...
    def typed(self, model: str) -> Any: ...


class Openai:
    """The published openai package."""

    def __init__(self, port: int) -> None:
        from openai import OpenAI

        self._client = OpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1")

    def whole(self, size: int) -> Any:
        messages: Any = [{"role": "user", "content": "hi"}]
        return self._client.chat.completions.create(model=f"whole:{size}", messages=messages)

    def typed(self, model: str) -> Any:
        messages: Any = [{"role": "user", "content": "hi"}]
        return self._client.chat.completions.create(model=model, messages=messages, stream=True)

    def stream(self, model: str) -> Any:
        for chunk in self.typed(model):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


class Ours:
    """chatserver_sdk."""

    def __init__(self, port: int) -> None:
        from chatserver_sdk import ChatServerClient

        self._client = ChatServerClient("k", f"http://127.0.0.1:{port}")

    def whole(self, size: int) -> Any:
        return self._client.create_completion(f"whole:{size}", "hi")

    def stream(self, model: str) -> Any:
        return self._client.create_completion(model, "hi", stream=True)

    def typed(self, model: str) -> Any:
        return self._client.create_completion(model, "hi", stream=True).chunks()


def cpu(work: Callable[[], Any], times: int) -> float:
    """CPU microseconds of one call, once warm."""
    work()
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times * 1e6


def drain(stream: Any) -> int:
    """Read to the end; how many pieces there were."""
    return sum(1 for _ in stream)


def delay(client: Client, model: str) -> float:
    """The median microseconds between sending a token and having it."""
    delays = [time.monotonic() - float(text) for text in client.stream(model)]
    return statistics.median(delays) * 1e6


def connections(port: int) -> int:
    """How many the server has seen."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/connections") as answer:
        return int(answer.read())


def new_connections(client: Client, port: int) -> int:
    """How many connections ten streams take."""
    before = connections(port)
    for _ in range(10):
        drain(client.stream("chunks:20"))
    return connections(port) - before - 1


def threads(client: Client) -> float:
    """Wall seconds of 64 paced streams at once, against the ideal."""
    workers = [
        threading.Thread(target=lambda: drain(client.stream("paced:100:20"))) for _ in range(64)
    ]
    begun = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.monotonic() - begun) / (100 * 0.020)


def main(name: str, port: int, short: bool) -> None:
    """Measure everything."""
    client: Client = Openai(port) if name == "openai" else Ours(port)
    scale = 1 if short else 10
    measured = {
        "text chunk": cpu(lambda: drain(client.stream("chunks:2000")), 2 * scale) / 2000,
        "20-chunk stream": cpu(lambda: drain(client.stream("chunks:20")), 30 * scale),
        "connections for ten streams": new_connections(client, port),
        "delay, chunked": delay(client, "paced:300:1"),
        "delay, close-delimited": delay(client, "close:300:1"),
        "call, 1 KB": cpu(lambda: client.whole(1000), 30 * scale),
        "call, 200 KB": cpu(lambda: client.whole(200_000), 10 * scale),
    }
    measured["typed chunk"] = cpu(lambda: drain(client.typed("chunks:2000")), 2 * scale) / 2000
    measured["64 threads against ideal"] = threads(client)
    print(json.dumps(measured))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "--short" in sys.argv)
