"""ChatService: carries questions out, as turns. The only place where agents are run."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from uuid import uuid4

from chatserver_sdk.agents import Agent, Question
from chatserver_sdk.models import (
    ChatCompletionRequest,
    ChatMessageRecord,
    ChatSessionDetailResponse,
    ChatSessionListResponse,
    Message,
    MessageRole,
    Principal,
    UsageInfo,
)
from chatserver_sdk.models.events import (
    TERMINAL,
    Event,
    MessageStored,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
    encode_event,
)
from chatserver_sdk.storage import NotFound, Store, sessions, turns

from .asking import Asked, plan, resolve
from .catalogue import Catalogue
from .errors import Forbidden, ShuttingDown
from .transcript import choose_new
from .turn import CANCELLED, COMPLETED, FAILED, RUNNING, STATE_AFTER, Turn

_log = logging.getLogger(__name__)

# An agent that never waits would keep the loop to itself, and the interpreter's lock: a thread
# that waits for the lock, as the store's does, wins it in a pause and hardly ever in a mere yield.
_EVENTS_PER_SLICE = 32
_EVENTS_PER_PAUSE = 1024
_PAUSE = 0.001
_LONGEST_ANSWER = 8_000_000


@dataclass
class _Outcome:
    """How an agent's work ended: the event that says so, and the state that is stored."""

    event: Event
    state: str
    usage: UsageInfo | None = None


