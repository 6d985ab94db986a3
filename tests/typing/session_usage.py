"""Chat in sessions as mypy sees it. Checked and never run."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import assert_type

from chatserver_sdk import (
    CancelMessageResponse,
    ChatServerClient,
    ChatSession,
    DeleteSessionResponse,
    FileInfo,
    MessageStream,
    SessionChatResponse,
)
from chatserver_sdk.models.events import Event, TextDelta


def sessions(client: ChatServerClient, stream: bool) -> None:
    """Each call, with what it gives."""
    session = client.create_session("m", user_id="ada", title="T", metadata={"a": 1}, timeout=5)
    assert_type(session, ChatSession)
    assert_type(client.update_session(session.id, status="archived"), ChatSession)
    file = client.upload_file(session.id, Path("a.txt"))
    assert_type(file, FileInfo)
    assert_type(client.send_message(session.id, "Hi", files=[file, "f1"]), SessionChatResponse)
    assert_type(client.send_message(session.id, "Hi", stream=True), MessageStream)
    assert_type(
        client.send_message(session.id, [{"type": "text", "text": "Hi"}], stream=stream),
        SessionChatResponse | MessageStream,
    )
    with client.join_stream(session.id, after=None) as joined:
        assert_type(joined, MessageStream)
        for text in joined:
            assert_type(text, str)
        for event in joined.events():
            assert_type(event, Event)
            if isinstance(event, TextDelta):
                assert_type(event.text, str)
        assert_type(joined.response(), SessionChatResponse)
    assert_type(client.cancel_message(session.id, joined.turn_id), CancelMessageResponse)
    assert_type(client.delete_session(session.id), DeleteSessionResponse)


def mistakes(client: ChatServerClient) -> None:
    """What is none of it is found."""
    client.create_session("m", owner="ada")  # type: ignore[call-arg]
    client.send_message("s", 5)  # type: ignore[call-overload]
    client.upload_file("s", 5)  # type: ignore[arg-type]
