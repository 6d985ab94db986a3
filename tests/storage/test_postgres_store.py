"""What only a store on a PostgreSQL server can meet: a server that goes away, and a password."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import psycopg
import pytest
from postgres_server import Databases
from sqlalchemy import Connection, text
from store_records import Db, planned
from test_lock import HOLDER

from chatserver_sdk.server import Settings
from chatserver_sdk.storage import StoreInUse, StoreUnavailable, sessions
from chatserver_sdk.storage.location import file_of, name_of
from chatserver_sdk.storage.lock import exclusive

PASSWORD = "chatserver:chatserver@"


@pytest.mark.parametrize("rounds", range(3))
def test_a_lost_connection_is_found_again(
    postgres: Databases, postgres_url: str, rounds: int
) -> None:
    """Where the server has ended every connection, the next call of each kind is carried out."""
    db = Db.open(postgres_url)
    for place in range(rounds):
        db.converse(planned(f"before {place}"))
        db.read(sessions.count_sessions, "ada")
    postgres.disconnect(postgres_url)

    db.converse(planned("after"))
    postgres.disconnect(postgres_url)

    assert db.read(sessions.count_sessions, "ada") == rounds + 1
    db.close()


def test_a_connection_that_breaks_in_the_middle(postgres: Databases, postgres_url: str) -> None:
    """What runs at that moment fails with a sentence and leaves nothing; what follows is done."""
    db = Db.open(postgres_url)
    plan = planned("lost")

    def breaking(connection: object) -> None:
        sessions.insert_session(connection, plan.session)  # type: ignore[arg-type]
        postgres.disconnect(postgres_url)
        sessions.find_session(connection, plan.session.id)  # type: ignore[arg-type]

    for call in (db.read, db.write):
        with pytest.raises(StoreUnavailable, match="terminating connection") as caught:
            call(breaking if call == db.write else lambda c: breaking_read(postgres, c, db))
        assert "\n" not in str(caught.value) and "chatserver:" not in str(caught.value)
    assert db.read(sessions.count_sessions, "ada") == 0
    db.converse(planned("kept"))
    assert db.read(sessions.count_sessions, "ada") == 1
    db.close()


def test_a_server_that_takes_nobody(postgres: Databases, postgres_url: str) -> None:
    """While it cannot be reached both ways in say so, at once for all that wait; then they go on."""
    db = Db.open(postgres_url)
    db.converse(planned("before"))
    postgres.close_doors(postgres_url, closed=True)
    postgres.disconnect(postgres_url)

    for call in (db.read, db.write):
        with pytest.raises(StoreUnavailable, match="not currently accepting") as caught:
            call(sessions.count_sessions, "ada")
        assert "\n" not in str(caught.value) and "chatserver@" not in str(caught.value)
    with pytest.raises(StoreUnavailable, match="not currently accepting"):
        Db.open(postgres_url)
    postgres.close_doors(postgres_url, closed=False)

    db.converse(planned("after"))
    assert db.read(sessions.count_sessions, "ada") == 2
    db.close()


def test_all_that_wait_fail_together(postgres: Databases, postgres_url: str) -> None:
    """A connection that breaks under a batch fails all of it: nobody knows what was committed."""
    db = Db.open(postgres_url)
    held, go_on = threading.Event(), threading.Event()

    def wait(connection: object) -> None:
        held.set()
        go_on.wait()

    first = db.store._writer.submit(wait)
    held.wait()
    count = lambda c: sessions.count_sessions(c, "ada")  # noqa: E731
    cut = db.store._writer.submit(lambda _: postgres.disconnect(postgres_url))
    rest = [db.store._writer.submit(count) for _ in range(5)]
    go_on.set()
    first.result()
    for future in (cut, *rest):
        with pytest.raises(StoreUnavailable):
            future.result()
    assert db.write(sessions.count_sessions, "ada") == 0
    db.close()


def breaking_read(postgres: Databases, connection: object, db: Db) -> None:
    """A verb whose connection ends between two of its statements."""
    sessions.count_sessions(connection, "ada")  # type: ignore[arg-type]
    postgres.disconnect(str(connection.engine.url.database))  # type: ignore[attr-defined]
    sessions.count_sessions(connection, "ada")  # type: ignore[arg-type]


def test_a_reader_cannot_write(postgres_url: str) -> None:
    """The database itself refuses it."""
    db = Db.open(postgres_url)
    with pytest.raises(StoreUnavailable, match="read-only"):
        db.read(sessions.see_users, [("ada", planned("x").now, 0)])
    db.close()


def test_what_is_wrong_is_said_without_the_row(postgres_url: str) -> None:
    """PostgreSQL adds the values of the row to its error; we do not."""
    db = Db.open(postgres_url)
    plan = planned("x")
    db.ask(plan)
    with pytest.raises(StoreUnavailable, match="violates unique") as caught:
        db.write(lambda connection: sessions.insert_session(connection, plan.session))
    chain: list[BaseException | None] = [caught.value]
    while (last := chain[-1]) is not None:
        chain.append(last.__cause__ or (None if last.__suppress_context__ else last.__context__))
    assert plan.session.id not in str(chain)
    db.close()


def test_only_utf8(postgres: Databases, empty_postgres_url: str) -> None:
    """A database that cannot hold every character is refused, and says what to do."""
    db = Db.open(empty_postgres_url)
    db.write(
        lambda c: c.execute(
            text("UPDATE pg_database SET encoding = 0 WHERE datname = current_database()")
        ).rowcount
    )
    db.close()
    with pytest.raises(StoreUnavailable, match="SQL_ASCII.*ENCODING 'UTF8'"):
        Db.open(empty_postgres_url)


def test_a_locked_table_is_waited_for_once(postgres_url: str) -> None:
    """While others hold a table, all that wait fail together, not one after the other."""
    db = Db.open(postgres_url)
    tries: list[int] = []
    batch_is_held, go_on = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        batch_is_held.set()
        go_on.wait()

    def work(connection: Connection, number: int) -> None:
        tries.append(number)
        connection.execute(text("SET LOCAL lock_timeout = 100"))
        connection.execute(text("UPDATE sessions SET title = 'x'"))

    async def all_at_once() -> list[BaseException]:
        holding = asyncio.ensure_future(db.store.write(hold))
        await asyncio.to_thread(batch_is_held.wait)
        writing = [asyncio.ensure_future(db.store.write(work, number)) for number in range(5)]
        # The writer takes what waits when it has done what it holds.
        await asyncio.sleep(0)
        go_on.set()
        await holding
        return [one for one in await asyncio.gather(*writing, return_exceptions=True) if one]

    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")
        failures = asyncio.run(all_at_once())
    assert [str(one) for one in failures] == [
        "the database failed: canceling statement due to lock timeout"
    ] * 5
    assert tries == [0]
    db.converse(planned("afterwards"))
    db.close()


def test_a_password_is_shown_nowhere(postgres_url: str) -> None:
    """Not in a wrong password's error, in settings, or in the name of a store."""
    wrong = postgres_url.replace(PASSWORD, "chatserver:hush-hush@")
    for location in (wrong, f"{wrong}?password=hush-hush"):
        with pytest.raises(StoreUnavailable, match="authentication failed") as caught:
            Db.open(location)
        with pytest.raises(StoreUnavailable) as again, exclusive(location):
            raise AssertionError("it was locked")
        said = f"{caught.value} {again.value} {name_of(location)} {Settings(db=location)}"
        assert "hush" not in said and "127.0.0.1" in said and "\n" not in said
        assert file_of(location) is None
    assert "hush" not in name_of("postgresql://u:hush@h@st/x")


