"""The public client against a real server: what a program does with a chat server, end to end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from uuid import UUID, uuid4

import pytest

from chatserver_sdk import (
    BadRequestError,
    ChatMessageRecord,
    ChatServerClient,
    ConflictError,
    Message,
    MessageRole,
    NotFoundError,
    UnauthorizedError,
)
from chatserver_sdk.agents.agent import Agent, Question
from chatserver_sdk.models.events import Event
from chatserver_sdk.testing import RunningServer, running_server


class Confidant(Agent):
    """Answers with what it was asked for."""

    name = "confidant"
    description = "Tells how it was asked."

    async def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        sampling = (question.temperature, question.max_tokens, question.top_p)
        yield repr((*sampling, question.system_prompt))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(agents=[Confidant()]) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[ChatServerClient]:
    with server.client() as client:
        yield client


@pytest.fixture
def user() -> str:
    """A user whom the server has never seen."""
    return str(uuid4())


def said(messages: list[ChatMessageRecord]) -> list[tuple[int, str, str]]:
    return [(message.message_index, str(message.role), message.text) for message in messages]


def test_completion(client: ChatServerClient) -> None:
    """An answer has its text, its reason to end, its cost and a fingerprint."""
    answer = client.create_completion("echo", "  two  words ")
    assert answer.choices[0].message == Message(MessageRole.ASSISTANT, "  two  words ")
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", "echo")
    assert answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < 3600
    assert answer.usage.to_dict() == {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
    }
    assert UUID(answer.system_fingerprint)


def test_stream(client: ChatServerClient) -> None:
    """A stream gives the same answer piece by piece, its fingerprint before the first one."""
    stream = client.create_completion("echo", "one two three", stream=True)
    fingerprint = stream.metadata["system_fingerprint"]
    assert list(stream) == ["one ", "two ", "three"]
    assert stream.metadata["system_fingerprint"] == fingerprint
    assert stream.metadata["finish_reason"] == "stop"
    answer = stream.response()
    assert answer.choices[0].message.content == "one two three"
    assert answer.usage.completion_tokens == 3
    assert answer.system_fingerprint == fingerprint


def test_resume_by_fingerprint(client: ChatServerClient, user: str) -> None:
    """The fingerprint of an answer goes on with its session, whole or streamed."""
    first = client.create_completion("eliza", "Men are all alike.", user=user)
    session_id = first.system_fingerprint
    stream = client.create_completion(
        "eliza", "They bug us.", user=user, session_id=session_id, stream=True
    )
    second = "".join(stream)
    assert stream.metadata["system_fingerprint"] == session_id
    detail = client.get_session(session_id, user_id=user)
    assert said(detail.messages) == [
        (0, "user", "Men are all alike."),
        (1, "assistant", "IN WHAT WAY"),
        (2, "user", "They bug us."),
        (3, "assistant", second),
    ]
    assert {message.session_id for message in detail.messages} == {session_id}
    assert (detail.session.title, detail.session.message_count) == ("Men are all alike.", 4)


def test_whole_transcript_continues_as_new_messages_do(client: ChatServerClient, user: str) -> None:
    """A client that sends everything each time makes the same history as one that does not."""
    histories = []
    for sends_everything in (True, False):
        conversation: list[Message] = []
        session_id = None
        for question in ("One.", "Two.", "One."):
            conversation.append(Message(MessageRole.USER, question))
            sent = conversation if sends_everything else conversation[-1:]
            answer = client.create_completion("echo", sent, user=user, session_id=session_id)
            conversation.append(answer.choices[0].message)
            session_id = answer.system_fingerprint
        histories.append(said(client.get_session(session_id or "", user_id=user).messages))
    assert histories[0] == histories[1]
    assert [text for _, _, text in histories[0]] == ["One.", "One.", "Two.", "Two.", "One.", "One."]


def test_sessions_by_pages(client: ChatServerClient, user: str) -> None:
    """45 sessions are three pages of 20, the latest first, each on one page."""
    made = [
        client.create_completion("echo", f"number {number}", user=user).system_fingerprint
        for number in range(45)
    ]
    pages = [client.list_sessions(user, page=page) for page in (1, 2, 3, 4)]
    assert [len(page.sessions) for page in pages] == [20, 20, 5, 0]
    assert [page.has_more for page in pages] == [True, True, False, False]
    assert {page.total for page in pages} == {45}
    listed = [session.id for page in pages for session in page.sessions]
    assert listed == made[::-1]


def test_session_of_another_user(client: ChatServerClient, user: str) -> None:
    """Somebody else's session cannot be read or continued, and looks like none."""
    session_id = client.create_completion("echo", "mine", user=user).system_fingerprint
    with pytest.raises(NotFoundError):
        client.get_session(session_id, user_id="somebody else")
    with pytest.raises(NotFoundError):
        client.create_completion("echo", "yours?", user="somebody else", session_id=session_id)
    with pytest.raises(NotFoundError):
        client.get_session(str(uuid4()), user_id=user)
    assert client.list_sessions("somebody else").total == 0


