"""The client's calls about sessions: what is sent, what is refused before, what comes back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chatserver_sdk import (
    APIStatusError,
    BadRequestError,
    ChatServerClient,
    FileInfo,
    SessionMessage,
    SessionStatus,
)
from chatserver_sdk.testing import WireServer, json_answer

UUID_1 = "7f3c8a52-0000-4000-8000-000000000001"
SESSION = {
    "id": "s1",
    "user_id": "ada",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "status": "completed",
}
ANSWER = {
    "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    "completion_id": "c1",
    "turn_id": "t1",
    "usage": {"total_tokens": 3},
    "finish_reason": "stop",
}
FILE = {"file_id": "f1", "filename": "a.png", "content_type": "image/png", "size": 1}

Call = Callable[[ChatServerClient], Any]


@pytest.mark.parametrize(
    ("call", "line", "body"),
    [
        (lambda c: c.create_session("m"), "POST /api/v2/sessions", {"model": "m"}),
        (
            lambda c: c.create_session("m", user_id=UUID(UUID_1), title="T", metadata={"a": 1}),
            "POST /api/v2/sessions",
            {"model": "m", "user_id": UUID_1, "title": "T", "metadata": {"a": 1}},
        ),
        (
            lambda c: c.update_session("a/b", title="T", status="archived", metadata={}),
            "PATCH /api/v2/sessions/a%2Fb",
            {"title": "T", "status": "archived", "metadata": {}},
        ),
    ],
)
def test_sessions(
    wire_server: WireServer, client: ChatServerClient, call: Call, line: str, body: Any
) -> None:
    """What is None is not sent; the answer is a session with its status."""
    wire_server.answers(json_answer(200, SESSION))
    session = call(client)
    assert (session.id, session.status) == ("s1", SessionStatus.COMPLETED)
    [request] = wire_server.requests
    assert f"{request.method} {request.path}" == line and request.json() == body
    assert request.headers["Idempotency-Key"]


def test_deleting(wire_server: WireServer, client: ChatServerClient) -> None:
    """A session by its id."""
    wire_server.answers(json_answer(200, {"deleted": True, "session_id": "s1"}))
    assert client.delete_session("s1").deleted is True
    assert (wire_server.requests[0].method, wire_server.requests[0].path) == (
        "DELETE",
        "/api/v2/sessions/s1",
    )


@pytest.mark.parametrize(
    ("turn_id", "path"),
    [(None, "/api/v2/sessions/s1/chat"), ("t1", "/api/v2/sessions/s1/chat?turn_id=t1")],
)
def test_cancelling(
    wire_server: WireServer, client: ChatServerClient, turn_id: str | None, path: str
) -> None:
    """The turn that runs, or the one that is named."""
    wire_server.answers(json_answer(200, {"cancelled": True, "turn_id": "t1"}))
    answer = client.cancel_message("s1", turn_id)
    assert (answer.cancelled, answer.turn_id) == (True, "t1")
    assert (wire_server.requests[0].method, wire_server.requests[0].path) == ("DELETE", path)


TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image", "file_id": "f1"}


@pytest.mark.parametrize(
    ("message", "files", "content"),
    [
        ("Hi", [], [TEXT]),
        ([TEXT, IMAGE], [], [TEXT, IMAGE]),
        (
            (TEXT,),
            ["f1", UUID(UUID_1)],
            [TEXT, {**IMAGE, "type": "file"}, {"type": "file", "file_id": UUID_1}],
        ),
        ({"content": "Hi"}, [FileInfo.from_dict(FILE)], [TEXT, IMAGE]),
        (SessionMessage("user", "Hi"), [FileInfo("f1", "a.txt", "text/plain")], [TEXT, {**IMAGE, "type": "file"}]),  # type: ignore[arg-type]
        ([], ["f1"], [{**IMAGE, "type": "file"}]),
    ],
)
def test_a_message(
    wire_server: WireServer, client: ChatServerClient, message: Any, files: Any, content: Any
) -> None:
    """In any form; files stand behind the text."""
    wire_server.answers(json_answer(200, ANSWER))
    answer = client.send_message("s1", message, files=files, metadata={"variables": {}})
    assert (answer.message.text, answer.turn_id, answer.usage.total_tokens) == ("Hello", "t1", 3)
    [request] = wire_server.requests
    assert f"{request.method} {request.path}" == "POST /api/v2/sessions/s1/chat"
    assert request.json() == {
        "message": {"role": "user", "content": content},
        "stream": False,
        "metadata": {"variables": {}},
    }


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (lambda c: c.create_session(""), "model"),
        (lambda c: c.create_session("m", metadata=[]), "metadata"),
        (lambda c: c.create_session("m", title=1), "title"),
        (lambda c: c.update_session("s", status=""), "status"),
        (lambda c: c.update_session(""), "session_id"),
        (lambda c: c.send_message("", "x"), "session_id"),
        (lambda c: c.send_message("s", ""), "message"),
        (lambda c: c.send_message("s", " ", stream=True), "message"),
        (lambda c: c.send_message("s", []), "message"),
        (lambda c: c.send_message("s", None), "message"),
        (lambda c: c.send_message("s", 1), "message"),
        (lambda c: c.send_message("s", ["x"]), "message[0]"),
        (lambda c: c.send_message("s", [{"type": "image"}]), "message[0].file_id"),
        (lambda c: c.send_message("s", {"role": 1, "content": "x"}), "role"),
        (lambda c: c.send_message("s", "x", files=[1]), "files[0]"),
        (lambda c: c.send_message("s", "x", metadata="m"), "metadata"),
        (lambda c: c.cancel_message("s", ""), "turn_id"),
        (lambda c: c.join_stream("s", ""), "after"),
        (lambda c: c.upload_file("s", b"x"), "filename"),
        (lambda c: c.upload_file("s", b"x", filename=""), "filename"),
        (lambda c: c.upload_file("s", b"x", filename="a", content_type="a\r\nb"), "content_type"),
        (lambda c: c.upload_file("s", "/nowhere/at all"), "file"),
        (lambda c: c.upload_file("s", 1), "file"),
        (lambda c: c.upload_file("s", io.StringIO("x")), "file"),
        (lambda c: c.upload_file("s", b"x", filename="a", extra_body={"a": 1}), "extra_body"),
    ],
)
def test_what_cannot_be(
    wire_server: WireServer, client: ChatServerClient, call: Call, param: str
) -> None:
    """Nothing is sent, and the argument is named."""
    with pytest.raises(BadRequestError) as caught:
        call(client)
    assert caught.value.param == param and caught.value.response is None
    assert wire_server.requests == []


def sent_file(wire_server: WireServer) -> tuple[str, str, bytes]:
    """The name, the type and the content of the file that came."""
    [request] = wire_server.requests
    kind, _, boundary = request.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    start, part, end = request.body.split(f"--{boundary}".encode())
    assert (start, end) == (b"", b"--\r\n")
    head, _, content = part.partition(b"\r\n\r\n")
    disposition, media = head.decode().strip().split("\r\n")
    return disposition.partition("filename=")[2], media.partition(": ")[2], content[:-2]


def test_files(wire_server: WireServer, client: ChatServerClient, tmp_path: Path) -> None:
    """By its path, as it says itself."""
    path = tmp_path / 'ä "x".txt'
    path.write_bytes(b"a\r\nb")
    wire_server.answers(json_answer(201, FILE))
    assert client.upload_file("s1", path).file_id == "f1"
    assert wire_server.requests[0].path == "/api/v2/sessions/s1/files"
    assert sent_file(wire_server) == ('"ä %22x%22.txt"', "text/plain", b"a\r\nb")


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("a.png", None, "image/png"),
        ("a", None, "application/octet-stream"),
        ("a.png", "image/x-own", "image/x-own"),
    ],
)
def test_bytes(
    wire_server: WireServer, client: ChatServerClient, name: str, given: str | None, kind: str
) -> None:
    """With a name; its ending says what they are, unless the caller does."""
    wire_server.answers(json_answer(201, FILE))
    client.upload_file("s1", bytearray(b"x"), filename=name, content_type=given)
    assert sent_file(wire_server) == (f'"{name}"', kind, b"x")


def test_open_files(wire_server: WireServer, client: ChatServerClient, tmp_path: Path) -> None:
    """With the name that they have, or one that is given."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"x")
    wire_server.answers(json_answer(201, FILE))
    with path.open("rb") as file:
        client.upload_file("s1", file)
    assert sent_file(wire_server)[0] == '"a.txt"'
    wire_server.requests.clear()
    client.upload_file("s1", io.BytesIO(b"y"), filename="b.txt")
    assert sent_file(wire_server) == ('"b.txt"', "text/plain", b"y")


def test_a_refusal(wire_server: WireServer, client: ChatServerClient) -> None:
    """The server's own words and status."""
    body = {"error": {"message": "too long", "type": "invalid_request_error", "code": "c"}}
    wire_server.answers(json_answer(413, body))
    with pytest.raises(APIStatusError, match="too long") as caught:
        client.upload_file("s1", b"x", filename="a.txt")
    assert caught.value.status_code == 413
    assert json.dumps(body)
