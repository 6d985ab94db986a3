"""How an agent's work ended, and what is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatserver_sdk._ids import new_id
from chatserver_sdk._wire import openai
from chatserver_sdk.agents import Question
from chatserver_sdk.models import ChatMessageRecord, MessageRole, UsageInfo
from chatserver_sdk.models.events import Event, TurnCompleted, TurnFailed
from chatserver_sdk.storage import sessions, turns

from . import clock
from .turn import CANCELLED, COMPLETED, Turn


@dataclass
class Outcome:
    """The event that says how it ended, and the state that is stored."""

    event: Event
    state: str
    usage: UsageInfo | None = None

    @property
    def cost(self) -> UsageInfo:
        """What it cost; zeros where nobody has said."""
        return UsageInfo() if self.usage is None else self.usage


def answer_of(
    turn: Turn, outcome: Outcome, text: str, message_index: int
) -> ChatMessageRecord | None:
    """What is to stand in the history: nothing of a turn that failed, its question can be asked
    again; what had been said of one that was stopped."""
    is_said = outcome.state == COMPLETED or (outcome.state == CANCELLED and text)
    if not turn.is_stored or not is_said:
        return None
    # As the caller saw it, and may send it again: calls included.
    said = openai.message_of(text, turn.log)
    calls = {"tool_calls": said["tool_calls"]} if "tool_calls" in said else {}
    return ChatMessageRecord(
        id=new_id(),
        message_index=message_index,
        role=MessageRole.ASSISTANT,
        created_at=clock.now(),
        content=said["content"],
        metadata={**calls, "turn_id": turn.id, "finish_reason": _finish_reason(outcome)},
        tokens=outcome.usage.completion_tokens if outcome.usage else None,
        session_id=turn.session_id,
    )


def end_of(
    turn: Turn,
    outcome: Outcome,
    answer: ChatMessageRecord | None = None,
    log: Sequence[Event] = (),
) -> turns.TurnEnd:
    """What the store is told."""
    failed = outcome.event if isinstance(outcome.event, TurnFailed) else None
    return turns.TurnEnd(
        turn_id=turn.id,
        session_id=turn.session_id,
        state=outcome.state,
        now=clock.now(),
        finish_reason=_finish_reason(outcome),
        error_code=failed.code if failed else None,
        error_message=failed.message if failed else None,
        usage=outcome.cost,
        answer=answer,
        log=log,
    )


def count(question: Question, answer: str) -> UsageInfo:
    """What it cost, in words: agents with a tokenizer say it themselves."""
    asked = sessions.count_words(question.system_prompt or "")
    asked += sum(sessions.count_words(message.text) for message in question.messages)
    said = sessions.count_words(answer)
    return UsageInfo(asked, said, asked + said)


def _finish_reason(outcome: Outcome) -> str:
    event = outcome.event
    return event.finish_reason if isinstance(event, TurnCompleted) else outcome.state
