"""Random bodies, random paths and what is hardly HTTP: nothing of it makes the server fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from server_wire import (
    COMPLETIONS,
    PLATFORM,
    SESSIONS,
    Api,
    check_refusal,
    raw_request,
    request,
    send_raw,
)


@pytest.mark.parametrize(
    ("path", "has_key"),
    [(COMPLETIONS, True), (f"{PLATFORM}/admins", True), (f"{PLATFORM}/admins", False)],
)
def test_bodies_have_a_longest_length(api: Api, path: str, has_key: bool) -> None:
    """More than that is not read, whoever sends it."""
    body = b'{"x":"' + b"x" * (16 * 2**20) + b'"}'
    headers = {b"Content-Type": b"application/json"}
    if has_key:
        headers[b"Authorization"] = f"Bearer {api.key}".encode()

    answer = send_raw(api.base_url, raw_request(path.encode(), headers, body, b"POST"))

    assert answer.startswith(b"HTTP/1.1 413 ") and b"body_too_large" in answer
    assert len(answer) < 2000


RAW = [
    raw_request(b"/health\xff", {}),
    raw_request(b"/%", {}),
    raw_request(b"http://[/", {}),
    raw_request(b"*", {}, method=b"OPTIONS"),
    raw_request(b"/nowhere", {b"Host": b"["}),
    raw_request(b"/nowhere", {b"Host": b"\xff\xff:x"}),
    raw_request(b"/atoms/chat/sessions/", {b"Host": b"["}),
    raw_request(b"/v1/models", {b"Authorization": b"Bearer \xff\xfe"}),
    raw_request(b"/v1/models", {b"Authorization": b"Bearer"}),
    raw_request(b"/v1/models", {b"Authorization": b"Basic eDp4"}),
    raw_request(b"/v1/models", {b"Authorization": b"x" * 10_000}),
    raw_request(b"/v1/models", {b"X-Request-Id": b"\xff\x01"}),
    raw_request(COMPLETIONS.encode(), {b"Content-Length": b"x"}, method=b"POST"),
    raw_request(COMPLETIONS.encode(), {b"Content-Length": b"-1"}, method=b"POST"),
    raw_request(COMPLETIONS.encode(), {b"Transfer-Encoding": b"chunked"}, b"zz", b"POST"),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    raw_request(b"/health", {}, method=b"BREW"),
    b"GET / HTTP/9.9\r\n\r\n",
]


@pytest.mark.parametrize("content", RAW, ids=lambda content: repr(content)[2:50])
def test_what_is_hardly_http(api: Api, content: bytes) -> None:
    """Odd bytes get a refusal or a closed connection, and the server goes on."""
    answer = send_raw(api.base_url, content)

    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 307"))
    assert b"Traceback" not in answer
    assert api.get("/health").status_code == 200


def check_any(api: Api, body: bytes) -> None:
    """Whatever the body is, the answer is one or a refusal."""
    answer = api.post(body)
    if answer.status_code == 200:
        assert answer.content
    else:
        check_refusal(answer)


@given(st.binary(max_size=300))
@example(json.dumps(request("hi")).encode())
def test_random_bytes(api: Api, body: bytes) -> None:
    """No bytes at all make the server fail."""
    check_any(api, body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children, max_size=4)
    | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
ANY_MESSAGE = JSON | st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "tool", "robot"])},
    optional={"content": JSON, "name": JSON},
)


@given(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(["echo", "eliza"]),
            "messages": JSON | st.lists(ANY_MESSAGE, max_size=3),
        },
        optional={
            **{key: JSON for key in ("temperature", "top_p", "max_tokens", "n", "system_prompt")},
            "stream": JSON,
            "user": JSON | st.just("ada"),
            "metadata": JSON
            | st.fixed_dictionaries(
                {},
                optional={
                    **{key: JSON for key in ("session_id", "user_id", "organization_id", "x")},
                    "variables": st.dictionaries(st.just("other"), JSON),
                },
            ),
        },
    )
)
def test_random_json(api: Api, body: dict[str, Any]) -> None:
    """No JSON either, however close it comes to a request."""
    check_any(api, json.dumps(body).encode())


@given(path=st.text(min_size=1, max_size=60), query=st.text(max_size=60))
def test_random_paths(api: Api, path: str, query: str) -> None:
    """No path and no query."""
    for prefix in ("/", f"{SESSIONS}/", f"{SESSIONS}?", "/v1/models/", f"{PLATFORM}/audit?"):
        answer = api.call("GET", prefix + path, params={"user_id": query} if query else None)
        assert answer.status_code < 500
