"""Beginning turns: many at once, so that each statement runs once for all of them.

Everything is read and decided before anything is written: a turn that is refused leaves nothing
behind that would have to be undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from chatserver_sdk.models import ChatSession, Message, SessionStatus

from . import chat_sessions, idempotency, session_metadata
from . import sessions as session_verbs
from .errors import Conflict, NotFound, Refused
from .idempotency import Place, Taken
from .prepared import Prepared
from .tables import messages, sessions, turns
from .turn_records import BegunTurn, ChooseNew, TurnPlan

Call = tuple[TurnPlan, ChooseNew]

_RUNNING = select(turns.c.session_id).where(
    turns.c.state == "running", turns.c.session_id.in_(bindparam("session_ids", expanding=True))
)
_TURNS = Prepared.insert(turns)
_MESSAGES = Prepared.insert(messages)
_BECOMES = (
    update(messages)
    .where(messages.c.turn_id == bindparam("failed_id"))
    .values(turn_id=bindparam("new_id"))
)


def begin(connection: Connection, plan: TurnPlan, choose_new: ChooseNew) -> BegunTurn:
    """Open or continue the session and store the question.

    `choose_new` says which of the sent messages are new, given the stored ones. Raises NotFound
    for another user's session, Conflict while one of the session's turns runs and where the
    session has ended, MetadataTooLong, KeyTaken.
    """
    outcome = begin_all(connection, [(plan, choose_new)])[0]
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def begin_all(connection: Connection, calls: Sequence[Call]) -> list[BegunTurn | Refused]:
    """What begin() gives, or refuses with, for each call."""
    outcomes: dict[int, BegunTurn | Refused] = {}
    for numbers in _rounds(calls):
        begun = _begin_round(connection, [calls[number] for number in numbers])
        outcomes.update(zip(numbers, begun))
    return [outcomes[number] for number in range(len(calls))]


@dataclass
class _Opening:
    """A turn that may begin. known: its session, None where it is new."""

    plan: TurnPlan
    known: ChatSession | None
    context: list[Message]
    new: list[Message]

    @property
    def first_index(self) -> int:
        return self.known.message_count if self.known is not None else 0

    @property
    def next_index(self) -> int:
        return self.first_index + len(self.new)


@dataclass
class _Found:
    """What a round's plans refer to, as it is stored."""

    sessions: Mapping[str, ChatSession]
    busy: set[str]
    keys: Mapping[Place, Taken]


def _rounds(calls: Sequence[Call]) -> Iterator[list[int]]:
    """The numbers of the calls, in groups in which each session and each key comes once."""
    rest = list(range(len(calls)))
    while rest:
        seen: set[object] = set()
        now: list[int] = []
        later: list[int] = []
        for number in rest:
            plan = calls[number][0]
            places = {plan.session.id, plan.claim.key.place if plan.claim else plan.session.id}
            (later if places & seen else now).append(number)
            seen |= places
        yield now
        rest = later


def _begin_round(connection: Connection, calls: Sequence[Call]) -> list[BegunTurn | Refused]:
    found = _find(connection, [plan for plan, _ in calls])
    outcomes: list[BegunTurn | Refused] = []
    openings = []
    for plan, choose_new in calls:
        try:
            opening = _open(connection, plan, choose_new, found)
        except Refused as refusal:
            outcomes.append(refusal)
            continue
        openings.append(opening)
        context = [*opening.context, *opening.new][-plan.context_size :]
        outcomes.append(BegunTurn(context, opening.next_index))
    if openings:
        _write(connection, openings, found)
    return outcomes


def _find(connection: Connection, plans: Sequence[TurnPlan]) -> _Found:
    claims = [plan.claim for plan in plans if plan.claim is not None]
    known = chat_sessions.find_all(connection, [plan.session.id for plan in plans])
    running = connection.scalars(_RUNNING, {"session_ids": list(known)}) if known else ()
    return _Found(known, set(running), idempotency.find_all(connection, claims))


def _open(connection: Connection, plan: TurnPlan, choose_new: ChooseNew, found: _Found) -> _Opening:
    if plan.claim is not None:
        idempotency.check_free(plan.claim, found.keys, plan.now)
    known = found.sessions.get(plan.session.id)
    if known is None:
        _check_opening(plan)
        return _Opening(plan, None, [], choose_new([], plan.sent))
    _check_continuing(known, plan, is_busy=known.id in found.busy)
    if plan.session.metadata:
        # Many small additions make a long whole.
        session_metadata.check_length({**known.metadata, **plan.session.metadata})
    context, new = _continued(connection, plan, choose_new)
    return _Opening(plan, known, context, new)


def _check_opening(plan: TurnPlan) -> None:
    if not plan.opens:
        raise NotFound(f"there is no session {plan.session.id}")


