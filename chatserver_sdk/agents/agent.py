"""What an agent is given, and what it has to be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatserver_sdk.models import Message, MessageRole, Tool
from chatserver_sdk.models.events import Event

from .files import Files


class InvalidQuestion(Exception):
    """The agent cannot answer this; `param` names the field at fault, as in `variables.delay`."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Question:
    """What is to be answered: the conversation so far, its last message new.

    tools to reasoning_effort: as the caller asked, for agents that pass them on to a model; None
    or empty where the caller did not say. files: what the new message names, to be read when they
    are needed; the parts of its content say where each belongs.
    """

    messages: Sequence[Message]
    model: str = ""
    session_id: str = ""
    user_id: str | None = None
    system_prompt: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Any] | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    files: Files = field(default_factory=Files, compare=False)

    @property
    def user_texts(self) -> list[str]:
        """What the user has said, oldest first."""
        return [said.text for said in self.messages if said.role == MessageRole.USER]

    @property
    def text(self) -> str:
        """What the user said last; empty where they have said nothing."""
        texts = self.user_texts
        return texts[-1] if texts else ""


class Agent(ABC):
    """Answers questions. One instance answers many at once: a question's state is not its own.

    name: the model's id, of the class or of an instance. description: what lists of models say.
    """

    name: str
    description: str

    def check(self, question: Question) -> None:
        """Refuse what cannot be answered, before anything is stored. Raises InvalidQuestion."""

    @abstractmethod
    def answer(self, question: Question) -> AsyncGenerator[str | Event, None]:
        """The answer as it comes about: pieces of text, and any other events."""