class ChatService:
    """Sessions and turns over one store. `close` it inside the loop it was used in."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        *,
        resume_window: float = 60.0,
        context_size: int = 200,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._resume_window = resume_window
        self._context_size = context_size
        self._tasks: dict[Turn, asyncio.Task[None]] = {}
        self._orphans: dict[Turn, asyncio.TimerHandle] = {}
        self._closing = False

    async def start(self) -> None:
        """Settle what a process that died has left behind."""
        await self._store.write(turns.interrupt_running, _now())

    async def ask(self, request: ChatCompletionRequest, principal: Principal) -> Turn:
        """Begin a turn; its question is stored when this returns.

        Raises the engine's errors, and the store's: NotFound for another user's session, Conflict
        while one of the session's turns runs.
        """
        if self._closing:
            raise _shutting_down()
        asked = resolve(request, principal, self._catalogue.find(request.model))
        if asked.user_id is None and asked.names_session:
            await self._check_nobodys(asked.session_id)
        turn = Turn(
            str(uuid4()),
            session_id=asked.session_id,
            model=request.model,
            user_id=asked.user_id,
        )
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # In a task of its own from the first write on: a caller that is cancelled in between
        # must not leave a turn behind that runs for ever.
        self._tasks[turn] = asyncio.create_task(self._conduct(turn, asked, begun))
        self._tasks[turn].add_done_callback(lambda _: self._forget(turn, begun))
        try:
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

    @contextmanager
    def reading(self, turn: Turn) -> Iterator[None]:
        """While somebody reads. A turn that is nobody's history ends some time after the last."""
        turn.readers += 1
        self._keep(turn)
        try:
            yield
        finally:
            turn.readers -= 1
            if turn.readers == 0 and not turn.is_stored and turn.state == RUNNING:
                loop = asyncio.get_running_loop()
                self._orphans[turn] = loop.call_later(self._resume_window, self._stop, turn)

    async def list_sessions(
        self, principal: Principal, user_id: str, *, page: int, page_size: int
    ) -> ChatSessionListResponse:
        """A page of a user's sessions, the latest first."""
        self._check_may_read(principal, user_id)
        found, total = await self._store.read(
            sessions.list_sessions, user_id, page=page, page_size=page_size
        )
        return ChatSessionListResponse(found, total, page, page_size, page * page_size < total)

    async def get_session(
        self, principal: Principal, session_id: str, user_id: str
    ) -> ChatSessionDetailResponse:
        """A user's session with its transcript. Raises NotFound, also for somebody else's."""
        self._check_may_read(principal, user_id)
        return await self._store.read(sessions.get_session, session_id, user_id)

    def interrupt(self) -> None:
        """Stop every turn; each is stored as far as it came."""
        for turn in list(self._tasks):
            self._stop(turn)

    async def close(self, grace: float = 0.0) -> None:
        """Begin nothing new; give running turns some seconds, then interrupt them."""
        self._closing = True
        if self._tasks and grace > 0:
            await asyncio.wait(list(self._tasks.values()), timeout=grace)
        running = list(self._tasks.values())
        self.interrupt()
        await asyncio.gather(*running, return_exceptions=True)

    def _check_may_read(self, principal: Principal, user_id: str) -> None:
        if not principal.may_act_for(user_id):
            raise Forbidden("this API key may not read another user's history", "wrong_user")

    async def _check_nobodys(self, session_id: str) -> None:
        # To continue a recorded session is to act for its user, and the request names none.
        if await self._store.read(sessions.find_session, session_id) is not None:
            raise NotFound(f"there is no session {session_id} of yours; name its `user`")

    def _keep(self, turn: Turn) -> None:
        if (timer := self._orphans.pop(turn, None)) is not None:
            timer.cancel()

    def _forget(self, turn: Turn, begun: asyncio.Future[None]) -> None:
        del self._tasks[turn]
        self._keep(turn)
        # Stopped before it could begin: whoever asked still waits for an answer.
        if not begun.done():
            begun.set_exception(_shutting_down())

    def _stop(self, turn: Turn) -> None:
        # Once the agent is done, the storing of what it said is not to be torn apart.
        if not turn.is_ending and (task := self._tasks.get(turn)) is not None:
            task.cancel()

    async def _conduct(self, turn: Turn, asked: Asked, begun: asyncio.Future[None]) -> None:
        """A turn from its first write to its last."""
        try:
            context, next_index = await self._open(turn, asked)
        except Exception as exc:
            # Whatever it is, it is the asker's answer.
            if not begun.cancelled():
                begun.set_exception(exc)
            return
        if not begun.cancelled():
            begun.set_result(None)
        turn.emit(TurnStarted())
        question = replace(asked.question, messages=context)
        outcome = await self._run_agent(turn, asked.agent, question)
        turn.is_ending = True
        outcome.usage = outcome.usage or _count(question, turn.text)
        if isinstance(outcome.event, TurnCompleted):
            outcome.event.usage = outcome.usage
        await self._settle(turn, outcome, next_index)

    async def _open(self, turn: Turn, asked: Asked) -> tuple[list[Message], int]:
        if not turn.is_stored:
            return list(asked.request.messages), 0
        planned = plan(asked, turn.id, self._context_size)
        begun = await self._store.write(turns.begin, planned, choose_new)
        return begun.context, begun.next_index

    async def _run_agent(self, turn: Turn, agent: Agent, question: Question) -> _Outcome:
        """Let the agent speak; how it ended, whatever it does."""
        try:
            async with aclosing(agent.answer(question)) as saying:
                return await self._listen(turn, saying)
        except asyncio.CancelledError:
            if self._closing:
                message = "the server was stopped before the answer was whole"
                return _Outcome(TurnFailed(message, "interrupted", 503), "interrupted")
            return _Outcome(TurnCancelled(), CANCELLED)
        except (Exception, SystemExit):
            # An agent is anybody's code: what it raises ends its turn and nothing else.
            _log.exception("agent %s failed in turn %s", agent.name, turn.id)
            return _Outcome(TurnFailed("the agent failed; its answer ends here"), FAILED)

    async def _listen(self, turn: Turn, saying: AsyncIterator[str | Event]) -> _Outcome:
        usage: UsageInfo | None = None
        length = 0
        async for said in saying:
            event = _event(said)
            if isinstance(event, Usage):
                usage = event.usage
                continue
            if isinstance(event, TERMINAL):
                usage = usage or getattr(event, "usage", None)
                return _Outcome(event, STATE_AFTER[type(event)], usage)
            length += len(event.text) if isinstance(event, TextDelta) else 0
            if length > _LONGEST_ANSWER:
                return _Outcome(TurnFailed("the answer is too long", "answer_too_long"), FAILED)
            turn.emit(event)
            if event.seq % _EVENTS_PER_SLICE == 0:
                await asyncio.sleep(0 if event.seq % _EVENTS_PER_PAUSE else _PAUSE)
        return _Outcome(TurnCompleted(), COMPLETED, usage)

    async def _settle(self, turn: Turn, outcome: _Outcome, next_index: int) -> None:
        """Store the answer, then say that it is whole."""
        answer = _answer(turn, outcome, next_index)
        closing: list[Event] = [Usage(outcome.usage or UsageInfo()), outcome.event]
        if answer is not None:
            closing.insert(0, MessageStored(answer))
        turn.number(closing)
        try:
            await self._store.write(turns.finish, _end(turn, outcome, answer, closing))
        except Exception:
            # Whatever was in the way: readers wait for an end, and so does the session.
            _log.exception("the answer of turn %s could not be stored", turn.id)
            closing = [await self._give_up(turn)]
            turn.number(closing)
        # As they were stored, with the same numbers and times.
        turn.publish(closing)

    async def _give_up(self, turn: Turn) -> Event:
        failed = TurnFailed("the answer could not be stored", "store_unavailable", 503)
        end = replace(_end(turn, _Outcome(failed, FAILED), None, []), events=[])
        try:
            await self._store.write(turns.finish, end)
        except Exception:
            _log.exception("the end of turn %s could not be stored either", turn.id)
        return failed


