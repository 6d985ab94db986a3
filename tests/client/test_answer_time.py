"""Whole answers that drip in: they are bounded, and big ones have the time that they need."""

from __future__ import annotations

import time

import pytest

from chatserver_sdk import APITimeoutError, ChatServerClient, ChatServerError, Timeout
from chatserver_sdk._transport.connections import Attempt
from chatserver_sdk._transport.deadline import Deadline
from chatserver_sdk.testing import Pause, Step, WireServer, plain_answer


def dripping(status: int = 200) -> list[Step]:
    """A body of a blank now and then, for half a minute."""
    (head,) = plain_answer(status, b"", {"Content-Length": "999"})
    drip: list[Step] = [step for _ in range(150) for step in (Pause(0.2), b" ")]
    return [head, *drip]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (0.5, "read"),
        (Timeout(read=0.4, idle=0.5), "idle"),
        (Timeout(read=0.5, idle=0.4), "read"),
        (Timeout(connect=None, read=0.5, idle=None), "read"),
        (Timeout(total=0.5), "total"),
    ],
)
def test_a_body_that_drips(
    wire_server: WireServer, timeout: float | Timeout, kind: str, status: int
) -> None:
    """A blank now and then is no answer; the error says which limit ran out."""
    wire_server.answers(dripping(status))
    begun = time.monotonic()
    with ChatServerClient("k", wire_server.base_url, timeout, max_retries=2) as client:
        with pytest.raises(APITimeoutError, match="answered too slowly|took longer") as caught:
            client.create_completion("m", "x")
    assert caught.value.kind == kind and len(wire_server.requests) == 1
    assert time.monotonic() - begun < 20


def test_who_waits_for_ever(wire_server: WireServer) -> None:
    """None is for ever, and there is a total."""
    wire_server.answers(dripping())
    with ChatServerClient("k", wire_server.base_url, None) as client:
        with pytest.raises(ChatServerError, match="took longer than 1 s"):
            client.list_models(timeout=Timeout(None, None, None, total=1))


def test_big_bodies_have_more_time() -> None:
    """A second a kilobyte, within the whole time."""
    with Deadline(time.monotonic() + 1000, Attempt()) as deadline:
        deadline.note_response(None, 10)
        first = deadline.due()
        deadline.note_progress(50_000)
        assert deadline.due() == pytest.approx(first + 50)
        deadline.note_progress(5_000_000)
        assert deadline.due() == deadline._due_later
