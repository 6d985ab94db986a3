"""Every method: what it sends, with which defaults, and what the caller gets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from chatserver_sdk import (
    ChatServerClient,
    CompletionStream,
    Message,
    MessageRole,
    UsageInfo,
)
from chatserver_sdk.testing import (
    DONE,
    RecordedRequest,
    WireServer,
    completion,
    event_stream,
    json_answer,
)

HELLO = [{"role": "user", "content": "Hello"}]
DEFAULTS = {"model": "m", "temperature": 0.7, "max_tokens": 4000, "top_p": 1.0, "stream": False}
SESSION = {
    "id": "s1",
    "user_id": "u1",
    "created_at": "2024-05-01T10:00:00.5",
    "updated_at": "2024-05-01T10:00:00Z",
    "last_message_at": None,
    "message_count": 2,
}
RECORD = {
    "id": "m1",
    "message_index": 0,
    "role": "user",
    "content": "Hello",
    "created_at": "2024-05-01T10:00:00+00:00",
}


def only_request(server: WireServer) -> RecordedRequest:
    """The one request that was made."""
    (request,) = server.requests
    return request


def sent_by(
    wire_server: WireServer, client: ChatServerClient, messages: Any, **arguments: Any
) -> dict[str, Any]:
    """The JSON that create_completion sends for these arguments."""
    wire_server.answers(json_answer(200, completion("Hi")))
    client.create_completion("m", messages, **arguments)
    body: dict[str, Any] = wire_server.requests[-1].json()
    return body


def test_a_completion_and_its_defaults(
    wire_server: WireServer, client: ChatServerClient, api_key: str
) -> None:
    """The documented defaults are sent, nothing else is, and the answer is a model."""
    wire_server.answers(json_answer(200, completion("Hi")))

    answer = client.create_completion("m", HELLO)

    assert answer.choices[0].message == Message(MessageRole.ASSISTANT, "Hi")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage == UsageInfo(1, 2, 3) and answer.usage["total_tokens"] == 3
    assert (answer.id, answer.model, answer.system_fingerprint) == ("chatcmpl-1", "m", "s1")
    request = only_request(wire_server)
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["Authorization"] == f"Bearer {api_key}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"].startswith("chatserver-sdk/")
    assert request.json() == {**DEFAULTS, "messages": HELLO}


def test_a_stream_is_asked_for(wire_server: WireServer, client: ChatServerClient) -> None:
    """stream=True asks for events and gives a CompletionStream."""
    wire_server.answers(event_stream(DONE))
    with client.create_completion("m", HELLO, stream=True) as stream:
        assert isinstance(stream, CompletionStream)
    request = only_request(wire_server)
    assert request.headers["Accept"] == "text/event-stream"
    assert request.json() == {**DEFAULTS, "stream": True, "messages": HELLO}


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"temperature": None, "max_tokens": None, "top_p": None}, {}),
        ({"max_tokens": 1, "top_p": 0.5}, {"max_tokens": 1, "top_p": 0.5}),
        ({"system_prompt": "Be brief."}, {"system_prompt": "Be brief."}),
        ({"system_prompt": ""}, {"system_prompt": ""}),
        ({"session_id": "s1"}, {"metadata": {"session_id": "s1"}}),
        ({"session_id": UUID(int=1)}, {"metadata": {"session_id": str(UUID(int=1))}}),
        ({"organization_id": "o1"}, {"metadata": {"organization_id": "o1"}}),
        ({"workflow": "w"}, {"metadata": {"workflow": "w"}}),
        ({"variables": {"a": 1}}, {"metadata": {"variables": {"a": 1}}}),
        ({"variables": {}}, {"metadata": {"variables": {}}}),
        ({"allowed_tools": ["Bash"]}, {"metadata": {"allowed_tools": ["Bash"]}}),
        ({"allowed_tools": ("Bash",)}, {"metadata": {"allowed_tools": ["Bash"]}}),
        ({"setting_sources": ["user"]}, {"metadata": {"setting_sources": ["user"]}}),
        ({"mcp_servers": {"a": {"url": "b"}}}, {"metadata": {"mcp_servers": {"a": {"url": "b"}}}}),
        ({"mcp_servers": ["a"]}, {"metadata": {"mcp_servers": ["a"]}}),
        ({"metadata": {"mine": 1}}, {"metadata": {"mine": 1}}),
        ({"metadata": {}}, {}),
        (
            {"metadata": {"workflow": "old", "mine": 1}, "workflow": "new"},
            {"metadata": {"workflow": "new", "mine": 1}},
        ),
        ({"metadata": {"workflow": "kept"}, "workflow": None}, {"metadata": {"workflow": "kept"}}),
        (
            {"user": "u1", "session_id": "s1"},
            {"user": "u1", "metadata": {"session_id": "s1", "user_id": "u1"}},
        ),
        (
            {"user": UUID(int=2), "metadata": {"session_id": "s1", "user_id": "other"}},
            {
                "user": str(UUID(int=2)),
                "metadata": {"session_id": "s1", "user_id": str(UUID(int=2))},
            },
        ),
    ],
)
def test_every_argument_of_a_completion(
    wire_server: WireServer,
    client: ChatServerClient,
    arguments: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    """An argument travels as itself or inside metadata, where it wins over the same key."""
    body = sent_by(wire_server, client, HELLO, **arguments)
    kept = {key: value for key, value in DEFAULTS.items() if arguments.get(key, value) is not None}
    assert body == {**kept, "messages": HELLO, **sent}


@pytest.mark.parametrize("given", [{}, {"metadata": {"session_id": None}}, {"session_id": None}])
def test_a_user_without_a_session_gets_a_new_one(
    wire_server: WireServer, client: ChatServerClient, given: dict[str, Any]
) -> None:
    """History needs a UUID as fingerprint; where the caller brings none, a new one is sent."""
    first = sent_by(wire_server, client, HELLO, user="u1", **given)["metadata"]
    second = sent_by(wire_server, client, HELLO, user="u1", **given)["metadata"]
    assert first["user_id"] == second["user_id"] == "u1"
    assert UUID(first["session_id"]) != UUID(second["session_id"])


def test_the_callers_metadata_stays_as_it_was(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """What is handed in is not changed."""
    metadata: dict[str, Any] = {"mine": 1}
    sent_by(wire_server, client, HELLO, user="u1", workflow="w", metadata=metadata)
    assert metadata == {"mine": 1}


SYSTEM = Message(MessageRole.SYSTEM, "Be brief.")
PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "Hello"},
    {"type": "image_url", "image_url": {"url": "x"}},
]
CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ("Hello", HELLO),
        (["Hello"], HELLO),
        (Message(MessageRole.USER, "Hello"), HELLO),
        (HELLO[0], HELLO),
        (("Hello",), HELLO),
        ((text for text in ["Hello"]), HELLO),
        ([SYSTEM], [{"role": "system", "content": "Be brief."}]),
        ([Message("user", "Hello")], HELLO),  # type: ignore[arg-type]
        (
            [SYSTEM, HELLO[0], "And?"],
            [
                {"role": "system", "content": "Be brief."},
                *HELLO,
                {"role": "user", "content": "And?"},
            ],
        ),
        ([{"role": MessageRole.USER, "content": "Hello"}], HELLO),
        ([{"role": "robot", "content": "x"}], [{"role": "robot", "content": "x"}]),
        (
            [{"role": "user", "content": "x", "name": "Bo", "new": 1}],
            [{"role": "user", "content": "x", "name": "Bo", "new": 1}],
        ),
        ([Message(MessageRole.USER, "x", "Bo")], [{"role": "user", "content": "x", "name": "Bo"}]),
        ([{"role": "user", "content": PARTS}], [{"role": "user", "content": PARTS}]),
        ([Message(MessageRole.USER, PARTS)], [{"role": "user", "content": PARTS}]),
        ([{"role": "user", "content": ""}], [{"role": "user", "content": ""}]),
        (
            [{"role": "assistant", "content": None, "tool_calls": CALLS}],
            [{"role": "assistant", "content": None, "tool_calls": CALLS}],
        ),
        (
            [{"role": "assistant", "tool_calls": CALLS}],
            [{"role": "assistant", "content": None, "tool_calls": CALLS}],
        ),
        ([{"role": "user", "content": "ä\u2028🎈"}], [{"role": "user", "content": "ä\u2028🎈"}]),
    ],
)
def test_every_form_of_messages(
    wire_server: WireServer, client: ChatServerClient, messages: Any, sent: Any
) -> None:
    """Objects, dicts, strings, mixed or alone; what a dict holds beside them is passed on."""
    assert sent_by(wire_server, client, messages)["messages"] == sent


def test_an_answer_is_a_message_of_the_next_question(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """The documented way to go on: append the answer's message and ask again."""
    wire_server.answers(json_answer(200, completion("Hi")))
    answer = client.create_completion("m", "Hello")
    body = sent_by(wire_server, client, ["Hello", answer.choices[0].message, "And?"])
    assert body["messages"][1] == {"role": "assistant", "content": "Hi"}


