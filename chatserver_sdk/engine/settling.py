"""Settling: what a turn has said is stored, and then it is said that it is whole."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC

from chatserver_sdk.models import ChatMessageRecord
from chatserver_sdk.models.events import Event, MessageStored, TurnFailed, Usage
from chatserver_sdk.storage import Refused, Store, StoreUnavailable, TurnOver, turns
from chatserver_sdk.storage.session_metadata import MetadataTooLong

from . import clock
from .errors import metadata_too_long
from .outcome import Outcome, end_of
from .tally import Tally
from .transcript import choose_new
from .turn import FAILED, INTERRUPTED, Turn

_log = logging.getLogger(__name__)


class Settling(ABC):
    """What ChatService does at the end of a turn."""

    _store: Store
    _tally: Tally
    # Ends that are not known to be stored, by the ids of their turns.
    _unstored: dict[str, turns.TurnEnd]

    async def _store_beginning(self, turn: Turn, plan: turns.TurnPlan) -> turns.BegunTurn:
        """Store the question. Raises InvalidRequest, and what the store raises."""
        try:
            return await self._store.write(turns.begin, plan, choose_new)
        except MetadataTooLong as exc:
            raise metadata_too_long(exc) from exc
        except Refused:
            raise
        except BaseException as exc:
            # Nobody knows whether it was stored, and its session would be busy for ever.
            self._unstored[turn.id] = end_of(turn, _never_begun(exc))
            raise

    async def _settle(self, turn: Turn, outcome: Outcome, answer: ChatMessageRecord | None) -> None:
        """Store the answer, then say that it is whole."""
        closing: list[Event] = [Usage(outcome.cost), outcome.event]
        if answer is not None:
            closing.insert(0, MessageStored(answer))
        turn.number(closing)
        if not turn.is_stored:
            self._tally.add(clock.now(), outcome.cost)
            turn.publish(closing)
            return
        try:
            end = end_of(turn, outcome, answer, [*turn.log, *closing])
            await self._store.write(turns.finish, end)
        except Exception as exc:
            # Whatever was in the way: readers wait for an end, and so does the session.
            closing = [await self._give_up(turn, exc)]
            turn.number(closing)
        # As they were stored, with the same numbers and times.
        turn.publish(closing)

    async def _give_up(self, turn: Turn, reason: Exception) -> Event:
        sentence = f"the answer of turn {turn.id} could not be stored"
        failed = TurnFailed("the answer could not be stored", "store_unavailable", 503)
        if isinstance(reason, TurnOver):
            _log.error("%s: somebody else has ended it", sentence)
            return failed
        end = end_of(turn, Outcome(failed, FAILED))
        try:
            await self._store.write(turns.finish, end)
        except TurnOver:
            # The first attempt was carried out, though nobody was told.
            sentence += ", or is, without our knowing"
        except Exception:
            sentence += ", and neither could its end"
            # Its session would be busy for ever.
            self._unstored[turn.id] = end
        report(reason, sentence)
        return failed

    async def _store_late(self) -> None:
        """Store the ends that could not be stored before. Raises what the store raises."""
        if not (ends := list(self._unstored.values())):
            return
        await self._store.write(turns.finish_late, ends)
        for end in ends:
            # Somebody else who asks at the same moment may have been faster.
            self._unstored.pop(end.turn_id, None)


def _never_begun(reason: BaseException) -> Outcome:
    if isinstance(reason, asyncio.CancelledError):
        stopped = TurnFailed("the server was stopped before it began", "interrupted", 503)
        return Outcome(stopped, INTERRUPTED)
    lost = TurnFailed("the question could not be stored", "store_unavailable", 503)
    return Outcome(lost, FAILED)


def report(exc: Exception, sentence: str) -> None:
    """For the operator: what a database says of itself is enough, all else has a traceback."""
    if isinstance(exc, StoreUnavailable):
        _log.error("%s: %s", sentence, exc)
    else:
        _log.error(sentence, exc_info=exc)
