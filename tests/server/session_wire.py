"""Session chat over HTTP, as tests ask for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import requests
from server_wire import Api, give_key

from chatserver_sdk.models import Role

V2 = "/api/v2/sessions"


class Said(NamedTuple):
    """One event of a session's stream, as it came."""

    name: str
    id: str
    body: dict[str, Any]


def api_of(api: Api, db: Path, user_id: str) -> Api:
    """The same server, asked with a new key of this user's own; close it."""
    principal = str(uuid4())
    connection = sqlite3.connect(db, timeout=60)
    with connection:
        connection.execute("INSERT INTO principals (id, created_at) VALUES (?, 0)", (principal,))
    connection.close()
    return Api(api.base_url, give_key(str(db), principal, Role.USER, user_id))


def open_session(api: Api, model: str = "echo", user_id: str | None = "ada", **fields: Any) -> str:
    """The id of a new session."""
    body = {"model": model, **({"user_id": user_id} if user_id else {}), **fields}
    answer = api.call("POST", V2, json=body)
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["id"]
    return session_id


def text(said: str) -> list[dict[str, Any]]:
    """The content that says this."""
    return [{"type": "text", "text": said}]


def say(api: Api, session_id: str, content: Any, **fields: Any) -> requests.Response:
    """The answer to a message."""
    options = {"headers": fields.pop("headers", {}), "stream": fields.pop("lazy", False)}
    said = text(content) if isinstance(content, str) else content
    body = {"message": {"role": "user", "content": said}, **fields}
    return api.call("POST", f"{V2}/{session_id}/chat", json=body, **options)


def join(api: Api, session_id: str, **options: Any) -> requests.Response:
    """The answer to joining the session's turn."""
    headers = options.pop("headers", {})
    lazy = options.pop("lazy", False)
    path = f"{V2}/{session_id}/chat/events"
    return api.call("GET", path, params=options, headers=headers, stream=lazy)


def cancel(api: Api, session_id: str, **params: Any) -> requests.Response:
    """The answer to stopping the session's turn."""
    return api.call("DELETE", f"{V2}/{session_id}/chat", params=params)


def events_of(answer: requests.Response) -> list[Said]:
    """All events of a stream; anything but events and comments is a failure of the test."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    return list(parse(answer.content))


def parse(content: bytes) -> Iterator[Said]:
    """The events in a body, written exactly as our server writes them."""
    blocks = content.decode().split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        if not block.startswith(": "):
            name, number, data = block.split("\n")
            assert name.startswith("event: ") and number.startswith("id: ")
            assert data.startswith("data: ")
            body = json.loads(data[6:])
            assert body["type"] == name[7:]
            yield Said(name[7:], number[4:], body)


def names(events: list[Said]) -> list[str]:
    """The events' types."""
    return [event.name for event in events]


def words(events: list[Said]) -> str:
    """The text that the events add up to."""
    return "".join(event.body["content"] for event in events if event.name == "text_delta")