def test_models(wire_server: WireServer, client: ChatServerClient) -> None:
    """list_models gives the models with what the server may leave out."""
    wire_server.answers(json_answer(200, {"object": "list", "data": [{"id": "m"}, {"id": "n"}]}))
    assert [(model.id, model.description) for model in client.list_models().data] == [
        ("m", None),
        ("n", None),
    ]
    assert only_request(wire_server).path == "/v1/models"


def test_sessions(wire_server: WireServer, client: ChatServerClient) -> None:
    """A page of sessions, their times aware."""
    page = {"sessions": [SESSION], "total": 21, "page": 2, "page_size": 20, "has_more": False}
    wire_server.answers(json_answer(200, page))

    answer = client.list_sessions("u 1/ä", page=2)

    assert (answer.total, answer.page, answer.has_more) == (21, 2, False)
    moment = datetime(2024, 5, 1, 10, 0, 0, 500_000, timezone.utc)
    assert answer.sessions[0].created_at == moment
    request = only_request(wire_server)
    assert (request.method, request.body) == ("GET", b"")
    assert request.path == "/atoms/chat/sessions?user_id=u+1%2F%C3%A4&page=2&page_size=20"


def test_a_session(wire_server: WireServer, client: ChatServerClient) -> None:
    """A transcript whose messages know their session."""
    wire_server.answers(json_answer(200, {"session": SESSION, "messages": [RECORD]}))

    detail = client.get_session("s1", user_id="u1")

    assert [(m.role, m.text, m.session_id) for m in detail.messages] == [("user", "Hello", "s1")]
    assert only_request(wire_server).path == "/atoms/chat/sessions/s1?user_id=u1"


