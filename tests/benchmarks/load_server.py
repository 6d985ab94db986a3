"""A server that answers chat completions as fast as bytes can be written, in its own process.

The request's `model` says what to send: "whole:BYTES" a JSON answer, "chunks:N" N events, each in
an HTTP chunk of its own, "paced:N:MS" the same with pauses, "close:N:MS" without chunked framing.
Prints its port. `GET /connections` tells how many connections there were.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def event(number: int, said_at: float | None = None) -> bytes:
    """A chunk event; a paced one says when it was sent."""
    content = f"word{number} " if said_at is None else f"{said_at!r} "
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def last_events() -> bytes:
    """The end of an answer."""
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"


def framed(body: bytes) -> bytes:
    """An HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(body), body)


def whole(size: int) -> bytes:
    """A JSON answer whose text is so long."""
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "lorem ipsum " * (size // 12)},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    body = json.dumps(answer).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


class LoadServer:
    """Counts connections and answers."""

    def __init__(self) -> None:
        self.connections = 0
        self.many = {n: b"".join(framed(event(i)) for i in range(n)) for n in (20, 2000)}
        self.wholes = {size: whole(size) for size in (1000, 200_000)}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /connections"):
            body = str(self.connections).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return True
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        request = json.loads(await reader.readexactly(length))
        return await self._send(request["model"].split(":"), writer)

    async def _send(self, model: list[str], writer: asyncio.StreamWriter) -> bool:
        kind, size = model[0], int(model[1])
        if kind == "whole":
            writer.write(self.wholes[size])
        elif kind == "chunks":
            writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            await self._send_many(size, writer)
            writer.write(framed(last_events()) + b"0\r\n\r\n")
        else:
            await self._send_paced(kind, size, float(model[2]) / 1000, writer)
        await writer.drain()
        return kind != "close"

    async def _send_many(self, size: int, writer: asyncio.StreamWriter) -> None:
        block = max(n for n in self.many if n <= size)
        for _ in range(size // block):
            writer.write(self.many[block])
            await writer.drain()

    async def _send_paced(
        self, kind: str, size: int, pause: float, writer: asyncio.StreamWriter
    ) -> None:
        frame: Any = framed if kind == "paced" else bytes
        framing = b"Transfer-Encoding: chunked" if kind == "paced" else b"Connection: close"
        writer.write(_HEAD + framing + b"\r\n\r\n")
        for number in range(size):
            await asyncio.sleep(pause)
            writer.write(frame(event(number, time.monotonic())))
        writer.write(frame(last_events()) + (b"0\r\n\r\n" if kind == "paced" else b""))


async def main() -> None:
    """Serve until killed."""
    handler = LoadServer()
    server = await asyncio.start_server(handler.handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
