"""One thread that writes, and takes everything that waits into one transaction.

A commit costs a disk flush; a flush for fifty turns costs the same as for one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from .errors import Refused, StoreError, StoreUnavailable

R = TypeVar("R")

_LARGEST_BATCH = 512


class _Job(NamedTuple):
    work: Callable[[Connection], Any]
    future: Future[Any]


class Writer:
    """Runs jobs in the order in which they were submitted; results come after the commit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self.on_commit: Callable[[float, int], None] | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], R]) -> Future[R]:
        """Have work done inside a transaction; the future resolves when it is on disk."""
        future: Future[R] = Future()
        with self._closing:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._jobs.put(_Job(work, future))
        return future

    def waiting(self) -> int:
        """How many jobs wait."""
        return self._jobs.qsize()

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
            begun = time.perf_counter()
            self._commit(batch)
            if batch and self.on_commit is not None:
                self.on_commit(time.perf_counter() - begun, len(batch))
            if is_last:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job; then everything else that waits already."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            # A caller that has gone away before its work began does not want it any more.
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
            if len(batch) >= _LARGEST_BATCH or self._jobs.empty():
                return batch, False
            job = self._jobs.get()
        return batch, True

    def _commit(self, batch: list[_Job]) -> None:
        if not batch:
            return
        has_begun = False
        try:
            with self._engine.begin() as connection:
                has_begun = True
                outcomes = [_attempt(job, connection) for job in batch]
        except Exception as exc:
            # Whatever a job raised belongs to its caller, and to no other of the batch: alone,
            # each of the others gets another chance. Not where the database is locked: each
            # would wait as long as all of them have.
            if has_begun and len(batch) > 1:
                for job in batch:
                    self._commit([job])
                return
            for job in batch:
                job.future.set_exception(translated(exc))
            return
        for job, (result, refusal) in zip(batch, outcomes):
            if refusal is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(refusal)


def _attempt(job: _Job, connection: Connection) -> tuple[Any, Refused | None]:
    try:
        return job.work(connection), None
    except Refused as refusal:
        # Nothing was written, so the rest of the batch can stand.
        return None, refusal


def translated(exc: Exception) -> Exception:
    """A database's exception in the store's words; others as they are."""
    if isinstance(exc, SQLAlchemyError) and not isinstance(exc, StoreError):
        reason = getattr(exc, "orig", None) or type(exc).__name__
        failure = StoreUnavailable(f"the database failed: {reason}")
        failure.__cause__ = exc
        return failure
    return exc