QUOTED = [
    ("a@x.org", "a%40x.org"),
    ("a/b", "a%2Fb"),
    ("../../admin", "..%2F..%2Fadmin"),
    ("a?b#c", "a%3Fb%23c"),
    ("a b", "a%20b"),
    ("ä", "%C3%A4"),
    ("%2e%2e", "%252e%252e"),
    ("...", "..."),
    ("a+b", "a%2Bb"),
    (UUID(int=3), str(UUID(int=3))),
]


@pytest.mark.parametrize(("given", "quoted"), QUOTED)
def test_ids_in_paths_are_quoted(
    wire_server: WireServer, client: ChatServerClient, given: Any, quoted: str
) -> None:
    """An id cannot reach another route, whatever it holds."""
    wire_server.answers(json_answer(200, {"session": SESSION}))
    client.get_session(given, user_id="u1")
    assert only_request(wire_server).path == f"/atoms/chat/sessions/{quoted}?user_id=u1"


@pytest.mark.parametrize(("given", "quoted"), QUOTED[:-1])
def test_emails_in_paths_are_quoted(
    wire_server: WireServer, client: ChatServerClient, given: str, quoted: str
) -> None:
    """remove_admin quotes as well."""
    wire_server.answers(json_answer(200, {"status": "removed", "email": given}))
    answer = client.remove_admin(given)
    assert (answer.status, answer.email, answer["email"]) == ("removed", given, given)
    request = only_request(wire_server)
    assert (request.method, request.path) == ("DELETE", f"/api/v1/platform/admins/{quoted}")


