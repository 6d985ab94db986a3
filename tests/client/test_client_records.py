"""The audit log's proof, transcripts as files, deletion of users: what is sent, what comes back."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chatserver_sdk import (
    APIConnectionError,
    BadRequestError,
    ChatServerClient,
    NotFoundError,
)
from chatserver_sdk.models import AuditHead
from chatserver_sdk.testing import Cut, WireServer, json_answer

HEAD = f"7:{'ab' * 32}"
AUDIT = "/api/v1/platform/audit"
EXPORT = "/atoms/chat/sessions/s%2F1/export?user_id=u1&format="
LINES = [b'{"type":"session"}\n', b'{"type":"message"}\n']


def last_request(wire_server: WireServer) -> tuple[str, str]:
    """Method and path of what was asked last."""
    request = wire_server.requests[-1]
    return request.method, request.path


def file_answer(*pieces: bytes, cut: bool = False) -> Any:
    """A file that comes in pieces, whole or not."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    coded = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return [head, *coded, Cut() if cut else b"0\r\n\r\n"]


def test_the_head(wire_server: WireServer, client: ChatServerClient) -> None:
    """The last entry's number and hash."""
    wire_server.answers(json_answer(200, {"head": HEAD, "seq": 7, "hash": "ab" * 32}))

    assert client.get_audit_head() == AuditHead(HEAD, 7, "ab" * 32)
    assert last_request(wire_server) == ("GET", f"{AUDIT}/head")


@pytest.mark.parametrize(
    ("head", "sent"),
    [(None, ""), (HEAD, "?head=7%3A" + "ab" * 32), (AuditHead(HEAD), "?head=7%3A" + "ab" * 32)],
)
def test_a_verification(
    wire_server: WireServer, client: ChatServerClient, head: Any, sent: str
) -> None:
    """A head goes along as text or as it was got; the fault is an object that reads as a dict."""
    bad = {"seq": 3, "reason": "changed", "detail": "entry 3 is not as it was written"}
    wire_server.answers(
        json_answer(200, {"ok": False, "entries": 2, "head": HEAD, "first_bad": bad})
    )

    found = client.verify_audit_log(head)

    assert last_request(wire_server) == ("GET", f"{AUDIT}/verify{sent}")
    assert (found.ok, found.entries, found.head) == (False, 2, HEAD)
    assert found.first_bad is not None and found.first_bad.reason == found.first_bad["reason"]


def test_a_log_that_is_whole(wire_server: WireServer, client: ChatServerClient) -> None:
    """Nothing bad is None."""
    wire_server.answers(
        json_answer(200, {"ok": True, "entries": 2, "head": HEAD, "first_bad": None})
    )
    assert client.verify_audit_log().first_bad is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"after": "7"}, "after=7"),
        ({"after": 0}, "after=0"),
        ({"action": "admin.*", "user_id": "a@x"}, "action=admin.%2A&user_id=a%40x"),
        ({"org_id": "o", "resource": "r", "resource_id": "i"}, "org_id=o&resource=r&resource_id=i"),
        (
            {"since": "2026-03-01", "until": datetime(2026, 3, 2)},
            "since=2026-03-01T00%3A00%3A00%2B00%3A00&until=2026-03-02T00%3A00%3A00%2B00%3A00",
        ),
    ],
)
def test_filters_of_the_audit_log(
    wire_server: WireServer, client: ChatServerClient, given: Any, sent: str
) -> None:
    """Each is sent under its name, times as ISO text."""
    wire_server.answers(json_answer(200, {"entries": []}))

    client.get_audit_log(7, 3, **given)

    assert last_request(wire_server) == ("GET", f"{AUDIT}?limit=7&offset=3&{sent}")


@pytest.mark.parametrize(
    "given", [{"after": 1.5}, {"after": ""}, {"since": "x"}, {"action": 5}, {"resource": " "}]
)
def test_filters_that_cannot_be(client: ChatServerClient, given: Any) -> None:
    """Refused with their names, before anything is sent."""
    with pytest.raises(BadRequestError) as caught:
        client.get_audit_log(**given)
    assert caught.value.param == next(iter(given))


