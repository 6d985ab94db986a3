"""Readers whose lines break at any byte, and who go on: the bytes are those of an uncut reading."""

from __future__ import annotations

import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import (
    ModeChanged,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnCompleted,
    Usage,
    WidgetShown,
    WidgetUpdated,
)
from chatserver_sdk.testing import Failure, Pause, RunningServer, ScriptedAgent, Thought
from chatserver_sdk.testing import running_server
from cutting_proxy import CuttingProxy

COMPLETIONS = "/v1/chat/completions"
V2 = "/api/v2/sessions"
BOUND = 120.0
SIDE_BY_SIDE = 8
MOST_CUTS = 2000

WORDS = [f"word{number} " for number in range(30)]
ALL_KINDS = [
    Thought("hm, "),
    "Grüße, 🦜\r\n\r\ndata: [DONE]\n\n",
    ToolCall("c1", "look", '{"a":'),
    ToolCallDelta(0, "1}"),
    Pause(0.001),
    ToolResult("c1", "found"),
    ModeChanged("expert"),
    WidgetShown("w1", "form", {"f": 1}),
    WidgetUpdated("w1", {"f": 2}),
    "x" * 3000,
    *WORDS,
    Pause(0.001),
    "done\u2028",
    Usage(UsageInfo(10, 20, 30)),
    TurnCompleted("length"),
]
AGENTS = [
    ScriptedAgent("showing", ALL_KINDS),
    ScriptedAgent("paced", [step for word in WORDS for step in (word, Pause(0.0005))]),
    ScriptedAgent("failing", [*WORDS, Failure("no more of it", 429, "quota")]),
]
MODELS = [agent.name for agent in AGENTS]
# Behind these nothing comes.
ENDS = (b"\ndata: [DONE]\n\n", b'\ndata: {"error":', b"event: interaction_end\n")


class Answer(NamedTuple):
    """What came of an answer before its line broke: nothing of its head counts if not all does."""

    status: int
    turn_id: str
    body: bytes


class Reader:
    """One answer, read over a line that breaks: asked for, and taken up until it is whole."""

    def __init__(self, server: RunningServer, proxy: CuttingProxy, path: str) -> None:
        self._server = server
        self._proxy = proxy
        self._path = path
        self.blocks: list[bytes] = []
        self.turn_id = ""
        self.connections = 0

    def read(self, body: dict[str, Any]) -> bytes:
        """All that came, without what comes only where nothing is said for a while."""
        content, key = json.dumps(body).encode(), {"Idempotency-Key": str(uuid4())}
        while not self.turn_id:
            self._take("POST", self._path, key, content)
        while not self._is_whole():
            self._take("GET", self._events, self._place(), b"")
        return b"".join(self.blocks)

    def read_uncut(self) -> bytes:
        """The same turn, over a line of its own."""
        answer = ask(self._server, self._server.base_url, "GET", self._events, {}, b"")
        assert answer is not None and answer.status == 200
        return b"".join(blocks_in(answer.body))

    @property
    def _events(self) -> str:
        if self._path == COMPLETIONS:
            return f"{COMPLETIONS}/{self.turn_id}/events"
        return f"{self._path}/events?turn_id={self.turn_id}"

    def _place(self) -> dict[str, str]:
        lines = self.blocks[-1].split(b"\n") if self.blocks else []
        return {"Last-Event-ID": line[4:].decode() for line in lines if line.startswith(b"id: ")}

    def _take(self, method: str, path: str, headers: dict[str, str], content: bytes) -> None:
        """Read on one connection for as long as it lasts; what was whole by then counts."""
        self.connections += 1
        assert self.connections < MOST_CUTS
        answer = ask(self._server, self._proxy.base_url, method, path, headers, content)
        if answer is not None:
            assert answer.status == 200, answer.body
            self.turn_id = answer.turn_id
            self.blocks.extend(blocks_in(answer.body))

    def _is_whole(self) -> bool:
        return bool(self.blocks) and any(end in self.blocks[-1] for end in ENDS)


def ask(
    server: RunningServer, url: str, method: str, path: str, headers: dict[str, str], content: bytes
) -> Answer | None:
    """What came of the answer; None where not even its head was whole."""
    address = urlsplit(url)
    sent = {"Host": "localhost", "Connection": "close", **headers}
    sent["Authorization"] = f"Bearer {server.api_key}"
    sent["Content-Type"] = "application/json"
    sent["Content-Length"] = str(len(content))
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()
    came = b""
    with suppress(ConnectionError):
        with socket.create_connection((address.hostname, address.port), BOUND) as connection:
            connection.sendall(head + content)
            while part := connection.recv(65536):
                came += part
    return answer_in(came)


def answer_in(came: bytes) -> Answer | None:
    """The answer that these bytes begin."""
    head, is_whole, framed = came.partition(b"\r\n\r\n")
    if not is_whole:
        return None
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    body = b""
    while framed:
        size, is_whole, framed = framed.partition(b"\r\n")
        if not is_whole:
            break
        body += framed[: int(size, 16)]
        framed = framed[int(size, 16) + 2 :]
    return Answer(int(head[9:12]), fields.get(b"x-turn-id", b"").decode(), body)


def blocks_in(body: bytes) -> list[bytes]:
    """The whole events; comments are none, and what is cut off is dropped."""
    *whole, _ = body.split(b"\n\n")
    return [block + b"\n\n" for block in whole if not block.startswith(b":")]


def check_one(server: RunningServer, proxy: CuttingProxy, number: int) -> int:
    """One answer of one kind; how often its line broke."""
    model = MODELS[number % len(MODELS)]
    kind = number // len(MODELS) % 3
    if kind == 2:
        path, body = f"{V2}/{open_session(server, model)}/chat", message(number)
    else:
        path, body = COMPLETIONS, question(model, number, "ada" if kind else None)
    reader = Reader(server, proxy, path)

    content = reader.read(body)

    assert content == reader.read_uncut()
    assert content.count(b'"content":"word17 "') == 1
    return reader.connections - 1


def question(model: str, number: int, user: str | None) -> dict[str, Any]:
    """A completion's body."""
    asked = [{"role": "user", "content": f"question {number}"}]
    body = {"model": model, "messages": asked, "stream": True}
    return body if user is None else {**body, "user": user}


def message(number: int) -> dict[str, Any]:
    """A message to a session."""
    return {"message": {"role": "user", "content": f"question {number}"}, "stream": True}


def open_session(server: RunningServer, model: str) -> str:
    """The id of a new session."""
    with server.client() as client:
        return client.create_session(model, user_id="ada").id


def check_many(count: int, seed: int) -> None:
    """So many answers, some side by side, over lines of random lengths."""
    chance = random.Random(seed)
    # The head of an answer has some 300 bytes, an answer up to 20,000.
    cuts = [chance.choice((400, 1500, 8000)) for _ in range(count * 200)]
    cuts = [chance.randrange(cut) for cut in cuts]
    with running_server(agents=AGENTS) as server, CuttingProxy(server.base_url, *cuts) as proxy:
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            broken = list(pool.map(lambda one: check_one(server, proxy, one), range(count)))
    assert sum(broken) > count


def test_cut_at_any_byte() -> None:
    """Nothing is lost or repeated, in completions with and without a history, and in sessions."""
    check_many(63, seed=1)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, 14))
def test_cut_at_any_byte_a_thousand_times(seed: int) -> None:
    """The same, 1,000 answers in all."""
    check_many(252, seed)
