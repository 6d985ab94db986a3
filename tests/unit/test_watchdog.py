"""The watchdog ends what is due, soon enough, and holds nothing."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref

from chatserver_sdk._transport.watchdog import Watchdog


class Deadline:
    """Due when it says so; tells when it was expired."""

    def __init__(self, seconds: float) -> None:
        self.due_at = time.monotonic() + seconds
        self.expired = threading.Event()

    def due(self) -> float:
        return math.inf if self.expired.is_set() else self.due_at

    def expire(self) -> None:
        assert time.monotonic() >= self.due_at
        self.expired.set()


def test_what_is_due_is_expired() -> None:
    """Each at its time, whichever was there first."""
    watchdog = Watchdog()
    far, near, nearer = Deadline(1000), Deadline(0.05), Deadline(0)
    for deadline in (far, near, nearer):
        watchdog.watch(deadline)
    assert near.expired.wait(30) and nearer.expired.wait(30)
    assert not far.expired.is_set()


def test_a_deadline_that_moves() -> None:
    """Nobody needs to tell: it is looked at again, and then again."""
    watchdog = Watchdog()
    moving = Deadline(1000)
    watchdog.watch(moving)
    moving.due_at = time.monotonic() + 0.01
    assert moving.expired.wait(30)


def test_what_nobody_holds_is_forgotten() -> None:
    """A stream that was dropped does not stay in memory until its time is over."""
    watchdog = Watchdog()
    held, dropped = Deadline(1000), Deadline(1000)
    gone = threading.Event()
    weakref.finalize(dropped, gone.set)
    watchdog.watch(held)
    watchdog.watch(dropped)
    del dropped
    gc.collect()
    assert gone.wait(30)


def test_the_thread_ends_and_begins_again() -> None:
    """With nothing to watch it does not stay; the next deadline starts another."""
    watchdog = Watchdog(linger=0)
    for _ in range(2):
        deadline = Deadline(0)
        watchdog.watch(deadline)
        assert deadline.expired.wait(30)
        thread = watchdog.thread
        if thread is not None:
            thread.join(30)
        assert watchdog.thread is None


def test_a_forked_child_begins_anew() -> None:
    """After a reset, which a child does by itself, it watches again."""
    watchdog = Watchdog()
    watchdog.watch(Deadline(1000))
    watchdog.reset()
    deadline = Deadline(0)
    watchdog.watch(deadline)
    assert deadline.expired.wait(30)


def test_one_that_cannot_be_ended() -> None:
    """It keeps none of the others from it, now or later."""

    class Broken(Deadline):
        def expire(self) -> None:
            super().expire()
            raise TypeError("no socket")

    watchdog = Watchdog()
    broken, near = Broken(0), Deadline(0.05)
    watchdog.watch(broken)
    assert broken.expired.wait(30)
    watchdog.watch(near)
    assert near.expired.wait(30)
