"""One thread that writes, and takes everything that waits into one transaction.

A commit costs a disk flush; a flush for fifty turns costs the same as for one. So do many of the
statements: a verb of which much is asked has a form that does the work of many calls.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from .errors import Refused, StoreUnavailable, Unstorable

R = TypeVar("R")

_LARGEST_BATCH = 512
_LINGER_SECONDS = 0.001
# PostgreSQL's word for a lock that did not come in time.
_LOCK_NOT_AVAILABLE = "55P03"


Verb = Callable[..., Any]
# Given the arguments of each call: what each gives, or the refusal that it raises.
Together = Callable[[Connection, Sequence[Any]], Sequence[Any]]


class _Job(NamedTuple):
    verb: Verb
    args: tuple[Any, ...]
    future: Future[Any] | asyncio.Future[Any]


class _Outcome(NamedTuple):
    future: Future[Any] | asyncio.Future[Any]
    result: Any
    failure: Exception | None = None


class _Failure(NamedTuple):
    exc: Exception
    is_a_jobs: bool


class Writer:
    """Runs jobs in the order in which they were submitted; results come after the commit.

    together: verbs that have a form for many calls. Of those that wait side by side, all calls of
    the first of these verbs are carried out before those of the next.
    """

    def __init__(self, engine: Engine, together: Mapping[Verb, Together] | None = None) -> None:
        self._engine = engine
        self._together = dict(together or {})
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        # How many jobs are worth waking the writer for; while it works, none are.
        self._worth: float = math.inf
        self._closed = False
        self._last_size = 0
        self.on_commit: Callable[[float, int], None] | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], R]) -> Future[R]:
        """Have work done inside a transaction; the future resolves when it is on disk."""
        future: Future[R] = Future()
        self._put(_Job(work, (), future))
        return future

    def call(self, verb: Callable[..., R], *args: Any) -> asyncio.Future[R]:
        """The same for a verb and its arguments, for those who wait in a loop."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._put(_Job(verb, args, future))
        return future

    def _put(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._jobs.append(job)
            if len(self._jobs) >= self._worth:
                self._changed.notify()

    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch, is_last = self._take()
            begun = time.perf_counter()
            self._commit(batch)
            if batch and self.on_commit is not None:
                self.on_commit(time.perf_counter() - begun, len(batch))
            if is_last:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job; then everything else that waits already, or is about to."""
        with self._changed:
            self._wait(1, None)
            # Those who were there last time have just been answered, and come back in one batch.
            self._wait(self._last_size / 2, _LINGER_SECONDS)
            self._worth = math.inf
            taken, self._jobs = self._jobs[:_LARGEST_BATCH], self._jobs[_LARGEST_BATCH:]
            is_last = self._closed and not self._jobs
        self._last_size = len(taken)
        # A caller that has gone away before its work began does not want it any more.
        return [job for job in taken if _is_wanted(job.future)], is_last

    def _wait(self, count: float, seconds: float | None) -> None:
        self._worth = count
        self._changed.wait_for(lambda: len(self._jobs) >= count or self._closed, seconds)

    def _commit(self, batch: list[_Job]) -> None:
        """Run the jobs in one transaction; where one of them fails, each in one of its own."""
        if not batch:
            return
        failure = self._try(batch)
        if failure is not None and failure.is_a_jobs and len(batch) > 1:
            # Whatever a job raised belongs to its caller, and to no other of the batch: alone,
            # each of the others gets another chance.
            self._run_alone(batch)
        elif failure is not None:
            _refuse(batch, failure.exc)

    def _run_alone(self, batch: list[_Job]) -> None:
        for place, job in enumerate(batch):
            failure = self._try([job])
            if failure is not None and not failure.is_a_jobs:
                # The database is locked or gone. Each of the others would wait as long.
                _refuse(batch[place:], failure.exc)
                return
            if failure is not None:
                _refuse([job], failure.exc)

    def _try(self, batch: list[_Job]) -> _Failure | None:
        """One transaction. None: it is on disk, and everybody was told."""
        outcomes: list[_Outcome] = []
        has_begun = False
        try:
            with self._engine.begin() as connection:
                has_begun = True
                for jobs in self._runs(batch):
                    outcomes += self._carry_out(jobs, connection)
        except Exception as exc:
            # A commit that failed is no job's, and may not be tried again: where the connection
            # broke, nobody knows whether it was carried out.
            is_a_jobs = has_begun and len(outcomes) < len(batch)
            return _Failure(exc, is_a_jobs and not _is_everybodys(exc))
        _tell(outcomes)
        return None

    def _runs(self, batch: list[_Job]) -> Iterator[list[_Job]]:
        """The jobs in groups: those that can be done together, and the others one by one."""
        for can_be, jobs in groupby(batch, lambda job: job.verb in self._together):
            if can_be:
                waiting = list(jobs)
                runs = ([job for job in waiting if job.verb is verb] for verb in self._together)
                yield from filter(None, runs)
            else:
                yield from ([job] for job in jobs)

    def _carry_out(self, jobs: list[_Job], connection: Connection) -> list[_Outcome]:
        together = self._together.get(jobs[0].verb)
        if together is None:
            return [_attempt(job, connection) for job in jobs]
        given = together(connection, [job.args for job in jobs])
        return [
            (
                _Outcome(job.future, None, result)
                if isinstance(result, Refused)
                else _Outcome(job.future, result)
            )
            for job, result in zip(jobs, given)
        ]


def _attempt(job: _Job, connection: Connection) -> _Outcome:
    try:
        return _Outcome(job.future, job.verb(connection, *job.args))
    except Refused as refusal:
        # Nothing was written, so the rest of the batch can stand.
        return _Outcome(job.future, None, refusal)


def _is_everybodys(exc: Exception) -> bool:
    """Whether any other job would fare the same: the connection broke, or others hold a table."""
    if getattr(exc, "connection_invalidated", False):
        return True
    return getattr(getattr(exc, "orig", None), "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _is_wanted(future: Future[Any] | asyncio.Future[Any]) -> bool:
    if isinstance(future, asyncio.Future):
        return not future.cancelled()
    return future.set_running_or_notify_cancel()


def _refuse(jobs: list[_Job], exc: Exception) -> None:
    _tell([_Outcome(job.future, None, translated(exc)) for job in jobs])


def _tell(outcomes: Sequence[_Outcome]) -> None:
    """Say how it went: to each loop once, for all that wait in it."""
    waiting = defaultdict(list)
    for outcome in outcomes:
        if isinstance(outcome.future, asyncio.Future):
            waiting[outcome.future.get_loop()].append(outcome)
        else:
            _settle([outcome])
    for loop, settled in waiting.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(outcomes: Sequence[_Outcome]) -> None:
    for future, result, failure in outcomes:
        # Whoever waits in a loop may have gone away meanwhile.
        if future.done():
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def translated(exc: Exception, what: str = "the database failed") -> Exception:
    """A database's exception in the store's words; others as they are."""
    if isinstance(exc, (DataError, UnicodeEncodeError, OverflowError)):
        # Without its cause, which may repeat the value.
        return Unstorable("a text or number is longer or larger than the store can hold")
    if not isinstance(exc, SQLAlchemyError):
        return exc
    orig = getattr(exc, "orig", None)
    diagnosis = getattr(orig, "diag", None)
    if diagnosis is None:
        failure = StoreUnavailable(what, str(orig or type(exc).__name__))
        failure.__cause__ = exc
        return failure
    # PostgreSQL's own text goes on with the row that was to be written, so it is not the cause.
    reason = diagnosis.message_primary or " ".join(str(orig).split())
    return StoreUnavailable(what, reason)
