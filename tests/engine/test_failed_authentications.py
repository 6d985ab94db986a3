"""Failed authentications in the audit log: seen, summed, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chatserver_sdk.engine import FailedAuthentications
from chatserver_sdk.storage import Store, audit, open_store

MINUTE = 60.0
BEGIN = 1_800_000_000.0


def recorded(work: Callable[[FailedAuthentications, Store], Awaitable[Any]], most: int = 3) -> Any:
    """What the audit log says in the end: source, count, minute."""

    async def run(store: Store) -> Any:
        failures = FailedAuthentications(store, most)
        await work(failures, store)
        await failures.close()
        entries = await store.read(audit.list_entries, limit=1000)
        assert {entry.action for entry in entries} <= {"auth.failed"}
        return [
            (entry.resource_id, entry.metadata["count"], entry.metadata["minute"])
            for entry in reversed(entries)
        ]

    store = open_store(":memory:")
    try:
        return asyncio.run(run(store))
    finally:
        store.close()


def test_one_entry_for_a_minute() -> None:
    """However many they were; a source in two minutes has two entries."""

    async def work(failures: FailedAuthentications, store: Store) -> None:
        for number in range(1000):
            failures.note("10.0.0.1", BEGIN + number / 100)
        failures.note("10.0.0.1", BEGIN + MINUTE)
        failures.note("10.0.0.2", BEGIN + MINUTE + 59)

    assert recorded(work) == [
        ("10.0.0.1", 1000, "2027-01-15T08:00:00+00:00"),
        ("10.0.0.1", 1, "2027-01-15T08:01:00+00:00"),
        ("10.0.0.2", 1, "2027-01-15T08:01:00+00:00"),
    ]


def test_more_sources_than_are_told_apart() -> None:
    """The rest of them is one entry; nothing that was counted is lost."""

    async def work(failures: FailedAuthentications, store: Store) -> None:
        for number in range(500):
            failures.note(f"10.0.{number // 250}.{number % 250}", BEGIN)

    found = recorded(work)
    assert [count for _, count, _ in found] == [1, 1, 1, 497]
    assert found[-1][0] == "others"


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("127.0.0.1", "127.0.0.1"),
        ("unknown", "unknown"),
        ("x" * 500, "x" * 64),
    ],
)
def test_how_sources_are_written(source: str, written: str) -> None:
    """Of IPv6 the network, of which one customer has all addresses."""

    async def work(failures: FailedAuthentications, store: Store) -> None:
        failures.note(source)

    ((found, _, _),) = recorded(work)
    assert found == written


def test_nothing_failed() -> None:
    """Nothing is written then."""

    async def work(failures: FailedAuthentications, store: Store) -> None:
        return None

    assert recorded(work) == []


def test_a_minute_ends_by_itself() -> None:
    """Nobody has to fail again for the last minute to be written."""

    async def work(failures: FailedAuthentications, store: Store) -> None:
        # So near to its end that the timer runs out at once.
        failures.note("10.0.0.1", BEGIN + 59.9999)
        while not await store.read(audit.list_entries, limit=1):
            pass

    assert len(recorded(work)) == 1


def test_a_store_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """The operator is told, the next minute takes it along, and what waits is bounded."""

    async def work() -> tuple[int, int]:
        store = open_store(":memory:")
        store.close()
        failures = FailedAuthentications(store, 1000)
        for minute in range(20):
            for number in range(200):
                failures.note(f"10.0.0.{number}", BEGIN + minute * MINUTE)
            await asyncio.sleep(0)
        await failures.close()
        return len(failures._waiting), sum(failures._waiting.values())

    waiting, count = asyncio.run(work())
    assert waiting <= 1001 and count == 4000
    assert "could not be recorded yet" in caplog.text
