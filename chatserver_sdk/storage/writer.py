"""One thread that writes, and takes everything that waits into one transaction.

A commit costs a disk flush; a flush for fifty turns costs the same as for one.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from .errors import Refused, StoreUnavailable, Unstorable

R = TypeVar("R")

_LARGEST_BATCH = 512
_LINGER_SECONDS = 0.001


class _Waiting:
    """Where a coroutine waits: a job's future whose outcome is told with those of its batch.

    To wake an event loop costs a system call, and the loop takes the interpreter away from the
    writer; once for a batch is enough.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self._result: Any = None
        self._exception: Exception | None = None

    def set_running_or_notify_cancel(self) -> bool:
        return not self.future.cancelled()

    def set_result(self, result: Any) -> None:
        self._result = result

    def set_exception(self, exception: Exception) -> None:
        self._exception = exception

    def settle(self) -> None:
        """Tell the outcome; in the loop's own thread."""
        if self.future.cancelled():
            return
        if self._exception is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._exception)


class _Job(NamedTuple):
    work: Callable[[Connection], Any]
    future: Future[Any] | _Waiting


class _Failure(NamedTuple):
    exc: Exception
    is_a_jobs: bool


class Writer:
    """Runs jobs in the order in which they were submitted; results come after the commit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._last_size = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], R]) -> Future[R]:
        """Have work done inside a transaction; the future resolves when it is on disk."""
        future: Future[R] = Future()
        self._put(_Job(work, future))
        return future

    async def carry_out(self, work: Callable[[Connection], R]) -> R:
        """What submit() promises, for a coroutine."""
        waiting = _Waiting()
        self._put(_Job(work, waiting))
        result: R = await waiting.future
        return result

    def _put(self, job: _Job) -> None:
        with self._closing:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._jobs.put(job)

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch, is_last = self._take()
            self._commit(batch)
            _wake(batch)
            if is_last:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job; then everything else that waits already, or is about to."""
        batch: list[_Job] = []
        job = self._jobs.get()
        give_up_at = time.monotonic() + _LINGER_SECONDS
        while job is not None:
            # A caller that has gone away before its work began does not want it any more.
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
            if len(batch) >= _LARGEST_BATCH:
                break
            try:
                job = self._jobs.get(timeout=self._patience(batch, give_up_at))
            except queue.Empty:
                break
        self._last_size = len(batch)
        return batch, job is None

    def _patience(self, batch: list[_Job], give_up_at: float) -> float:
        """Seconds to wait for one more job: none, unless most of those are missing who were there
        last time. They have just been answered; a moment later they come in one batch."""
        if 2 * len(batch) >= self._last_size:
            return 0.0
        return max(0.0, give_up_at - time.monotonic())

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
        outcomes: list[tuple[Any, Refused | None]] = []
        has_begun = False
        try:
            with self._engine.begin() as connection:
                has_begun = True
                for job in batch:
                    outcomes.append(_attempt(job, connection))
        except Exception as exc:
            # A commit that failed is no job's, and may not be tried again: where the connection
            # broke, nobody knows whether it was carried out.
            is_a_jobs = has_begun and len(outcomes) < len(batch)
            return _Failure(exc, is_a_jobs and not getattr(exc, "connection_invalidated", False))
        for job, (result, refusal) in zip(batch, outcomes):
            if refusal is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(refusal)
        return None


def _attempt(job: _Job, connection: Connection) -> tuple[Any, Refused | None]:
    try:
        return job.work(connection), None
    except Refused as refusal:
        # Nothing was written, so the rest of the batch can stand.
        return None, refusal


def _wake(batch: list[_Job]) -> None:
    """Have the event loops of a batch tell its outcomes."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for job in batch:
        if isinstance(job.future, _Waiting):
            loops.setdefault(job.future.loop, []).append(job.future)
    for loop, waiting in loops.items():
        # A loop that was closed meanwhile has nobody who could still wait.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, waiting)


def _settle(waiting: list[_Waiting]) -> None:
    for each in waiting:
        each.settle()


def _refuse(jobs: list[_Job], exc: Exception) -> None:
    for job in jobs:
        job.future.set_exception(translated(exc))


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
        failure = StoreUnavailable(f"{what}: {orig or type(exc).__name__}")
        failure.__cause__ = exc
        return failure
    # PostgreSQL's own text goes on with the row that was to be written, so it is not the cause.
    reason = diagnosis.message_primary or " ".join(str(orig).split())
    return StoreUnavailable(f"{what}: {reason}")
