"""Every route, sent what no client would send: no failure of the server's, and never silence."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_wire import COMPLETIONS, Api, connected, request, serving
from session_wire import open_session, say
from test_odd_bytes import JSON

from chatserver_sdk.server import create_app
from chatserver_sdk.server.routes.access import Door
from chatserver_sdk.storage import open_store


def all_doors() -> list[Door]:
    """Every route that there is."""
    store = open_store(":memory:")
    try:
        return create_app(store).doors
    finally:
        store.close()


DOORS = all_doors()

ODD_PARTS = [
    b"%00",
    b"%ff%fe",
    b"%2e%2e",
    b"%2f%2f",
    b"%F0%9F%A6%9C",
    b"x" * 5000,
    b"00000000-0000-4000-8000-000000000000",
    b"0",
    b"-1",
    b"%",
    b"{id}",
    b"a%0d%0ab",
]
# {session} stands for one that there is, {turn} for its turn.
PARTS = st.sampled_from([b"{session}", b"{turn}", *ODD_PARTS]) | st.text(max_size=20).map(
    lambda text: quote(text, safe="").encode()
)

# Bytes that may stand in the head of a request, if they make any sense or not.
HEAD = st.binary(max_size=40).map(lambda raw: re.sub(rb"[\0-\x1f\x7f ]", b".", raw))
NUMBERS = st.sampled_from([b"-1", b"0", b"1e999", b"NaN", b"9" * 40, b"", b"0x10", b"1,2"])
TIMES = st.sampled_from([b"0001-01-01T00:00:00%2B14:00", b"9999-12-31T23:59:59-14:00", b"today"])
NAMES = (
    b"user_id page page_size limit offset cursor after turn_id since until action resource"
    b" resource_id head format ticket status org_id"
).split()
QUERIES = st.lists(
    st.tuples(st.sampled_from(NAMES), HEAD | NUMBERS | TIMES | PARTS), max_size=3
).map(lambda pairs: b"&".join(name + b"=" + value for name, value in pairs))

KINDS = st.sampled_from(
    [
        b"application/json",
        b"application/json; charset=utf-16",
        b"multipart/form-data",
        b"multipart/form-data; boundary=b",
        b"application/x-www-form-urlencoded",
        b"\xff",
        b"",
    ]
)
FORMS = st.builds(
    lambda head, content: b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--\r\n",
    HEAD
    | st.sampled_from(
        [
            b'Content-Disposition: form-data; name="file"; filename="\xff\x00"',
            b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: text/plain',
            b'Content-Disposition: form-data; name="file"',
            b"Content-Disposition: " + b"x" * 9000,
        ]
    ),
    st.binary(max_size=50),
)
FIELDS = (
    "model messages user user_id title metadata message stream status name role email workos_id"
    " principal_id expires_at session_id"
).split()
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5) | st.fixed_dictionaries(
    {"message": st.fixed_dictionaries({"role": st.just("user"), "content": JSON})},
    optional={"stream": JSON, "metadata": JSON},
)
BODIES = (
    st.binary(max_size=200)
    | FORMS
    | JSON.map(lambda value: json.dumps(value).encode())
    | OBJECTS.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 20_000, b'{"a":' * 5000, b"\xef\xbb\xbf{}", b"1" * 5000])
)
HEADERS = st.dictionaries(
    st.sampled_from(
        b"Last-Event-ID Idempotency-Key Accept Content-Encoding Range Origin X-Request-Id Cookie"
        b" Expect Upgrade traceparent If-None-Match X-Forwarded-For".split()
    ),
    HEAD | NUMBERS | st.sampled_from([b"gzip", b"websocket", b"100-continue", b"{turn}:1"]),
    max_size=3,
)
METHODS = st.none() | st.sampled_from(
    [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"]
)
KEYS = st.none() | st.sampled_from([b"Bearer", b"Bearer \xff", b"Basic eDp4", b"Bearer a.b.c"])


class Known:
    """A server, and what there is on it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.renew()

    def renew(self) -> None:
        """Have a session and a turn that nobody has deleted."""
        session_id = open_session(self.api)
        turn_id = say(self.api, session_id, "hello").headers["X-Turn-Id"]
        self._names = {b"{session}": session_id.encode(), b"{turn}": turn_id.encode()}

    def fill(self, content: bytes) -> bytes:
        """The same with what there is in place of its name."""
        for name, value in self._names.items():
            content = content.replace(name, value)
        return content


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    """One server for all of it: nothing that is sent may harm what comes later."""
    with serving() as api:
        yield Known(api)


def put_together(
    known: Known,
    door: Door,
    part: bytes,
    query: bytes,
    headers: dict[bytes, bytes],
    body: bytes,
    method: bytes | None,
    key: bytes | None,
    kind: bytes,
) -> bytes:
    """The request's bytes."""
    path = re.sub(rb"\{[^}]*\}", lambda _: part, door.path.encode())
    target = known.fill(path + b"?" + query if query else path)
    sent = {
        b"Host": b"127.0.0.1",
        b"Connection": b"close",
        b"Authorization": key or f"Bearer {known.api.key}".encode(),
        b"Content-Type": kind,
        b"Content-Length": str(len(body)).encode(),
        **{name: known.fill(value) for name, value in headers.items()},
    }
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in sent.items())
    return (method or door.method.encode()) + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n"


def status_of(base_url: str, content: bytes, *, is_cut: bool) -> int | None:
    """The status that is answered; None where the connection is closed without an answer."""
    with connected(base_url) as connection:
        try:
            connection.sendall(content)
            if is_cut:
                connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            # Refused before all of it was sent.
            return None
    assert b"Traceback" not in answer
    # 100 is no answer yet.
    answer = re.sub(rb"^HTTP/1\.1 100 .*?\r\n\r\n", b"", answer, flags=re.DOTALL)
    return int(answer[9:12]) if answer else None


# The server, in another thread of this process, may draw a random number while a request is made up.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
@given(PARTS, QUERIES, HEADERS, BODIES, METHODS, KEYS, KINDS, st.booleans())
def test_nothing_makes_it_fail(
    known: Known,
    door: Door,
    part: bytes,
    query: bytes,
    headers: dict[bytes, bytes],
    body: bytes,
    method: bytes | None,
    key: bytes | None,
    kind: bytes,
    is_cut: bool,
) -> None:
    """Odd paths, queries, heads, bodies, whole ones and such that break off: below 500, at once."""
    head = put_together(known, door, part, query, headers, body, method, key, kind)
    sent = body[: len(body) // 2] if is_cut else body

    status = status_of(known.api.base_url, head + sent, is_cut=is_cut)

    assert status is None or status < 500, (head, body)
    assert status is not None or is_cut, (head, body)
    if b"DELETE" in head[:6]:
        known.renew()


def test_it_goes_on(known: Known) -> None:
    """Behind all that, whoever asks is answered, and what there was is there."""
    answer = known.api.call("POST", COMPLETIONS, json=request("still here", user="ada"))
    assert answer.json()["choices"][0]["message"]["content"] == "still here"
    kept = known.api.get("/api/v2/sessions/" + known.fill(b"{session}").decode())
    assert kept.status_code == 200
