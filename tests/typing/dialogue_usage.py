"""Dialogues, answers as objects and long lists, as mypy sees them. Checked and never run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import assert_type

from chatserver_sdk import (
    AuditEntry,
    ChatCompletionResponse,
    ChatServerClient,
    ChatSessionSummary,
    CompletionStream,
    Message,
)


@dataclass
class City:
    """What is asked for."""

    name: str


def dialogue(client: ChatServerClient) -> None:
    """The options are create_completion's, without what belongs to the conversation."""
    talk = client.conversation("m", user="ada", session_id=None, temperature=0, n=2)
    assert_type(talk.ask("Q", seed=1), ChatCompletionResponse)
    assert_type(talk.stream(["Q"], timeout=5), CompletionStream)
    assert_type(talk.messages, list[Message])
    assert_type(talk.session_id, str)
    talk.ask("Q", user="bob")  # type: ignore[call-arg]
    talk.ask("Q", stream=True)  # type: ignore[call-arg]
    client.conversation("m", tempo=5)  # type: ignore[call-arg]


def objects(client: ChatServerClient) -> None:
    """The instance has the class's type."""
    assert_type(client.parse_completion("m", "Q", into=City, temperature=0), City)
    client.parse_completion("m", "Q")  # type: ignore[call-arg]
    client.parse_completion("m", "Q", into=City, stream=True)  # type: ignore[call-arg]


def lists(client: ChatServerClient) -> None:
    """Iterators of models."""
    assert_type(client.iter_sessions("ada", timeout=5), Iterator[ChatSessionSummary])
    assert_type(client.iter_audit_log("2026-01-01", action="a.*"), Iterator[AuditEntry])
    client.iter_audit_log(datetime.now(), until=datetime.now(), resource_id="1")
    client.iter_audit_log(since=5)  # type: ignore[arg-type]