def test_platform_stats(wire_server: WireServer, client: ChatServerClient) -> None:
    """Figures, and the health inside them."""
    health = {"status": "healthy", "active_agents": ["echo"]}
    wire_server.answers(json_answer(200, {"total_users": 3, "system_health": health}))
    stats = client.get_platform_stats()
    assert (stats.total_users, stats.total_requests) == (3, 0)
    assert stats.system_health["active_agents"] == ["echo"]
    assert only_request(wire_server).path == "/api/v1/platform/stats"


def test_admins(wire_server: WireServer, client: ChatServerClient) -> None:
    """list_admins works as the documented dict."""
    admin = {"id": "a1", "email": "a@x.org", "created_at": "2024-05-01T10:00:00Z"}
    wire_server.answers(json_answer(200, {"admins": [admin], "count": 1}))
    admins = client.list_admins()
    assert admins["count"] == 1 and admins["admins"][0]["email"] == "a@x.org"
    assert admins.admins[0].created_at == datetime(2024, 5, 1, 10, tzinfo=timezone.utc)
    assert only_request(wire_server).path == "/api/v1/platform/admins"


@pytest.mark.parametrize(("name", "sent"), [("", None), ("Ada", "Ada")])
def test_adding_an_admin(
    wire_server: WireServer, client: ChatServerClient, name: str, sent: str | None
) -> None:
    """The fields of the form; an empty name is none."""
    wire_server.answers(json_answer(201, {"status": "added", "email": "a@x.org"}))
    answer = client.add_admin("w1", "a@x.org", name)
    assert (answer.status, answer.email) == ("added", "a@x.org")
    request = only_request(wire_server)
    assert (request.method, request.path) == ("POST", "/api/v1/platform/admins")
    assert request.json() == {"workos_id": "w1", "email": "a@x.org", "name": sent}


def test_the_audit_log(wire_server: WireServer, client: ChatServerClient) -> None:
    """A page of entries."""
    entry = {"id": "1", "timestamp": "2024-05-01T10:00:00", "action": "admin.added"}
    wire_server.answers(json_answer(200, {"entries": [entry], "count": 1, "limit": 7, "offset": 3}))
    page = client.get_audit_log(limit=7, offset=3)
    assert (page.entries[0].action, page.count, page.limit) == ("admin.added", 1, 7)
    client.get_audit_log()
    assert [request.path for request in wire_server.requests] == [
        "/api/v1/platform/audit?limit=7&offset=3",
        "/api/v1/platform/audit?limit=50&offset=0",
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.list_models(),
        lambda c: c.list_sessions("u"),
        lambda c: c.get_session("s", user_id="u"),
        lambda c: c.get_platform_stats(),
        lambda c: c.list_admins(),
        lambda c: c.get_audit_log(),
        lambda c: c.remove_admin("a@x.org"),
    ],
)
def test_calls_without_a_body_send_none(
    wire_server: WireServer, client: ChatServerClient, call: Callable[[ChatServerClient], object]
) -> None:
    """No body and no type of one; the connection is used again."""
    answer = {
        "data": [],
        "sessions": [],
        "session": SESSION,
        "admins": [],
        "entries": [],
        "status": "removed",
        "total_users": 0,
    }
    wire_server.answers(json_answer(200, answer))
    call(client)
    call(client)
    for request in wire_server.requests:
        assert request.body == b"" and "Content-Type" not in request.headers
        assert request.connection == 0


def test_many_calls_at_once(wire_server: WireServer, client: ChatServerClient) -> None:
    """A client may be shared by threads; every question arrives once."""
    names = [str(uuid4()) for _ in range(100)]
    wire_server.answers(json_answer(200, completion("Hi")))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: client.create_completion("m", name), names))
    assert len(answers) == 100
    sent = sorted(request.json()["messages"][0]["content"] for request in wire_server.requests)
    assert sent == sorted(names)