def _check_continuing(session: ChatSession, plan: TurnPlan, *, is_busy: bool) -> None:
    if session.user_id != plan.session.user_id:
        raise NotFound(f"there is no session {session.id}")
    if session.status != SessionStatus.ACTIVE:
        raise Conflict(f"session {session.id} is {session.status}", f"session_{session.status}")
    if is_busy:
        raise Conflict(
            f"an answer is still being given in session {session.id}; wait for its end",
            "turn_in_progress",
        )


def _continued(
    connection: Connection, plan: TurnPlan, choose_new: ChooseNew
) -> tuple[list[Message], list[Message]]:
    """What is stored, as far as it is needed, and what of the sent messages is new."""
    if plan.claim is not None and plan.claim.repeats and plan.claim.freed_by is not None:
        return _asked_again(connection, plan, plan.claim.freed_by), []
    if len(plan.sent) >= session_verbs.count_said(connection, plan.session.id):
        stored = session_verbs.list_messages(connection, plan.session.id)
        return stored, choose_new(stored, plan.sent)
    # Too short to be the whole transcript: all of it is new, and the last messages are enough.
    last = session_verbs.list_messages(connection, plan.session.id, last=plan.context_size)
    return last, list(plan.sent)


def _asked_again(connection: Connection, plan: TurnPlan, failed_id: str) -> list[Message]:
    """What the agent is to see where a turn's question is asked again: it comes last, also
    where something was said since."""
    session_id, most = plan.session.id, plan.context_size
    others = session_verbs.list_messages(connection, session_id, last=most, without=failed_id)
    return [*others, *session_verbs.list_messages(connection, session_id, turn_id=failed_id)]


def _write(connection: Connection, openings: Sequence[_Opening], found: _Found) -> None:
    _write_sessions(connection, openings)
    _TURNS.run_all(connection, [_turn_row(opening.plan) for opening in openings])
    _take_keys(connection, openings, found)
    rows = [row for opening in openings for row in _message_rows(opening)]
    _MESSAGES.run_all(connection, rows)


def _write_sessions(connection: Connection, openings: Sequence[_Opening]) -> None:
    """What questions change on their sessions' lines, and on those of their users."""
    opened = [opening for opening in openings if opening.known is None]
    session_verbs.see_users(
        connection,
        [
            (opening.plan.session.user_id, opening.plan.now, int(opening.known is None))
            for opening in openings
        ],
    )
    session_verbs.see_organizations(
        connection,
        {opening.plan.session.organization_id: opening.plan.now for opening in openings},
    )
    session_verbs.insert_sessions(
        connection, [(o.plan.session, o.next_index, o.plan.now) for o in opened]
    )
    for opening in openings:
        if opening.known is not None:
            _touch(connection, opening, opening.known)


def _touch(connection: Connection, opening: _Opening, known: ChatSession) -> None:
    plan = opening.plan
    changes: dict[str, Any] = {
        "message_count": opening.next_index,
        "updated_at": plan.now,
        "last_message_at": plan.now,
        "model": plan.session.model,
        "agent_type": plan.session.agent_type,
    }
    if known.title is None and plan.session.title is not None:
        # It was opened before anything was said.
        changes["title"] = plan.session.title
    if plan.session.organization_id is not None:
        changes["organization_id"] = plan.session.organization_id
    if plan.session.metadata:
        changes["metadata"] = {**known.metadata, **plan.session.metadata}
    connection.execute(update(sessions).where(sessions.c.id == known.id).values(changes))


def _turn_row(plan: TurnPlan) -> dict[str, Any]:
    return {
        "id": plan.turn_id,
        "session_id": plan.session.id,
        "principal_id": plan.principal_id,
        "model": plan.session.model,
        "state": "running",
        "tokens_in": 0,
        "tokens_out": 0,
        "started_at": plan.now,
    }


def _message_rows(opening: _Opening) -> Iterator[dict[str, Any]]:
    plan = opening.plan
    for index, message in enumerate(opening.new, opening.first_index):
        yield {
            **session_verbs.message_row(message),
            "session_id": plan.session.id,
            "turn_id": plan.turn_id,
            "message_index": index,
            "created_at": plan.now,
        }


def _take_keys(connection: Connection, openings: Sequence[_Opening], found: _Found) -> None:
    """Each key stands for its new turn; a question that is asked again belongs to it too."""
    taken = [(o.plan.claim, o.plan) for o in openings if o.plan.claim is not None]
    if not taken:
        return
    idempotency.take_all(
        connection,
        [(claim.key, plan.now, plan.turn_id) for claim, plan in taken],
        known=found.keys,
    )
    for claim, plan in taken:
        if claim.repeats:
            connection.execute(_BECOMES, {"failed_id": claim.freed_by, "new_id": plan.turn_id})