def test_without_a_user_nothing_is_recorded(client: ChatServerClient) -> None:
    """An answer for nobody is answered and counted, and its fingerprint names nothing."""
    before = client.get_platform_stats()
    fingerprint = client.create_completion("echo", "forget me").system_fingerprint
    after = client.get_platform_stats()
    assert after.total_requests == before.total_requests + 1
    assert after.total_users == before.total_users
    with pytest.raises(NotFoundError):
        client.get_session(fingerprint, user_id="anybody")


def test_statistics_move(client: ChatServerClient, user: str) -> None:
    """A new user, an organization, a request and its tokens show in the figures."""
    before = client.get_platform_stats()
    client.create_completion("echo", "one two", user=user, organization_id=f"org of {user}")
    after = client.get_platform_stats()
    assert after.total_users == before.total_users + 1
    assert after.active_users == before.active_users + 1
    assert after.total_organizations == before.total_organizations + 1
    assert after.total_requests == before.total_requests + 1
    assert after.total_tokens == before.total_tokens + 4
    assert after.system_health.status == "healthy"
    assert after.system_health.active_agents == ["confidant", "echo", "eliza"]


def test_administrators(client: ChatServerClient) -> None:
    """They are added, listed and removed; twice, unknown and the last one are refused."""
    first = client.list_admins().admins[0].email
    assert client.add_admin("user_1", "Grace@Example.com", "Grace").email == "grace@example.com"
    with pytest.raises(ConflictError) as again:
        client.add_admin("user_1", "grace@example.com")
    assert again.value.code == "admin_exists"
    admins = client.list_admins()
    assert (admins["count"], admins.admins[1].name) == (2, "Grace")
    assert admins.admins[1].created_by == first
    assert client.remove_admin("grace@example.com")["status"] == "removed"
    with pytest.raises(NotFoundError):
        client.remove_admin("grace@example.com")
    with pytest.raises(ConflictError) as last:
        client.remove_admin(first)
    assert last.value.code == "last_admin"
    assert [admin.email for admin in client.list_admins().admins] == [first]


def test_audit_log(client: ChatServerClient) -> None:
    """Each thing that an administrator does is an entry that says who, what and whom."""
    admin = client.list_admins().admins[0].email
    client.add_admin("user_2", "ada+audit@example.com")
    client.remove_admin("ada+audit@example.com")
    entries = client.get_audit_log(limit=2).entries
    assert [
        (entry.action, entry.user_id, entry.resource, entry.resource_id) for entry in entries
    ] == [
        ("admin.removed", admin, "admin", "ada+audit@example.com"),
        ("admin.added", admin, "admin", "ada+audit@example.com"),
    ]
    assert entries[0].timestamp >= entries[1].timestamp
    older = client.get_audit_log(limit=1, offset=1)
    assert (older.count, older.entries) == (1, entries[1:])


