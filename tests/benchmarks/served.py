"""The servers that are measured, each a process of its own: `served.py bare|fastapi|ours DB`.

Prints its URL. All of them run on uvicorn with uvloop and httptools, without an access log.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from typing import Any

KEY = "the-key-of-the-benchmark"
WORDS = 200

_CHUNK = {
    "id": "chatcmpl-0cd6a1033f854a5999b077eff9a59e5d",
    "object": "chat.completion.chunk",
    "created": 1772366400,
    "model": "paced",
    "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
    "system_fingerprint": "5f0c1e9a-7a3c-4a52-9a57-1f6f0f3a9c11",
}
_EVENT = (
    b"id: 0cd6a103-3f85-4a59-99b0-77eff9a59e5d:100\ndata: %b\n\n"
    % json.dumps(_CHUNK, separators=(",", ":")).encode()
)
_WHOLE = json.dumps({**_CHUNK, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and sends a constant: an answer, or at /events so many events."""
    if scope["type"] != "http":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        continue
    if scope["path"] != "/events":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_WHOLE))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _WHOLE})
        return
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(WORDS):
        await send({"type": "http.response.body", "body": _EVENT, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


def fastapi_app() -> Any:
    """FastAPI's own path: a body that is validated and sent back."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Said(BaseModel):
        role: str
        content: str

    class Asked(BaseModel):
        model: str
        messages: list[Said]
        user: str | None = None

    app = FastAPI()

    async def echo(asked: Asked) -> dict[str, Any]:
        return {**_CHUNK, "said": asked.messages[-1].content}

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    # The annotation of a local class is a text here, which FastAPI could not look up.
    echo.__annotations__["asked"] = Asked
    app.post("/echo")(echo)
    app.get("/health")(health)
    return app


def serve_plain(app: Any) -> None:
    """Any application, on a free port."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", log_config=None, access_log=False
        )
        uvicorn.Server(config).run([listening])


def serve_ours(db: str) -> None:
    """Our server, with an agent that yields to the loop at every word."""
    from chatserver_sdk.agents import Agent, Question
    from chatserver_sdk.models.events import Event
    from chatserver_sdk.server import Settings, process, serve

    class Paced(Agent):
        name = "paced"
        description = "Says so many words, and lets everybody else go first."

        async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
            for _ in range(WORDS):
                yield "word "
                await asyncio.sleep(0)

    settings = Settings(port=0, db=db, bootstrap_key=KEY)
    started = lambda it: print(it.url, flush=True)  # noqa: E731
    process.run(serve(settings, started, agents=[Paced()]))


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        serve_ours(sys.argv[2])
    else:
        serve_plain(bare if sys.argv[1] == "bare" else fastapi_app())
