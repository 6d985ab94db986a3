"""The writer: many jobs in one transaction, and none of them harms another."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import StaticPool

from chatserver_sdk.storage import Conflict, Refused, StoreUnavailable
from chatserver_sdk.storage.engines import writing_engine
from chatserver_sdk.storage.location import url_of
from chatserver_sdk.storage.writer import Writer


class Table:
    """One table of numbers, its writer, and how many transactions were committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.commits = 0
        self.rollbacks = 0
        self.writer = Writer(engine)
        event.listen(engine, "commit", self._count_commit)
        event.listen(engine, "rollback", self._count_rollback)
        self.writer.submit(_create).result()
        self.commits = 0

    def insert(self, number: int) -> Future[int]:
        """Submit the job that adds a number."""
        return self.writer.submit(lambda connection: add(connection, number))

    def numbers(self) -> list[int]:
        """What is in the table, in the order in which it came."""
        return self.writer.submit(read).result()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The writer's thread is held up meanwhile, so that everything submitted waits."""
        begun, go_on = threading.Event(), threading.Event()

        def wait(connection: Connection) -> None:
            begun.set()
            go_on.wait()

        held = self.writer.submit(wait)
        begun.wait()
        try:
            yield
        finally:
            go_on.set()
            held.result()

    def _count_commit(self, connection: Connection) -> None:
        self.commits += 1

    def _count_rollback(self, connection: Connection) -> None:
        self.rollbacks += 1


def _create(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE numbers (n INTEGER NOT NULL UNIQUE)"))


def add(connection: Connection, number: int) -> int:
    """Insert a number and give it back."""
    connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
    return number


def read(connection: Connection) -> list[int]:
    """Every number."""
    place = "rowid" if connection.dialect.name == "sqlite" else "ctid"
    return list(connection.execute(text(f"SELECT n FROM numbers ORDER BY {place}")).scalars())


@pytest.fixture(params=["memory", "postgres"])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """An empty table, in memory and on a PostgreSQL server."""
    if request.param == "postgres":
        engine = writing_engine(url_of(request.getfixturevalue("empty_postgres_url")))
    else:
        options = {"check_same_thread": False}
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=options)
    table = Table(engine)
    yield table
    table.writer.close()
    engine.dispose()


def test_what_waits_is_one_transaction(table: Table) -> None:
    """A hundred jobs that wait cost one commit, and run in their order."""
    with table.busy():
        futures = [table.insert(number) for number in range(100)]

    assert [future.result() for future in futures] == list(range(100))
    assert table.commits == 2
    assert table.numbers() == list(range(100))


def test_a_batch_has_an_end(table: Table) -> None:
    """More than a batch holds goes into the next one; nothing is left over."""
    with table.busy():
        futures = [table.insert(number) for number in range(1000)]

    assert [future.result() for future in futures] == list(range(1000))
    assert table.commits == 3


def test_a_result_is_on_disk_before_it_is_known(table: Table) -> None:
    """A future is resolved after the commit, never before."""
    seen = []
    with table.busy():
        future = table.insert(1)
        future.add_done_callback(lambda _: seen.append(table.commits))

    future.result()
    assert seen == [2]


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize(
    "failure", [ValueError("mine"), RecursionError(), KeyError("x")], ids=lambda e: type(e).__name__
)
def test_a_failing_job_harms_no_other(table: Table, place: int, failure: Exception) -> None:
    """Wherever it stands, what it raises is its caller's, and the others are carried out."""

    def fail(connection: Connection) -> None:
        add(connection, 99)
        raise failure

    with table.busy():
        futures: list[Future[Any]] = [table.insert(number) for number in range(place)]
        failed = table.writer.submit(fail)
        futures += [table.insert(number) for number in range(place, 4)]

    assert [future.result() for future in futures] == [0, 1, 2, 3]
    with pytest.raises(type(failure)) as caught:
        failed.result()
    assert caught.value is failure
    assert table.numbers() == [0, 1, 2, 3]