def test_a_wrong_key(server: RunningServer) -> None:
    """A key that nobody has, and none at all, are refused everywhere."""
    for key, code in (("csk_wrong", "invalid_api_key"), ("", "missing_api_key")):
        with ChatServerClient(key, server.base_url) as stranger:
            for call in (stranger.list_models, stranger.get_platform_stats, stranger.list_admins):
                with pytest.raises(UnauthorizedError) as refused:
                    call()
                assert refused.value.code == code
            with pytest.raises(UnauthorizedError):
                stranger.create_completion("echo", "Hi")


def test_an_unknown_model(client: ChatServerClient) -> None:
    """A model that is not there says so, also to a stream before its first word."""
    for stream in (False, True):
        with pytest.raises(NotFoundError) as refused:
            client.create_completion("gpt-0", "Hi", stream=stream)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_empty_messages(client: ChatServerClient) -> None:
    """Nothing to answer is refused before anything is sent."""
    for nothing in ([], (), iter([])):
        with pytest.raises(BadRequestError) as refused:
            client.create_completion("echo", nothing)
        assert (refused.value.param, refused.value.status_code) == ("messages", 400)
        assert refused.value.response is None


def test_every_documented_parameter(client: ChatServerClient, user: str) -> None:
    """Everything that the documents name is taken, and what is to be kept is kept."""
    session_id = str(uuid4())
    answer = client.create_completion(
        model="echo",
        messages=[{"role": "user", "content": "all of it"}],
        temperature=1.5,
        max_tokens=17,
        top_p=0.5,
        stream=False,
        user=user,
        system_prompt="Be brief.",
        session_id=session_id,
        metadata={"colour": "green", "workflow": "loses"},
        organization_id="org_1",
        workflow="wins",
        variables={"delay": 0},
        allowed_tools=["read"],
        setting_sources=["project"],
        mcp_servers={"files": {"command": "true"}},
    )
    assert answer.system_fingerprint == session_id
    session = client.get_session(session_id, user_id=user).session
    assert session.organization_id == "org_1"
    assert session.metadata == {"colour": "green", "workflow": "wins"}
    assert (session.model, session.agent_type, session.user_id) == ("echo", "echo", user)
    assert (session.tokens_in, session.tokens_out, session.tokens_total) == (5, 3, 8)


@pytest.mark.parametrize("temperature", [0, 0.0, 0.7, 2])
def test_sampling_reaches_the_agent(client: ChatServerClient, temperature: float) -> None:
    """What is asked for arrives as it is: a temperature of 0 is 0."""
    answer = client.create_completion(
        "confidant", "How?", temperature=temperature, max_tokens=1, top_p=0, system_prompt="Short."
    )
    assert answer.choices[0].message.text == repr((float(temperature), 1, 0.0, "Short."))


def test_what_is_not_asked_for(client: ChatServerClient) -> None:
    """What a caller leaves alone has the documented defaults."""
    answer = client.create_completion("confidant", "How?")
    assert answer.choices[0].message.text == "(0.7, 4000, 1.0, None)"


def test_delay_paces_the_stream(client: ChatServerClient) -> None:
    """echo's variable `delay` is waited before each word but the first."""
    begun = time.monotonic()
    stream = client.create_completion("echo", "a b c", stream=True, variables={"delay": 0.2})
    # Not earlier; how much later is the machine's affair.
    arrived = [time.monotonic() - begun for _ in stream]
    assert len(arrived) == 3
    assert arrived[1] >= 0.2 and arrived[2] >= 0.4


def test_a_delay_that_is_none(client: ChatServerClient) -> None:
    """A variable that makes no sense is refused with its name."""
    with pytest.raises(BadRequestError) as refused:
        client.create_completion("echo", "Hi", variables={"delay": "long"})
    assert refused.value.param == "metadata.variables.delay"
