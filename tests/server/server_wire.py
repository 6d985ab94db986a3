"""A chat server's wire, spoken with `requests` and with bare sockets; no client of ours."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from queue import Queue
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import requests

from chatserver_sdk.agents import Agent
from chatserver_sdk.engine.keys import hash_key
from chatserver_sdk.models import Role
from chatserver_sdk.server import Settings, create_app
from chatserver_sdk.server.process import Handle, Started, run, serve
from chatserver_sdk.storage import keys, open_store

COMPLETIONS = "/v1/chat/completions"
SESSIONS = "/atoms/chat/sessions"
PLATFORM = "/api/v1/platform"


class SentEvent(NamedTuple):
    """One event of a stream, as it came."""

    id: str
    data: str

    def json(self) -> Any:
        """The chunk in it."""
        return json.loads(self.data)


class Api:
    """A server's routes, asked with one key."""

    def __init__(self, base_url: str, key: str | None) -> None:
        self.base_url = base_url
        self.key = key
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """The answer, with the key sent unless the headers say otherwise."""
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        headers.update(options.pop("headers", {}))
        answer = self._session.request(
            method, self.base_url + path, headers=headers, timeout=60, **options
        )
        check_documented(method, path, answer.status_code)
        return answer

    def get(self, path: str, **params: Any) -> requests.Response:
        """The answer to a GET."""
        return self.call("GET", path, params=params)

    def ask(self, *texts: str, model: str = "echo", **fields: Any) -> requests.Response:
        """The answer to a completion of these messages of the user."""
        return self.call("POST", COMPLETIONS, json=request(*texts, model=model, **fields))

    def stream(self, *texts: str, model: str = "echo", **fields: Any) -> requests.Response:
        """A streamed answer, of which nothing is read yet."""
        body = request(*texts, model=model, stream=True, **fields)
        return self.call("POST", COMPLETIONS, json=body, stream=True)

    def post(self, content: bytes, path: str = COMPLETIONS, **headers: str) -> requests.Response:
        """The answer to a body of these bytes."""
        return self.call("POST", path, data=content, headers=headers)

    def history(self, session_id: str, user_id: str = "ada") -> list[tuple[str, Any]]:
        """Who said what in a session."""
        detail = self.get(f"{SESSIONS}/{session_id}", user_id=user_id).json()
        return [(message["role"], message["content"]) for message in detail["messages"]]


@cache
def statuses() -> list[tuple[str, re.Pattern[str], set[int]]]:
    """What the document says of each operation: its method, its path, what it may answer."""
    store = open_store(":memory:")
    app = create_app(store)
    document = app.document()
    store.close()
    # These may hold slashes; the document does not say so.
    wide = {name for door in app.doors for name in re.findall(r"{(\w+):path}", door.path)}

    def part(match: re.Match[str]) -> str:
        return "[^?]+" if match[1] in wide else "[^?/]+"

    return [
        (
            method.upper(),
            re.compile(re.sub(r"\\{(\w+)\\}", part, re.escape(path))),
            {int(status) for status in operation["responses"]},
        )
        for path, routes in document["paths"].items()
        for method, operation in routes.items()
    ]


def check_documented(method: str, path: str, status: int) -> None:
    """Whatever a test sees, the document says that it may come."""
    for known, pattern, documented in statuses():
        if known == method and pattern.fullmatch(path.partition("?")[0]):
            assert status in documented, f"{method} {path} may answer {status}: document it"


@contextmanager
def serving(*agents: Agent, db: str = ":memory:", **settings: Any) -> Iterator[Api]:
    """A real server with settings that `running_server` does not offer; always the same key."""
    key, handle, started = "csk_always_the_same", Handle(), Queue[Started | None]()
    chosen = Settings(port=0, db=db, bootstrap_key=key, grace=0.5, **settings)

    def work() -> None:
        try:
            run(serve(chosen, started.put, agents=agents, handle=handle))
        finally:
            started.put(None)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        server = started.get(timeout=60)
        assert server is not None
        api = Api(server.url, key)
        yield api
        api.close()
    finally:
        handle.stop()
        thread.join()


def request(*texts: str, model: str = "echo", **fields: Any) -> dict[str, Any]:
    """The body of a completion."""
    messages = [{"role": "user", "content": text} for text in texts]
    return {"model": model, "messages": messages, **fields}


def events_of(answer: requests.Response) -> list[SentEvent]:
    """All events of a stream; anything but events and comments is a failure of the test."""
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    return list(parse(answer.content))


def parse(content: bytes) -> Iterator[SentEvent]:
    """The events in a body, written exactly as our server writes them."""
    blocks = content.decode().split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        if not block.startswith(": "):
            first, second = block.split("\n")
            assert first.startswith("id: ") and second.startswith("data: ")
            yield SentEvent(first[4:], second[6:])


def text_of(events: list[SentEvent]) -> str:
    """The text that the chunks add up to."""
    chunks = [event.json() for event in events if event.data != "[DONE]"]
    return "".join(
        choice["delta"].get("content", "")
        for chunk in chunks
        for choice in chunk.get("choices", ())
    )


def check_refusal(answer: requests.Response, status: int | None = None) -> dict[str, Any]:
    """What every refusal is like; the error in it."""
    error = answer.json()["error"]
    assert 400 <= answer.status_code < 500 and status in (None, answer.status_code)
    assert answer.headers["Content-Type"] == "application/json"
    assert "X-Request-Id" in answer.headers and "X-Chatserver" in answer.headers
    assert 0 < len(error["message"]) <= 500 and error["type"]
    assert {*error} - {"errors"} == {"message", "type", "param", "code"}
    assert len(answer.content) < 8_000
    for word in ("Traceback", 'File "', "chatserver_sdk", "pydantic", "sqlite"):
        assert word not in answer.text
    return dict(error)


@contextmanager
def connected(base_url: str) -> Iterator[socket.socket]:
    """A bare connection to the server; nothing on it takes longer than a minute."""
    address = urlsplit(base_url)
    assert address.hostname is not None and address.port is not None
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        yield connection


def send_raw(base_url: str, content: bytes) -> bytes:
    """All that the server answers to these bytes until it closes the connection."""
    with connected(base_url) as connection:
        connection.sendall(content)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def raw_request(
    target: bytes, headers: Mapping[bytes, bytes], body: bytes = b"", method: bytes = b"GET"
) -> bytes:
    """The bytes of a request that closes its connection."""
    sent = {b"Host": b"127.0.0.1", b"Connection": b"close", **headers}
    if body:
        sent[b"Content-Length"] = str(len(body)).encode()
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in sent.items())
    return method + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n" + body


def give_key(db: str, principal_id: str, role: Role, user_id: str | None = None) -> str:
    """A new key of a principal, written into the database beside the server."""
    key = f"csk_test_{uuid4().hex}"
    store = open_store(db)
    new = keys.NewKey(hash_key(key), key[:8], "test", role, user_id)
    now = datetime.now(timezone.utc)
    try:
        asyncio.run(
            store.write(keys.insert_key, new, principal_id=principal_id, by="test", now=now)
        )
    finally:
        store.close()
    return key