def _event(said: str | Event) -> Event:
    """What an agent said. Raises what there is to say against writing it as JSON."""
    # A copy: an agent may say one object in many turns, and each turn numbers its own.
    event = TextDelta(said) if isinstance(said, str) else copy(said)
    if not isinstance(event, TextDelta):
        json.dumps(encode_event(event), ensure_ascii=False, allow_nan=False).encode()
        return event
    try:
        event.text.encode()
    except UnicodeEncodeError:
        # Half an emoji, as some upstream servers cut their pieces: the rest of the text is good.
        event.text = event.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return event


def _answer(turn: Turn, outcome: _Outcome, next_index: int) -> ChatMessageRecord | None:
    """What is to stand in the history: nothing of a turn that failed, its question can be asked
    again; what had been said of one that was stopped."""
    is_said = outcome.state == COMPLETED or (outcome.state == CANCELLED and turn.text)
    if not turn.is_stored or not is_said:
        return None
    return ChatMessageRecord(
        id=str(uuid4()),
        message_index=next_index,
        role=MessageRole.ASSISTANT,
        created_at=_now(),
        content=turn.text,
        metadata={"turn_id": turn.id, "finish_reason": _finish_reason(outcome)},
        tokens=outcome.usage.completion_tokens if outcome.usage else None,
        session_id=turn.session_id,
    )


def _end(
    turn: Turn, outcome: _Outcome, answer: ChatMessageRecord | None, closing: list[Event]
) -> turns.TurnEnd:
    failed = outcome.event if isinstance(outcome.event, TurnFailed) else None
    return turns.TurnEnd(
        turn_id=turn.id,
        session_id=turn.session_id if turn.is_stored else None,
        state=outcome.state,
        now=_now(),
        finish_reason=_finish_reason(outcome),
        error_code=failed.code if failed else None,
        error_message=failed.message if failed else None,
        usage=outcome.usage or UsageInfo(),
        answer=answer,
        events=[encode_event(event) for event in (*turn.log, *closing)] if turn.is_stored else [],
    )


def _finish_reason(outcome: _Outcome) -> str:
    event = outcome.event
    return event.finish_reason if isinstance(event, TurnCompleted) else outcome.state


def _count(question: Question, answer: str) -> UsageInfo:
    """What it cost, in words: agents with a tokenizer say it themselves."""
    asked = sessions.count_words(question.system_prompt or "")
    asked += sum(sessions.count_words(message.text) for message in question.messages)
    said = sessions.count_words(answer)
    return UsageInfo(asked, said, asked + said)


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("the server is stopping; try again in a moment", "shutting_down")


def _now() -> datetime:
    return datetime.now(timezone.utc)