def test_deleting_a_user(wire_server: WireServer, client: ChatServerClient) -> None:
    """The id is quoted; the answer says how much there was."""
    wire_server.answers(json_answer(200, {"user_id": "a/b", "sessions": 2, "messages": 9}))

    deleted = client.delete_user("a/b")

    assert (deleted.user_id, deleted.sessions, deleted["messages"]) == ("a/b", 2, 9)
    assert last_request(wire_server) == ("DELETE", "/api/v1/platform/users/a%2Fb")
    with pytest.raises(BadRequestError, match="user_id"):
        client.delete_user("")


@pytest.mark.parametrize("as_text", [True, False])
def test_an_export_to_a_path(
    wire_server: WireServer, client: ChatServerClient, tmp_path: Path, as_text: bool
) -> None:
    """The file holds what came, and no other file is left."""
    wire_server.answers(file_answer(*LINES))
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b"old")

    count = client.export_session("s/1", str(path) if as_text else path, user_id="u1")

    assert path.read_bytes() == b"".join(LINES) and count == len(b"".join(LINES))
    assert [file.name for file in tmp_path.iterdir()] == ["chat.jsonl"]
    assert last_request(wire_server) == ("GET", f"{EXPORT}jsonl")
    accepted = wire_server.requests[-1].headers["Accept"]
    assert "text/event-stream" not in accepted and "application/jsonl" in accepted


def test_an_export_to_an_open_file(wire_server: WireServer, client: ChatServerClient) -> None:
    """It is written to and stays open."""
    wire_server.answers(file_answer(*LINES))
    target = io.BytesIO()

    client.export_session("s/1", target, user_id="u1", format="markdown")

    assert target.getvalue() == b"".join(LINES)
    assert last_request(wire_server) == ("GET", f"{EXPORT}markdown")


def test_an_export_that_is_cut(
    wire_server: WireServer, client: ChatServerClient, tmp_path: Path
) -> None:
    """Half a transcript is no transcript: the file is as it was."""
    wire_server.answers(file_answer(*LINES, cut=True))
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b"old")

    with pytest.raises(APIConnectionError):
        client.export_session("s/1", path, user_id="u1")

    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_an_export_that_is_refused(
    wire_server: WireServer, client: ChatServerClient, tmp_path: Path
) -> None:
    """Somebody else's session makes no file."""
    wire_server.answers(json_answer(404, {"error": {"message": "there is no session"}}))

    with pytest.raises(NotFoundError):
        client.export_session("s/1", tmp_path / "x", user_id="u1")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(
    wire_server: WireServer, client: ChatServerClient, tmp_path: Path
) -> None:
    """The file's own error, and the connection is given back."""
    wire_server.answers(file_answer(*LINES))

    with pytest.raises(FileNotFoundError):
        client.export_session("s/1", tmp_path / "no" / "x", user_id="u1")


def test_an_export_of_ones_own(wire_server: WireServer, client: ChatServerClient) -> None:
    """A user's own key says whose session it is."""
    wire_server.answers(file_answer(*LINES))
    client.export_session("s/1", io.BytesIO())
    path = EXPORT.replace("user_id=u1&", "")
    assert last_request(wire_server) == ("GET", f"{path}jsonl")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"file": 5}, "file"),
        ({"session_id": ""}, "session_id"),
        ({"user_id": " "}, "user_id"),
        ({"format": ""}, "format"),
    ],
)
def test_exports_that_cannot_be(client: ChatServerClient, given: Any, param: str) -> None:
    """Refused with the argument's name, before anything is sent."""
    arguments = {"session_id": "s", "file": io.BytesIO(), "user_id": "u", **given}
    with pytest.raises(BadRequestError) as caught:
        client.export_session(**arguments)
    assert caught.value.param == param
