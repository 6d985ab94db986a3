"""Verbs on turns: a question is stored before its agent runs, an answer before its end is said."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from chatserver_sdk.models.events import Event, decode_log

from .beginning import begin as begin
from .beginning import begin_all as begin_all
from .ending import finish as finish
from .ending import finish_all as finish_all
from .ending import finish_late as finish_late
from .tables import sessions, turn_logs, turns
from .turn_records import BegunTurn as BegunTurn
from .turn_records import ChooseNew as ChooseNew
from .turn_records import StoredTurn as StoredTurn
from .turn_records import TurnEnd as TurnEnd
from .turn_records import TurnPlan as TurnPlan

_TURN = (
    select(
        turns.c.id,
        turns.c.session_id,
        sessions.c.user_id,
        turns.c.principal_id,
        turns.c.model,
        turns.c.state,
        turns.c.started_at,
    )
    .join(sessions, sessions.c.id == turns.c.session_id)
    .where(turns.c.id == bindparam("turn_id"))
)


def find_turn(connection: Connection, turn_id: str) -> StoredTurn | None:
    """The turn, whoever's it is; None where there is none."""
    row = connection.execute(_TURN, {"turn_id": turn_id}).one_or_none()
    return None if row is None else StoredTurn(**row._mapping)


def read_log(connection: Connection, turn_id: str) -> list[Event]:
    """What a turn said; nothing where its log is not kept. Raises DecodeError."""
    events = select(turn_logs.c.events).where(turn_logs.c.turn_id == turn_id)
    return decode_log(connection.scalar(events) or [])


def find_last(connection: Connection, session_id: str) -> str | None:
    """The id of the turn of a session that began last; None where there is none."""
    of_session = select(turns.c.id).where(turns.c.session_id == session_id)
    return connection.scalar(of_session.order_by(turns.c.started_at.desc()).limit(1))


def interrupt_running(connection: Connection, now: datetime) -> int:
    """Mark the turns of a process that is gone; how many there were."""
    stopped = connection.execute(
        update(turns)
        .where(turns.c.state == "running")
        .values(state="interrupted", finish_reason="interrupted", ended_at=now)
    )
    return stopped.rowcount
