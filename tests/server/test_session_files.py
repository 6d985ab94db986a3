"""/api/v2/sessions/{id}/files: kept within limits, named by messages, read by agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_wire import Api, check_refusal, serving
from session_wire import V2, events_of, open_session, say, words
from starlette.datastructures import Headers

from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.engine import InvalidRequest
from chatserver_sdk.models.events import Event
from chatserver_sdk.server.errors import RequestRefused
from chatserver_sdk.server.uploads import Upload, read_upload

LIMIT = 1000
PNG = b"\x89PNG\r\n\x1a\n"


class ReadingAgent(Agent):
    """Tells what it was sent, in order, with what the files hold."""

    name = "reading"
    description = "Reads files."

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        content = question.messages[-1].content
        for part in content if isinstance(content, list) else ():
            if part["type"] == "text":
                yield f"{part['text']};"
                continue
            held = await question.files.read(part["file_id"])
            yield f"{part['type']} {part['filename']} {part['mime_type']} {held!r};"
        yield f"{len(question.files)} {[info.size for info in question.files]}"
        try:
            await question.files.read("x")
        except LookupError:
            yield " and no more"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A server that takes few and small files."""
    with serving(ReadingAgent(), max_file_bytes=LIMIT, max_session_files=3) as api:
        yield api


def upload(api: Api, session_id: str, name: str, content: bytes, kind: str, **headers: str) -> Any:
    """The answer to sending a file."""
    form = {"file": (name, content, kind)}
    return api.call("POST", f"{V2}/{session_id}/files", files=form, headers=headers)


def test_a_file_is_kept(api: Api) -> None:
    """201; listed, described, read back, deleted."""
    session_id = open_session(api)
    path = f"{V2}/{session_id}/files"
    answer = upload(api, session_id, "tästé x.txt", b"hello", "text/plain; charset=utf-8")
    info = answer.json()
    assert answer.status_code == 201
    assert (info["content_type"], info["size"]) == ("text/plain", 5)
    assert api.get(path).json() == {"files": [info]}
    one = f"{path}/{info['file_id']}"
    assert api.get(one).json() == info
    content = api.get(f"{one}/content")
    assert (content.content, content.headers["Content-Type"]) == (b"hello", "text/plain")
    assert content.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''t%C3%A4")
    assert content.headers["X-Content-Type-Options"] == "nosniff"
    assert api.call("DELETE", one).status_code == 204
    for gone in (api.call("DELETE", one), api.get(one), api.get(f"{one}/content")):
        check_refusal(gone, 404)
    assert api.get(path).json() == {"files": []}


def test_another_sessions_file(api: Api) -> None:
    """It is not there."""
    info = upload(api, open_session(api), "a.txt", b"x", "text/plain").json()
    other = f"{V2}/{open_session(api)}/files/{info['file_id']}"
    for answer in (api.get(other), api.get(f"{other}/content"), api.call("DELETE", other)):
        check_refusal(answer, 404)


def test_an_agent_sees_all_parts_in_order(api: Api) -> None:
    """Texts, pictures and files, with their content when it is asked for."""
    session_id = open_session(api, "reading")
    picture = upload(api, session_id, "p.png", PNG, "image/png").json()["file_id"]
    paper = upload(api, session_id, "a.txt", b"abc", "text/plain").json()["file_id"]
    content = [
        {"type": "file", "file_id": paper},
        {"type": "text", "text": "look"},
        {"type": "image", "file_id": picture},
    ]
    said = words(events_of(say(api, session_id, content)))
    assert said == (
        f"file a.txt text/plain b'abc';look;image p.png image/png {PNG!r};2 [3, 8] and no more"
    )
    assert api.history(session_id)[0][1][1] == content[1]
    # What is no picture is not shown as one.
    wrong = say(api, session_id, [{"type": "image", "file_id": paper}])
    assert check_refusal(wrong, 400)["param"] == "message.content[0].file_id"


def test_a_file_is_kept_once(api: Api) -> None:
    """With one key, however often it is sent; another content is another request."""
    session_id, key = open_session(api), {"Idempotency-Key": str(uuid4())}
    first, second = (upload(api, session_id, "a.txt", b"x", "text/plain", **key) for _ in "ab")
    assert first.status_code == second.status_code == 201 and first.json() == second.json()
    assert len(api.get(f"{V2}/{session_id}/files").json()["files"]) == 1
    other = upload(api, session_id, "a.txt", b"y", "text/plain", **key)
    assert check_refusal(other, 409)["code"] == "idempotency_key_reused"


