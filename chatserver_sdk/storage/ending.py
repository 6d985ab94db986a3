"""Ending turns: many at once, so that each statement runs once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, bindparam, literal_column, update

from chatserver_sdk.models import ChatMessageRecord
from chatserver_sdk.models.events import encode_log

from .errors import TurnOver
from .prepared import Prepared
from .statistics import DayUsage, add_usage
from .tables import day_of, messages, sessions, turn_logs, turns
from .turn_records import TurnEnd

_RUNNING: ColumnElement[str] = literal_column("'running'")
_CLOSE = Prepared(
    update(turns)
    # What another process has taken for dead and closed stays as that has left it.
    .where(turns.c.id == bindparam("turn_id"), turns.c.state == _RUNNING).values(
        state=bindparam("new_state"),
        finish_reason=bindparam("new_reason"),
        error_code=bindparam("new_code"),
        error_message=bindparam("new_message"),
        tokens_in=bindparam("new_tokens_in"),
        tokens_out=bindparam("new_tokens_out"),
        ended_at=bindparam("new_end"),
    )
)
_COUNTED = (
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"))
    .values(
        updated_at=bindparam("new_time"),
        tokens_in=sessions.c.tokens_in + bindparam("more_in"),
        tokens_out=sessions.c.tokens_out + bindparam("more_out"),
    )
)
_COUNT = Prepared(_COUNTED)
_COUNT_ANSWER = Prepared(
    _COUNTED.values(
        message_count=sessions.c.message_count + bindparam("said"),
        last_message_at=bindparam("new_time"),
    )
)
_LOGS = Prepared.insert(turn_logs)
_MESSAGES = Prepared.insert(messages)


def finish(connection: Connection, end: TurnEnd) -> None:
    """Store the answer and how the turn ended, and add to the figures.

    Raises TurnOver for a turn that does not run; nothing of its end is stored then.
    """
    finish_all(connection, [(end,)])


def finish_all(connection: Connection, calls: Sequence[tuple[TurnEnd]]) -> list[None]:
    """What finish() does, for each call. Raises TurnOver, for all, where one of them does not run:
    each has to be tried alone."""
    ends = [end for (end,) in calls]
    if _CLOSE.run_all(connection, [_closing(end) for end in ends]) < len(ends):
        raise TurnOver("the turn does not run any more; its end is not stored")
    for usage in _usage_of_days(ends):
        add_usage(connection, usage)
    logs = [{"turn_id": end.turn_id, "events": encode_log(end.log)} for end in ends]
    _LOGS.run_all(connection, logs)
    _MESSAGES.run_all(connection, [_answer_row(e, e.answer) for e in ends if e.answer is not None])
    _COUNT_ANSWER.run_all(connection, [_count(end) for end in ends if end.answer is not None])
    _COUNT.run_all(connection, [_count(end) for end in ends if end.answer is None])
    return [None] * len(ends)


def finish_late(connection: Connection, ends: Sequence[TurnEnd]) -> None:
    """Store ends that could not be stored in their time, unless their turns have ended since."""
    for end in ends:
        with suppress(TurnOver):
            finish(connection, end)


def _usage_of_days(ends: Sequence[TurnEnd]) -> list[DayUsage]:
    days: dict[int, DayUsage] = {}
    for end in ends:
        day = day_of(end.now)
        counted = days.setdefault(day, DayUsage(day))
        counted.add(1, end.usage.prompt_tokens, end.usage.completion_tokens)
    return [*days.values()]


def _closing(end: TurnEnd) -> dict[str, Any]:
    return {
        "turn_id": end.turn_id,
        "new_state": end.state,
        # An agent's own words may be longer; what ended has to be stored all the same.
        "new_reason": _short(end.finish_reason, turns.c.finish_reason),
        "new_code": _short(end.error_code, turns.c.error_code),
        "new_message": end.error_message,
        "new_tokens_in": end.usage.prompt_tokens,
        "new_tokens_out": end.usage.completion_tokens,
        "new_end": end.now,
    }


def _count(end: TurnEnd) -> dict[str, Any]:
    return {
        "session_id": end.session_id,
        "new_time": end.now,
        "said": 1,
        "more_in": end.usage.prompt_tokens,
        "more_out": end.usage.completion_tokens,
    }


def _short(text: str | None, column: Column[str]) -> str | None:
    if text is None:
        return None
    printable = text if text.isprintable() else "".join(filter(str.isprintable, text))
    return printable[: column.type.length]  # type: ignore[attr-defined]


def _answer_row(end: TurnEnd, answer: ChatMessageRecord) -> dict[str, Any]:
    metadata = dict(answer.metadata)
    # Where the messages that callers send have them, so that agents see them too.
    calls = metadata.pop("tool_calls", None)
    return {
        "id": answer.id,
        "session_id": end.session_id,
        "message_index": answer.message_index,
        "role": str(answer.role),
        "author": "ai",
        "kind": "text",
        "content": answer.content,
        "extra": {"tool_calls": calls} if calls else None,
        "metadata": metadata,
        "tokens": answer.tokens,
        "turn_id": end.turn_id,
        "created_at": answer.created_at,
    }