def test_one_server_at_a_time(postgres_url: str) -> None:
    """Who has the database keeps others off, also another process, until it ends in whatever way."""
    with exclusive(postgres_url):
        Db.open(postgres_url).close()
        with pytest.raises(StoreUnavailable, match="in use by another") as caught:
            with exclusive(postgres_url.replace("postgresql:", "postgresql+psycopg:")):
                raise AssertionError("it was locked")
        assert "chatserver:" not in str(caught.value)
    command = [sys.executable, "-c", HOLDER, postgres_url]
    pipes = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipes, stdout=pipes, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(StoreUnavailable, match="in use by another"):
            with exclusive(postgres_url):
                raise AssertionError("it was locked")
        other.kill()
        other.wait()
    with exclusive(postgres_url):
        pass


def test_schemas_are_stores_of_their_own(postgres_url: str) -> None:
    """Two servers may share a database, each with its own schema."""
    db = Db.open(postgres_url)
    db.write(lambda connection: connection.execute(text("CREATE SCHEMA other")).rowcount)
    db.converse(planned("here"))
    elsewhere = f"{postgres_url}?options=-csearch_path%3Dother"
    with exclusive(postgres_url), exclusive(elsewhere):
        other = Db.open(elsewhere)
        other.converse(planned("there"))
        totals = [one.read(sessions.count_sessions, "ada") for one in (db, other)]
    other.close()
    db.close()
    assert totals == [1, 1]


def test_the_lock_of_a_broken_connection(postgres: Databases, postgres_url: str) -> None:
    """The block ends as it would have without."""
    with exclusive(postgres_url):
        postgres.disconnect(postgres_url)


def test_a_lost_lock_is_taken_again(postgres: Databases, postgres_url: str) -> None:
    """Whoever looks in time has it again; nobody else gets it then."""
    with exclusive(postgres_url) as hold:
        hold.look()
        postgres.disconnect(postgres_url)
        hold.look()
        with pytest.raises(StoreInUse), exclusive(postgres_url):
            raise AssertionError("it was locked")
        postgres.disconnect(postgres_url)
        postgres.close_doors(postgres_url, closed=True)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="not currently accepting") as caught:
                hold.look()
            assert not isinstance(caught.value, StoreInUse)
        postgres.close_doors(postgres_url, closed=False)
        hold.look()
        with pytest.raises(StoreInUse), exclusive(postgres_url):
            raise AssertionError("it was locked")


def test_a_lost_lock_that_another_has(postgres: Databases, postgres_url: str) -> None:
    """Who looks is told, each time; and has it again when the other one has ended."""
    with exclusive(postgres_url) as hold:
        postgres.disconnect(postgres_url)
        with exclusive(postgres_url):
            for _ in range(2):
                with pytest.raises(StoreInUse, match="in use by another"):
                    hold.look()
        hold.look()