def test_a_database_error_is_in_our_words(table: Table) -> None:
    """A constraint that does not hold is StoreUnavailable with its reason, the cause kept."""
    with table.busy():
        futures = [table.insert(number) for number in (1, 1, 2)]

    assert (futures[0].result(), futures[2].result()) == (1, 2)
    with pytest.raises(StoreUnavailable, match="(?i)unique constraint") as caught:
        futures[1].result()
    # PostgreSQL's own words go on with the row's values, which are nobody's business.
    is_sqlite = table.engine.dialect.name == "sqlite"
    assert (caught.value.__cause__ is not None) is is_sqlite
    assert caught.value.__suppress_context__ or is_sqlite or caught.value.__context__ is None


def test_a_refusal_rolls_nothing_back(table: Table) -> None:
    """A job that declines leaves the transaction of the others as it is."""

    def decline(connection: Connection) -> None:
        raise Conflict("not now", "busy")

    with table.busy():
        before, refused, after = table.insert(1), table.writer.submit(decline), table.insert(2)

    assert (before.result(), after.result()) == (1, 2)
    with pytest.raises(Refused, match="not now"):
        refused.result()
    assert (table.commits, table.rollbacks) == (2, 0)


def test_a_caller_who_has_gone_is_not_served(table: Table) -> None:
    """A job that was cancelled before it began is not carried out."""
    with table.busy():
        kept, gone = table.insert(1), table.insert(2)
        assert gone.cancel()

    assert kept.result() == 1
    with pytest.raises(CancelledError):
        gone.result()
    assert table.numbers() == [1]


def test_only_cancelled_jobs(table: Table) -> None:
    """Where nothing is left to do, nothing is done, and the writer goes on."""
    with table.busy():
        gone = [table.insert(number) for number in range(3)]
        assert all([future.cancel() for future in gone])

    assert table.numbers() == []


def test_closing_finishes_what_was_submitted(table: Table) -> None:
    """Everything submitted before is carried out, everything after is refused."""
    with table.busy():
        futures = [table.insert(number) for number in range(10)]
        closing = threading.Thread(target=table.writer.close)
        closing.start()
        assert not any([future.done() for future in futures])
    closing.join()

    assert [future.result() for future in futures] == list(range(10))
    with pytest.raises(StoreUnavailable, match="closed"):
        table.insert(11)
    table.writer.close()


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Engine]:
    """A file's engine that does not wait for locks."""
    options = {"timeout": 0, "check_same_thread": False, "isolation_level": None}
    engine = create_engine(f"sqlite:///{tmp_path}/numbers.db", connect_args=options)
    yield engine
    engine.dispose()


def test_a_locked_database_is_tried_once(impatient: Engine) -> None:
    """While another process holds the lock, all that wait fail together, not one by one."""
    tries: list[Connection] = []
    reached, go_on = threading.Event(), threading.Event()

    @event.listens_for(impatient, "begin")
    def begin(connection: Connection) -> None:
        tries.append(connection)
        if len(tries) == 2:
            reached.set()
            go_on.wait()
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    table = Table(impatient)
    with closing(sqlite3.connect(str(impatient.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        futures = [table.insert(0)]
        reached.wait()
        futures += [table.insert(number) for number in range(1, 5)]
        go_on.set()
        for future in futures:
            with pytest.raises(StoreUnavailable, match="locked"):
                future.result()
    assert len(tries) == 3
    assert (table.insert(5).result(), table.numbers()) == (5, [5])
    table.writer.close()


def test_many_threads_at_once(table: Table) -> None:
    """Jobs from many threads are all carried out, each exactly once."""
    futures: list[Future[int]] = []

    def submit(first: int) -> None:
        for number in range(first, first + 50):
            futures.append(table.insert(number))

    threads = [threading.Thread(target=submit, args=(start * 50,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(future.result() for future in futures) == list(range(400))
    assert sorted(table.numbers()) == list(range(400))
