"""ChatService: carries questions out, as turns. The only place where agents are run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from chatserver_sdk._ids import new_id
from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.models import (
    ChatCompletionRequest,
    Message,
    Principal,
)
from chatserver_sdk.models.events import (
    TurnCompleted,
    TurnStarted,
)
from chatserver_sdk.storage import NotFound, Store, idempotency, sessions, turns
from chatserver_sdk.storage.idempotency import Claim, Key, KeyTaken, Taken, check_same

from . import clock, replay
from .asking import CANCEL, CONTINUE, Asked, again, check_lengths, plan, resolve
from .catalogue import Catalogue
from .errors import Gone, Unavailable
from .histories import Histories
from .idempotency import IdempotencyKeys, in_progress
from .messages import Messages
from .outcome import Outcome, answer_of, count
from .running import Running
from .settling import Settling, report
from .shares import Shares
from .shelf import Shelf
from .speaking import run_agent
from .stopping import Stopping, shutting_down
from .tally import Tally
from .turn import Turn

if TYPE_CHECKING:
    from .limits import RateLimits

_log = logging.getLogger(__name__)

# Where others take and free one key meanwhile.
_MOST_ATTEMPTS = 3
# More than are taken between two sweeps, so that what has piled up is worked off.
_KEYS_A_SWEEP = 1000
# How long an agent may take to stop; a process that ends cannot wait for one that never does.
_PATIENCE = 5.0
# Whoever cancels a turn waits no longer than that for its agent.
_CANCEL_PATIENCE = 0.75


class ChatService(Histories, Messages, Stopping, Settling):
    """Sessions and turns over one store. `close` it inside the loop it was used in.

    resume_window: as of Settings. context_size: how many messages agents see. patience: seconds
    that an agent is given to stop when the service closes; cancel_patience: when its turn is
    cancelled. on_disconnect, disconnect_grace, most_waiting: as of Settings. limits: how often
    may be asked; max_running: how many turns run at once, max_running_each: of one user's;
    longest_message: in characters; longest_turn: in seconds, 0: for ever. on_end: is told of each
    turn that has ended.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        tally: Tally | None = None,
        *,
        resume_window: float = 60.0,
        context_size: int = 200,
        patience: float = _PATIENCE,
        limits: RateLimits | None = None,
        max_running: int = 1000,
        longest_message: int = 4_000_000,
        on_end: Callable[[Turn], None] | None = None,
        cancel_patience: float = _CANCEL_PATIENCE,
        on_disconnect: str = CONTINUE,
        disconnect_grace: float = 5.0,
        most_waiting: int = 0,
        max_running_each: int = 100,
        longest_turn: float = 3600.0,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._tally = tally or Tally(store)
        self._context_size = context_size
        self._patience = patience
        self._on_end = on_end
        self._cancel_patience = cancel_patience
        self._on_disconnect = on_disconnect
        self._disconnect_grace = disconnect_grace
        self._running = Running(most_waiting)
        self._shares = Shares(max_running_each)
        self._longest_turn = longest_turn
        self._ends: dict[Turn, Callable[[Outcome], Awaitable[None]]] = {}
        self._tasks: dict[Turn, asyncio.Task[None]] = {}
        self._shelf = Shelf(resume_window, self._let_go)
        self._keys = IdempotencyKeys()
        self._unstored: dict[str, turns.TurnEnd] = {}
        self._hiding = asyncio.Lock()
        self._closing = False
        self._limits = limits
        self._max_running = max_running
        self._longest_message = longest_message

    async def start(self) -> None:
        """Settle what a process that died has left behind."""
        await self._store.write(turns.interrupt_running, clock.now())
        await self._purge()
        await self._sweep()

    async def ask(
        self, request: ChatCompletionRequest, principal: Principal, key: Key | None = None
    ) -> Turn:
        """Begin a turn; its question is stored when this returns.

        key: the turn that was begun with it before is given again, unless that failed (>= 500).
        Raises the engine's errors, Gone where that turn is no longer known, and the store's:
        NotFound for another user's session, Conflict while one of the session's turns runs and
        for a key of another request.
        """
        if self._closing:
            raise shutting_down()
        asked = resolve(request, principal, self._catalogue.find(request.model))
        if asked.user_id is None and asked.names_session:
            await self._check_nobodys(asked.session_id)
        return await self._carry_out(asked, key)

    async def _carry_out(self, asked: Asked, key: Key | None) -> Turn:
        if self._closing:
            raise shutting_down()
        check_lengths(asked.request, self._longest_message)
        self._check_room(asked)
        if key is None:
            return await self._begin(asked)
        async with self._keys.alone(key):
            if self._keys.is_time_to_sweep():
                await self._sweep()
            return await self._ask_once(asked, key)

    def _check_room(self, asked: Asked) -> None:
        """Raises Unavailable and RateLimited where too much is asked at the moment."""
        if len(self._tasks) >= self._max_running:
            raise Unavailable(
                "too many answers are being given; try again in a moment",
                "too_many_turns",
                retry_after=1,
            )
        self._shares.check(asked.principal)
        if self._limits is not None:
            # Each asker's own count: whose session it is, is known later.
            place = f"{asked.user_id or asked.principal.id} {asked.session_id}"
            self._limits.check_question(asked.user_id, place if asked.names_session else None)

    async def _ask_once(self, asked: Asked, key: Key) -> Turn:
        claim = Claim(key)
        for _ in range(_MOST_ATTEMPTS):
            try:
                return await self._begin(asked, claim)
            except KeyTaken as taken:
                earlier = taken.earlier
            turn = await self._find_earlier(earlier.turn_id or "")
            if turn is not None and not turn.may_be_read_by(asked.principal):
                raise replay.not_found(turn.id)
            if turn is None or not turn.may_be_repeated:
                return self._again(turn, earlier, key)
            is_same = earlier.body_hash == key.body_hash
            claim = Claim(key, turn.id, is_same)
            asked = again(asked, turn) if is_same else asked
        raise in_progress()

    async def _find_earlier(self, turn_id: str) -> Turn | None:
        return self._shelf.find(turn_id) or await replay.find_earlier(self._store, turn_id)

    def _again(self, turn: Turn | None, earlier: Taken, key: Key) -> Turn:
        check_same(earlier, key)
        if turn is None:
            raise Gone(
                "this idempotency key was used, and its answer is not kept any longer;"
                " take a new key to ask again",
                "idempotent_answer_gone",
            )
        return self._shelf.put(turn)

    async def _begin(self, asked: Asked, claim: Claim | None = None) -> Turn:
        turn = Turn(
            new_id(),
            session_id=asked.session_id,
            model=asked.request.model,
            user_id=asked.user_id,
            principal_id=asked.principal.id,
        )
        turn.stops_unread = (asked.on_disconnect or self._on_disconnect) == CANCEL
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shares.take(turn, asked.principal)
        # In a task of its own from the first write on: a caller that is cancelled in between
        # must not leave a turn behind that runs for ever.
        self._tasks[turn] = asyncio.create_task(self._conduct(turn, asked, begun, claim))
        self._tasks[turn].add_done_callback(lambda task: self._forget(turn, task, begun))
        try:
            if turn.is_stored:
                await self._running.opening(turn.session_id, begun)
            else:
                await begun
        except asyncio.CancelledError:
            if not turn.is_stored:
                self._stop(turn)
            raise
        return turn

    async def cancel(self, turn: Turn) -> None:
        """Stop a turn; when this returns it has ended."""
        if turn in self._tasks:
            self._stop(turn)
            await turn.end()

    def release(self, turn: Turn) -> None:
        """Its one reader has had all of it: without a history or a key nobody can ask for it."""
        if not turn.is_stored and turn.key is None:
            self._shelf.release(turn)

    async def get_turn(self, turn_id: str, principal: Principal) -> Turn:
        """A turn to read again: one that runs, has just ended, or is in the store.

        Raises NotFound, also for somebody else's, and Gone where its log is not kept any longer.
        """
        turn = self._shelf.find(turn_id)
        if turn is None:
            if self._shelf.asker_of_gone(turn_id) == principal.id:
                raise replay.too_late(turn_id)
            turn = self._shelf.put(await replay.get_turn(self._store, turn_id, principal))
        if not turn.may_be_read_by(principal):
            raise replay.not_found(turn_id)
        if turn.principal_id != principal.id:
            about = (turn.session_id, turn.user_id)
            await self.note_reading(principal, *about, turn_id=turn.id)
        return turn

    @property
    def running_turns(self) -> int:
        """How many turns run now."""
        return len(self._tasks)

    @property
    def readers(self) -> int:
        """How many read turns now."""
        return self._shelf.readers

    @property
    def is_closing(self) -> bool:
        """Whether nothing new is begun."""
        return self._closing

    def begin_closing(self) -> None:
        """Begin nothing new from now on; close() does the rest."""
        self._closing = True

    def interrupt(self) -> None:
        """Stop every turn; each is stored as far as it came."""
        for turn in list(self._tasks):
            self._stop(turn)

    async def close(self, grace: float = 0.0) -> None:
        """Begin nothing new; give running turns some seconds, then interrupt them.

        An agent that does not stop even then is left behind.
        """
        self._closing = True
        if self._tasks and grace > 0:
            await asyncio.wait(list(self._tasks.values()), timeout=grace)
        self.interrupt()
        await self._wait_for_ends()
        self._shelf.close()
        await self._tally.close()
        try:
            await self._store_late()
        except Exception as exc:
            report(exc, f"{len(self._unstored)} turns could not be stored as ended")

    async def _wait_for_ends(self) -> None:
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=self._patience)
        for turn in self._tasks:
            if not turn.is_ending:
                _log.error("turn %s did not end: its agent (%s) does not stop", turn.id, turn.model)
        # The store has bounds of its own, and an answer that waits for it is not to be lost.
        storing = [task for turn, task in self._tasks.items() if turn.is_ending]
        await asyncio.gather(*storing, return_exceptions=True)

    async def _check_nobodys(self, session_id: str) -> None:
        # To continue a recorded session is to act for its user, and the request names none.
        if await self._store.read(sessions.find_session, session_id) is not None:
            raise NotFound(f"there is no session {session_id} of yours; name its `user`")

    async def _end_turns(self, wanted: Callable[[Turn], bool]) -> None:
        doomed = list(filter(wanted, self._tasks))
        ends = [asyncio.ensure_future(self._ended(turn)) for turn in doomed]
        for turn in doomed:
            self._stop(turn)
        if ends:
            # An agent that does not stop is left behind, as at the end of a server.
            await asyncio.wait(ends, timeout=self._patience)
        for end in ends:
            end.cancel()
        self._shelf.forget(wanted)

    async def _conduct(
        self, turn: Turn, asked: Asked, begun: asyncio.Future[None], claim: Claim | None
    ) -> None:
        """A turn from its first write to its last."""
        try:
            context, next_index = await self._open(turn, asked, claim)
        except Exception as exc:
            # Whatever it is, it is the asker's answer.
            if not begun.cancelled():
                begun.set_exception(exc)
            return
        self._running.note(turn)
        if not begun.cancelled():
            begun.set_result(None)
        self._shelf.put(turn)
        turn.emit(TurnStarted())
        question = asked.question if context is None else replace(asked.question, messages=context)
        self._ends[turn] = partial(self._end, turn, question, next_index)
        outcome = await self._speak(turn, asked.agent, question)
        if not turn.is_ending:
            await self._end(turn, question, next_index, outcome)

    async def _speak(self, turn: Turn, agent: Agent, question: Question) -> Outcome:
        if turn.is_stopping:
            # While it was being begun.
            return self._stopped(turn)
        try:
            with self._timed(turn):
                outcome = await run_agent(turn, agent, question)
        except asyncio.CancelledError:
            return self._stopped(turn)
        # Also an agent that takes being stopped for an end like any other was stopped.
        return replace(self._stopped(turn), usage=outcome.usage) if turn.is_stopping else outcome

    async def _end(self, turn: Turn, question: Question, next_index: int, outcome: Outcome) -> None:
        turn.is_ending = True
        text = turn.text
        if outcome.usage is None:
            outcome.usage = count(question, text)
        if isinstance(outcome.event, TurnCompleted):
            outcome.event.usage = outcome.usage
        await self._settle(turn, outcome, answer_of(turn, outcome, text, next_index))

    async def _open(
        self, turn: Turn, asked: Asked, claim: Claim | None
    ) -> tuple[list[Message] | None, int]:
        """What the agent is to see besides the question, and where its answer's place is."""
        if claim is not None:
            self._keys.check_free(claim)
        if not turn.is_stored:
            await self._take_key(turn, claim)
            return None, 0
        await self._store_late()
        planned = plan(asked, turn, self._context_size, claim)
        begun = await self._store_beginning(turn, planned)
        if claim is not None:
            self._keys.forget(claim.key, claim.freed_by)
        return begun.context, begun.next_index

    async def _take_key(self, turn: Turn, claim: Claim | None) -> None:
        """Have the key stand for a turn that is not stored. Raises KeyTaken."""
        if claim is None:
            return
        # A turn with a user may have it.
        await self._store.read(idempotency.check_one_free, claim, turn.started_at)
        turn.key = claim.key
        self._keys.remember(claim.key, turn.id)

    def _let_go(self, turn: Turn) -> None:
        self._stop(turn)
        # The key of one that failed is free; once it is forgotten nobody could tell.
        if turn.key is not None and turn.may_be_repeated:
            self._keys.forget(turn.key, turn.id)

    async def _sweep(self) -> None:
        await self._store.write(idempotency.delete_expired, clock.now(), _KEYS_A_SWEEP)