def test_too_many_files(api: Api) -> None:
    """409 until one is deleted."""
    session_id = open_session(api)
    kept = [upload(api, session_id, "a.txt", b"x", "text/plain").json() for _ in range(3)]
    refused = upload(api, session_id, "a.txt", b"x", "text/plain")
    assert check_refusal(refused, 409)["code"] == "too_many_files"
    api.call("DELETE", f"{V2}/{session_id}/files/{kept[0]['file_id']}")
    assert upload(api, session_id, "a.txt", b"x", "text/plain").status_code == 201


@pytest.mark.parametrize(
    ("name", "content", "kind", "status"),
    [
        ("a.txt", b"x" * LIMIT, "text/plain", 201),
        ("a.txt", b"x" * (LIMIT + 1), "text/plain", 413),
        ("a.txt", b"x" * 5_000_000, "text/plain", 413),
        ("a.txt", b"", "text/plain", 400),
        ("a.exe", b"x", "application/x-msdownload", 415),
        ("a.txt", b"x", "text/pl ain", 415),
        ("a.txt", b"x", "", 201),
        ("a.txt", b"x", "application/octet-stream", 201),
        ("a", b"x", "application/octet-stream", 415),
    ],
)
def test_limits(api: Api, name: str, content: bytes, kind: str, status: int) -> None:
    """The size and the type of a file, whose ending counts where it has no type."""
    answer = upload(api, open_session(api), name, content, kind)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 415),
        (b"", "multipart/form-data; boundary=b", 400),
        (b"no form at all", "multipart/form-data; boundary=b", 400),
        (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
        (
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
        ),
    ],
)
def test_a_body_that_is_no_form(api: Api, body: bytes, kind: str, status: int) -> None:
    """Refused in the one shape of errors."""
    answer = api.post(body, f"{V2}/{open_session(api)}/files", **{"Content-Type": kind})
    check_refusal(answer, status)


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of these parts: their headers and contents."""
    said = b"".join(b"--b\r\n%b\r\n\r\n%b\r\n" % (head.encode(), body) for head, body in parts)
    return said + b"--b--\r\n"


def read(body: bytes, *, cuts: list[int] | None = None, hangs_up: bool = False) -> Upload:
    """The file in a body that arrives in pieces."""
    places = [0, *sorted(cuts or []), len(body)]
    pieces = [body[a:b] for a, b in zip(places, places[1:])]
    messages: list[Any] = [
        {"type": "http.request", "body": piece, "more_body": hangs_up or at < len(pieces) - 1}
        for at, piece in enumerate(pieces)
    ] + [{"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    headers = Headers({"content-type": "multipart/form-data; boundary=b"})
    return asyncio.run(read_upload(headers, receive, limit=LIMIT, types=["text/*"]))


HEAD = 'Content-Disposition: form-data; name="file"; filename="a.txt"'
OTHER = 'Content-Disposition: form-data; name="note"'


@given(st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 300), max_size=8))
def test_wherever_it_is_cut(content: bytes, cuts: list[int]) -> None:
    """The file is the same; fields beside it are read over."""
    body = form((OTHER, b"x"), (HEAD, content), (OTHER, b"y"))
    found = read(body, cuts=[min(cut, len(body)) for cut in cuts])
    assert (found.content, found.info.filename, found.info.size) == (content, "a.txt", len(content))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\\\docs\\\\a.txt", "a.txt"),
        ("a\tb.txt", "ab.txt"),
        ("x" * 300 + ".txt", "x" * 251 + ".txt"),
        (" .txt ", ".txt"),
    ],
)
def test_names_of_files(name: str, kept: str) -> None:
    """The last part of a path, without what cannot be shown, not too long."""
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    found = read(form((f"{head}\r\nContent-Type: text/plain", b"x")))
    assert found.info.filename == kept


def test_a_file_without_a_name() -> None:
    """It gets one."""
    head = 'Content-Disposition: form-data; name="file"\r\nContent-Type: text/plain'
    assert read(form((head, b"x"))).info.filename == "file"


@pytest.mark.parametrize(
    "body",
    [
        form((HEAD, b"x"))[:-8],
        form((HEAD, b"x"), (HEAD, b"y")),
        form((HEAD + "\r\nX: " + "y" * 9000, b"x")),
        form(("X" * 9000 + ": y", b"x")),
    ],
)
def test_forms_that_are_none(body: bytes) -> None:
    """Not whole, of two files, of endless headers."""
    with pytest.raises(InvalidRequest):
        read(body)


def test_too_much_around_a_file() -> None:
    """Fields beside it are not endless either, and a connection that goes is no file."""
    with pytest.raises(RequestRefused) as caught:
        read(form((OTHER, b"x" * 70_000), (HEAD, b"x")))
    assert caught.value.status_code == 413
    with pytest.raises(RequestRefused) as caught:
        read(form((HEAD, b"x"))[:-1], hangs_up=True)
    assert caught.value.status_code == 400
