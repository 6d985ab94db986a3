"""A user's program as mypy --strict reads it; it is checked and not run.

`assert_type` says what an editor should show; the ignores are mistakes that mypy has to find, and
mypy complains of an ignore that nothing needs.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import requests
from typing_extensions import assert_type

import chatserver_sdk
from chatserver_sdk import (
    AdminInfo,
    ApiKeyInfo,
    APIStatusError,
    APITimeoutError,
    AuditEntry,
    ChatCompletionChoice,
    ChatCompletionRequest,
    ChatCompletionResponse,
    ChatMessageRecord,
    ChatServerClient,
    ChatServerError,
    ChatSessionDetailResponse,
    ChatSessionListResponse,
    ChatSessionSummary,
    CompletionStream,
    RawResponse,
    Message,
    MessageRole,
    ModelInfo,
    RateLimitError,
    StreamError,
    StreamFailedError,
    SystemHealth,
    UsageInfo,
    create_client,
)
from chatserver_sdk.exceptions import BadRequestError, UnauthorizedError
from chatserver_sdk.testing import (
    Failure,
    Pause,
    RecordedRequest,
    ScriptedAgent,
    Step,
    Thought,
    ToolUse,
    WireServer,
    delta,
    event_stream,
    running_server,
)


def clients() -> None:
    """Every way to make one."""
    assert_type(ChatServerClient(), ChatServerClient)
    assert_type(ChatServerClient("k", "http://localhost:3284", 30), ChatServerClient)
    ChatServerClient(api_key=None, timeout=None, session=requests.Session())
    ChatServerClient(timeout=0.5)
    ChatServerClient("k", session="mine")  # type: ignore[arg-type]
    ChatServerClient(key="k")  # type: ignore[call-arg]
    with create_client("k") as client:
        assert_type(client, ChatServerClient)
        assert_type(client.session, requests.Session)
        assert_type(client.base_url, str)
    assert_type(chatserver_sdk.__version__, str)


def completions(client: ChatServerClient, maybe: bool, user: UUID) -> None:
    """stream decides what comes back."""
    whole = client.create_completion("m", "Hello")
    assert_type(whole, ChatCompletionResponse)
    assert_type(client.create_completion("m", "Hello", stream=False), ChatCompletionResponse)
    assert_type(client.create_completion("m", "x", 0.7, 1, 1.0, False), ChatCompletionResponse)
    stream = client.create_completion("m", "Hello", stream=True)
    assert_type(stream, CompletionStream)
    either = client.create_completion("m", "Hello", stream=maybe)
    assert_type(either, ChatCompletionResponse | CompletionStream)

    assert_type(whole.choices, list[ChatCompletionChoice])
    assert_type(whole.choices[0].message, Message)
    assert_type(whole.choices[0].finish_reason, str | None)
    assert_type(whole.usage, UsageInfo)
    assert_type(whole.usage.total_tokens, int)
    assert_type(whole.system_fingerprint, str | None)
    client.create_completion(
        model="m",
        messages=["Hello"],
        temperature=None,
        user=str(user),
        system_prompt="Be brief.",
        session_id=whole.system_fingerprint,
        metadata={"mine": 1},
        organization_id="o",
        workflow="w",
        variables={"a": 1},
        allowed_tools=["Bash"],
        setting_sources=("user",),
        mcp_servers={"a": {}},
    )
    client.create_completion("m")  # type: ignore[call-overload]
    client.create_completion("m", 5)  # type: ignore[call-overload]
    client.create_completion("m", "x", stream="yes")  # type: ignore[call-overload]
    client.create_completion("m", "x", temperature="hot")  # type: ignore[call-overload]
    client.create_completion("m", "x", seed="1")  # type: ignore[call-overload]


def messages(client: ChatServerClient) -> None:
    """Every documented form, and lists of one form alone."""
    objects = [Message(role=MessageRole.USER, content="Hello")]
    dicts = [{"role": "user", "content": "Hello"}]
    strings = ["Hello", "How are you?"]
    mixed: list[Message | dict[str, Any] | str] = [objects[0], dicts[0], strings[0]]
    for given in (objects, dicts, strings, mixed, "Hello", objects[0], dicts[0]):
        client.create_completion("m", given)
    client.create_completion("m", (text for text in strings))
    conversation = [Message(MessageRole.USER, "Hello")]
    conversation.append(client.create_completion("m", conversation).choices[0].message)
    assert_type(conversation[0].role, MessageRole)
    assert_type(conversation[0].text, str)
    Message(MessageRole.USER, [{"type": "text", "text": "Hello"}])
    Message(MessageRole.USER, 5)  # type: ignore[arg-type]


def streams(stream: CompletionStream) -> None:
    """A stream is a generator of text that knows more than its text."""
    for text in stream:
        assert_type(text, str)
    assert_type(next(stream), str)
    assert_type(stream.metadata, dict[str, Any])
    assert_type(stream.metadata.get("system_fingerprint"), Any | None)
    assert_type(stream.text, str)
    assert_type(stream.response(), ChatCompletionResponse)
    with stream as same:
        assert_type(same, CompletionStream)
    generator: Generator[str, None, None] = stream
    iterator: Iterator[str] = stream
    print("".join(generator), "".join(iterator))


def history(client: ChatServerClient) -> None:
    """Sessions and their transcripts."""
    page = client.list_sessions("u1", page=2, page_size=50)
    assert_type(page, ChatSessionListResponse)
    assert_type(page.sessions, list[ChatSessionSummary])
    assert_type(page.sessions[0].created_at, datetime)
    assert_type(page.sessions[0].last_message_at, datetime | None)
    assert_type(page.has_more, bool)
    detail = client.get_session(page.sessions[0].id, user_id="u1")
    assert_type(detail, ChatSessionDetailResponse)
    assert_type(detail.messages, list[ChatMessageRecord])
    assert_type(detail.messages[0].metadata, dict[str, Any])
    client.get_session("s1")  # type: ignore[call-arg]


def administration(client: ChatServerClient) -> None:
    """Attributes are typed; the documented dict access works beside them."""
    admins = client.list_admins()
    assert_type(admins.admins, list[AdminInfo])
    assert_type(admins.count, int)
    assert_type(admins["count"], Any)
    print(f"Platform admins: {admins['count']}", *admins["admins"])
    assert_type(client.add_admin("w", "a@x.org").status, str)
    assert_type(client.remove_admin("a@x.org").email, str)
    made = client.create_key("ada's laptop", "user", user_id="ada", expires_at="2030-01-01")
    assert_type(made.key, str)
    assert_type(client.list_keys(limit=9).keys, list[ApiKeyInfo])
    assert_type(client.revoke_key(made.id).revoked_at, datetime | None)
    assert_type(client.get_platform_stats().system_health, SystemHealth)
    assert_type(client.get_platform_stats().total_users, int)
    assert_type(client.get_audit_log(limit=20).entries, list[AuditEntry])
    assert_type(client.get_audit_log(action="admin.*", after="7").entries, list[AuditEntry])
    assert_type(client.verify_audit_log(client.get_audit_head()).ok, bool)
    assert_type(client.delete_user("u1").messages, int)
    assert_type(client.export_session("s1", "chat.md", user_id="u1", format="markdown"), int)
    assert_type(client.list_models().data, list[ModelInfo])
    assert_type(client.export_session("s1", "chat.jsonl"), int)
    client.export_session("s1", "chat.md", user_id="u1", format="pdf")  # type: ignore[arg-type]


def failures(client: ChatServerClient) -> None:
    """What an exception carries."""
    try:
        client.create_completion("m", "Hello", stream=True).response()
    except RateLimitError as exc:
        assert_type(exc.retry_after, float | None)
    except (BadRequestError, UnauthorizedError) as exc:
        assert_type(exc.message, str)
        assert_type(exc.status_code, int | None)
        assert_type(exc.param, str | None)
    except StreamFailedError as exc:
        assert_type(exc.partial, str)
        assert_type(exc.code, str | None)
    except StreamError as exc:
        assert_type(exc.metadata, dict[str, Any])
    except APIStatusError as exc:
        assert_type(exc.errors, list[Any])
    except APITimeoutError as exc:
        assert_type(exc.kind, Literal["connect", "read", "idle", "total"])
    except ChatServerError as exc:
        assert_type(exc.response, RawResponse | None)


def models(raw: dict[str, Any]) -> None:
    """Reading and writing."""
    assert_type(ModelInfo.from_dict(raw), ModelInfo)
    assert_type(ChatCompletionRequest.from_json("{}"), ChatCompletionRequest)
    assert_type(ModelInfo("m").to_dict(), dict[str, Any])
    assert_type(ModelInfo("m").to_json(), str)
    assert_type(ModelInfo("m").extra, dict[str, Any])
    assert_type(MessageRole("robot"), MessageRole)
    ModelInfo(name="m")  # type: ignore[call-arg]


def tests(server: WireServer) -> None:
    """The server for tests."""
    script = event_stream(delta("Hel"), delta("lo"))
    assert_type(script, list[Step])
    server.answers(script, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert_type(server.requests, list[RecordedRequest])
    assert_type(server.base_url, str)


def scripts(go_on: threading.Event) -> None:
    """An agent's answers: texts, lone steps, lists of them."""
    agent = ScriptedAgent(
        "a", "x", ToolUse("t", {"n": 1}), ["x", Thought("y"), Pause(go_on), Failure("z", 503)]
    )
    assert_type(agent.questions[0].text, str)
    with running_server(agents=[agent]) as server:
        assert_type(server.client(), ChatServerClient)
    ScriptedAgent("a", 5)  # type: ignore[arg-type]
    ScriptedAgent("a", ["x", b"y"])  # type: ignore[list-item]
    Failure("z", "503")  # type: ignore[arg-type]
