"""Failed authentications are summed: one entry for each source and minute."""

from __future__ import annotations

import asyncio
from typing import Any

from chatserver_sdk.engine.failed_keys import FailedKeys
from chatserver_sdk.storage import Store, audit, open_store
from chatserver_sdk.storage.audit import AuditFilters


def with_store(work: Any) -> Any:
    """What the work gives, with an empty store."""

    async def run() -> Any:
        store = open_store(":memory:")
        try:
            return await asyncio.wait_for(work(store), 60)
        finally:
            store.close()

    return asyncio.run(run())


async def counted(store: Store) -> dict[str | None, int]:
    """What the log says, by source."""
    filters = AuditFilters(action="auth.failed", resource="source")
    entries = await store.read(audit.list_entries, limit=200, filters=filters)
    return {entry.resource_id: entry.metadata["count"] for entry in entries}


def test_refusals_are_summed() -> None:
    """However many, one entry a source; what comes from too many places is summed as well."""

    async def work(store: Store) -> None:
        failed = FailedKeys(store)
        async with failed.running():
            for number in range(500):
                failed.note(f"10.0.0.{number % 25}")
            failed.note(None)
            assert await counted(store) == {}
        found = await counted(store)
        assert len(found) == 21 and found["10.0.0.7"] == 20
        assert found["others"] == 5 * 20 + 1 and sum(found.values()) == 501
        await failed.write()
        assert await counted(store) == found

    with_store(work)


def test_a_minute_later_they_are_written() -> None:
    """Without anybody's asking; the next minute counts anew."""

    async def work(store: Store) -> None:
        failed = FailedKeys(store, seconds=0.001)
        for count in (1, 2):
            failed.note(None)
            while len(await store.read(audit.list_entries, limit=9)) < count:
                await asyncio.sleep(0)
        assert await counted(store) == {"unknown": 1}

    with_store(work)


def test_a_store_that_is_closed_costs_the_figures_alone() -> None:
    """The server ends all the same."""

    async def work(store: Store) -> None:
        failed = FailedKeys(store)
        async with failed.running():
            failed.note("10.0.0.1")
            store.close()

    with_store(work)
