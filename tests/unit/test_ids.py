"""Ids are UUIDs, and nobody gets one twice."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from chatserver_sdk._ids import new_id


def test_they_are_random_uuids() -> None:
    """Each is written as Python writes a UUID of version 4."""
    for made in (new_id() for _ in range(1000)):
        assert str(UUID(made)) == made
        assert UUID(made).version == 4
        assert UUID(made).variant == "specified in RFC 4122"


def test_no_two_are_the_same() -> None:
    """Not in eight threads at once either."""
    with ThreadPoolExecutor(8) as threads:
        made = [*threads.map(lambda _: new_id(), range(20_000))]
    assert len(set(made)) == 20_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_ids_of_its_own() -> None:
    """What was made before the fork is the parent's."""
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 36).decode()
    os.close(reading)
    os.close(writing)
    assert str(UUID(theirs)) == theirs
    assert theirs not in {new_id() for _ in range(512)}
