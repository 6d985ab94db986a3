"""Connections that TCP's keep-alive finds dead: a router has dropped them, and told nobody."""

from __future__ import annotations

import errno
import io
from typing import Any

import pytest
import requests
import urllib3

from chatserver_sdk import (
    APIConnectionError,
    APITimeoutError,
    ChatServerClient,
    RetryPolicy,
    StreamInterruptedError,
    Timeout,
)
from chatserver_sdk._transport.connections import Adapter
from chatserver_sdk.testing import (
    WireServer,
    completion,
    delta,
    event,
    event_stream,
    json_answer,
)

AT_ONCE = RetryPolicy(max_retries=2, backoff=0)
DEAD = TimeoutError(errno.ETIMEDOUT, "Connection timed out")


class DyingBody(io.RawIOBase):
    """Some bytes, and then what the system says of a connection that nobody answers on."""

    def __init__(self, said: bytes, end: Exception) -> None:
        self._said = [said]
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._said:
            raise self._end
        said = self._said.pop()
        buffer[: len(said)] = said
        return len(said)


class DyingAdapter(Adapter):
    """Its first answer is cut off by a dead connection; the others are a server's.

    said: the bytes of the answer that came; None for none. end: what the socket says then.
    """

    def __init__(self, said: bytes | None, end: Exception, headers: Any = None) -> None:
        super().__init__()
        self._first = (said, end, headers or {})
        self.sent = 0

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent += 1
        said, end, headers = self._first
        if self.sent > 1:
            return super().send(request, *args, **kwargs)
        if said is None:
            late = urllib3.exceptions.ReadTimeoutError(None, "/", "Read timed out.")  # type: ignore
            late.__cause__ = end
            raise requests.ReadTimeout(late, request=request)
        body = io.BufferedReader(DyingBody(said, end))
        raw = urllib3.HTTPResponse(body, headers, 200, preload_content=False)
        return self.build_response(request, raw)


def dying(url: str, adapter: DyingAdapter, timeout: Any = 30) -> ChatServerClient:
    """A client whose first answer dies so."""
    client = ChatServerClient("k", url, timeout, max_retries=AT_ONCE)
    client.session.mount("http://", adapter)
    return client


@pytest.mark.parametrize("timeout", [30, None, Timeout(idle=None), Timeout(idle=None, total=60)])
def test_a_stream_elsewhere(wire_server: WireServer, timeout: Any) -> None:
    """It has broken off, and was not silent for too long; nothing is asked again."""
    adapter = DyingAdapter(delta("Hel"), DEAD)
    with dying(wire_server.base_url, adapter, timeout) as client:
        with pytest.raises(StreamInterruptedError) as caught:
            list(client.create_completion("m", "x", stream=True))
    assert caught.value.partial == "Hel" and adapter.sent == 1
    assert isinstance(caught.value.__cause__, APIConnectionError)


def test_a_stream_of_ours(wire_server: WireServer) -> None:
    """It is taken up again."""
    headers = {"X-Chatserver": "0.2.0", "X-Turn-Id": "t"}
    wire_server.answers(
        event_stream(delta("lo", id="t:2"), event("[DONE]", id="t:2"), headers=headers)
    )
    adapter = DyingAdapter(delta("Hel", id="t:1"), DEAD, headers)
    with dying(wire_server.base_url, adapter) as client:
        assert list(client.create_completion("m", "x", stream=True)) == ["Hel", "lo"]


@pytest.mark.parametrize("said", [None, b'{"data": ['])
def test_a_whole_answer(wire_server: WireServer, said: bytes | None) -> None:
    """The request was sent and the answer lost: what may be sent again is, and nothing else."""
    wire_server.answers(json_answer(200, {"data": [{"id": "m"}]}), json_answer(200, completion("")))
    with dying(wire_server.base_url, adapter := DyingAdapter(said, DEAD)) as client:
        assert client.list_models().data[0].id == "m"
        assert adapter.sent == 2
    with dying(wire_server.base_url, adapter := DyingAdapter(said, DEAD)) as client:
        with pytest.raises(APIConnectionError, match="is gone: Connection timed|broke the answer"):
            client.create_completion("m", "x")
        assert adapter.sent == 1


def test_a_time_out_of_the_socket(wire_server: WireServer) -> None:
    """Without a number it is the limit that was set; where there is none, that of the whole."""
    for timeout, kind in ((30, "idle"), (Timeout(idle=None, total=60), "total")):
        adapter = DyingAdapter(delta("Hel"), TimeoutError("timed out"))
        with dying(wire_server.base_url, adapter, timeout) as client:
            with pytest.raises(StreamInterruptedError) as caught:
                list(client.create_completion("m", "x", stream=True))
        assert isinstance(caught.value.__cause__, APITimeoutError)
        assert caught.value.__cause__.kind == kind
