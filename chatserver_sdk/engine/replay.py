"""Turns that are over and no longer in memory, made again from what the store keeps of them."""

from __future__ import annotations

import logging

from chatserver_sdk.exceptions import DecodeError
from chatserver_sdk.models import Principal
from chatserver_sdk.models.events import TERMINAL, TurnFailed
from chatserver_sdk.storage import NotFound, Store, turns

from .errors import Gone
from .idempotency import in_progress
from .turn import FAILED, INTERRUPTED, RUNNING, Turn

_log = logging.getLogger(__name__)


async def get_turn(store: Store, turn_id: str, principal: Principal) -> Turn:
    """The turn with its log. Raises NotFound, also for somebody else's, and Gone."""
    stored = await store.read(turns.find_turn, turn_id)
    if stored is None or not _without_log(stored).may_be_read_by(principal):
        raise not_found(turn_id)
    turn = await read_again(store, stored)
    if turn is None:
        raise too_late(turn_id)
    return turn


async def read_again(store: Store, stored: turns.StoredTurn) -> Turn | None:
    """The turn with its log; None where the log is not whole: its process died, or the store was
    full when it ended."""
    try:
        events = await store.read(turns.read_log, stored.id)
    except DecodeError as exc:
        _log.error("the log of turn %s cannot be read: %s", stored.id, exc)
        return None
    if not events or not isinstance(events[-1], TERMINAL):
        return None
    turn = _without_log(stored)
    turn.publish(events)
    return turn


async def find_earlier(store: Store, turn_id: str) -> Turn | None:
    """The turn with its log, whoever's it is; None where there is nothing left to read.

    One that broke off with its process, or that failed in a full store, failed: it may be asked
    again. Raises Conflict for one that runs, since it does not run here.
    """
    stored = await store.read(turns.find_turn, turn_id)
    if stored is None or (turn := await read_again(store, stored)) is not None:
        return turn if stored else None
    if stored.state == RUNNING:
        raise in_progress()
    if stored.state not in (FAILED, INTERRUPTED):
        return None
    turn = _without_log(stored)
    turn.emit(TurnFailed("the answer broke off", INTERRUPTED, 503))
    return turn


def not_found(turn_id: str) -> NotFound:
    """The refusal that is the same for what is not there and for what is somebody else's."""
    return NotFound(f"there is no turn {turn_id} of yours")


def too_late(turn_id: str) -> Gone:
    """The refusal where there is nothing left to read."""
    return Gone(f"turn {turn_id} cannot be read any more; ask again", "resume_window_passed")


def _without_log(stored: turns.StoredTurn) -> Turn:
    return Turn(
        stored.id,
        session_id=stored.session_id,
        model=stored.model,
        user_id=stored.user_id,
        principal_id=stored.principal_id,
        started_at=stored.started_at,
    )
