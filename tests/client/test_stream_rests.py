"""What comes where the rest of an answer was asked for, and is the rest of something else."""

from __future__ import annotations

import threading

import pytest

from chatserver_sdk import ChatServerClient, RetryPolicy, StreamInterruptedError
from chatserver_sdk.testing import (
    DONE,
    Script,
    UntilHangup,
    WireServer,
    delta,
    event_stream,
)

HEADERS = {"X-Chatserver": "0.2.0", "X-Turn-Id": "t-1"}
AT_ONCE = RetryPolicy(max_retries=2, backoff=0)
BEGUN = event_stream(delta("Hel", id="t-1:2"), framing="close_delimited", headers=HEADERS)
RESTS: dict[str, Script] = {
    "no turn": event_stream(delta("lo"), DONE),
    "no turn, but its numbers": event_stream(delta("lo", id="t-1:3"), DONE),
    "another turn": event_stream(delta("lo", id="t-2:3"), DONE, headers={"X-Turn-Id": "t-2"}),
}


@pytest.mark.parametrize("rest", RESTS.values(), ids=RESTS)
def test_the_rest_of_something_else(wire_server: WireServer, rest: Script) -> None:
    """It is not appended to what came; the place stays what it was."""
    wire_server.answers(BEGUN, rest)
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        stream = client.create_completion("m", "x", stream=True)
        with pytest.raises(StreamInterruptedError, match="is no rest of it") as caught:
            list(stream)
    assert caught.value.partial == "Hel" and stream.cursor == "t-1:2"
    assert len(wire_server.requests) == 2


def test_its_connection(wire_server: WireServer) -> None:
    """It is given back at once."""
    seen = threading.Event()
    wire_server.answers(BEGUN, event_stream(UntilHangup(seen)))
    with ChatServerClient("k", wire_server.base_url, max_retries=AT_ONCE) as client:
        with pytest.raises(StreamInterruptedError, match="is no rest of it"):
            list(client.create_completion("m", "x", stream=True))
        assert seen.wait(30)
