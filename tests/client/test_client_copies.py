"""One client in many hands: threads, forked children, pickles and copies; and what it leaves behind."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from chatserver_sdk import (
    ChatServerClient,
    ChatServerError,
    CompletionStream,
    NotFoundError,
    RetryPolicy,
    StreamFailedError,
    Timeout,
)
from chatserver_sdk._transport import sending
from chatserver_sdk.testing import (
    DONE,
    Pause,
    UntilHangup,
    WireServer,
    delta,
    event,
    event_stream,
    json_answer,
)

MODELS: dict[str, Any] = {"data": [{"id": "m"}]}
THREADS = 32


def stream_from(client: ChatServerClient) -> CompletionStream:
    """A streamed answer."""
    return client.create_completion("m", "Hi", stream=True)


def test_many_threads_share_a_client(wire_server: WireServer, client: ChatServerClient) -> None:
    """Thirty-two of them, whole answers and streams mixed: each gets its own, over kept connections."""
    wire_server.answers(event_stream(delta("Hel"), delta("lo"), DONE))
    together = threading.Barrier(THREADS)

    def work(number: int) -> list[str]:
        together.wait(30)
        return ["".join(stream_from(client)) for _ in range(10)]

    with ThreadPoolExecutor(THREADS) as pool:
        said = list(pool.map(work, range(THREADS)))
    assert said == [["Hello"] * 10] * THREADS
    assert len({request.connection for request in wire_server.requests}) <= THREADS
    ids = {request.headers["X-Request-Id"] for request in wire_server.requests}
    keys = {request.headers["Idempotency-Key"] for request in wire_server.requests}
    assert len(ids) == len(keys) == THREADS * 10


def test_threads_on_a_real_server() -> None:
    """What each of them says comes back to it."""
    from chatserver_sdk.testing import running_server

    with running_server() as server, server.client() as client, ThreadPoolExecutor(THREADS) as pool:

        def work(number: int) -> bool:
            text = f"This is thread {number}."
            whole = client.create_completion("echo", text, user=f"u{number}")
            streamed = "".join(client.create_completion("echo", text, stream=True))
            return whole.choices[0].message.content == streamed == text

        assert all(pool.map(work, range(THREADS * 2)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Parent and child on one socket would read each other's answers."""
    wire_server.answers(json_answer(200, MODELS))
    client.list_models()
    stream_gate = threading.Event()
    wire_server.answers(event_stream(delta("Hel"), Pause(stream_gate), delta("lo"), DONE))
    stream = stream_from(client)
    assert next(stream) == "Hel"
    wire_server.answers(json_answer(200, MODELS))
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if client.list_models(timeout=10).data[0].id == "m" else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.list_models().data[0].id == "m"
    stream_gate.set()
    assert list(stream) == ["lo"]
    connections = [request.connection for request in wire_server.requests]
    assert connections == [0, 0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_is_at_work(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Whatever lock it holds at that moment: nobody in the child would ever give it back."""
    wire_server.answers(json_answer(200, MODELS, {"Set-Cookie": "a=b; Path=/"}))
    client.list_models()
    jar: Any = client.session.cookies
    held, gate = threading.Event(), threading.Event()

    def hold() -> None:
        with sending._lock, jar._cookies_lock:
            held.set()
            gate.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        client.with_options(timeout=10).list_models()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    gate.set()
    holder.join()
    assert status == 0


def copies_of(client: ChatServerClient) -> list[ChatServerClient]:
    """Ways in which a client gets to another process or task."""
    return [copy.deepcopy(client), pickle.loads(pickle.dumps(client))]


def test_pickled_and_copied_clients(wire_server: WireServer) -> None:
    """They know the same, the key included, and open connections of their own."""
    wire_server.answers(json_answer(200, MODELS))
    made = ChatServerClient("k", wire_server.base_url, Timeout(read=7), max_retries=RetryPolicy(5))
    with made.with_options(extra_headers={"X-A": "1"}) as client:
        client.list_models()
        for other in copies_of(client):
            with other:
                other.list_models()
                assert other._transport.settings.timeout == Timeout(read=7)
                assert other._transport.settings.retries == RetryPolicy(5)
    made.close()
    assert [request.connection for request in wire_server.requests] == [0, 1, 2]
    for request in wire_server.requests:
        assert (request.headers["Authorization"], request.headers["X-A"]) == ("Bearer k", "1")


def test_a_shallow_copy_is_the_same_client(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """It shares everything."""
    wire_server.answers(json_answer(200, MODELS))
    client.list_models()
    copy.copy(client).list_models()
    assert {request.connection for request in wire_server.requests} == {0}


def test_a_session_of_the_callers_own_goes_along(wire_server: WireServer) -> None:
    """With what it knows, as requests pickles it."""
    wire_server.answers(json_answer(200, MODELS))
    with requests.Session() as session:
        session.headers["X-Mine"] = "yes"
        client = ChatServerClient("k", wire_server.base_url, session=session)
        for other in copies_of(client):
            other.list_models()
            other.session.close()
    assert [request.headers["X-Mine"] for request in wire_server.requests] == ["yes", "yes"]


def test_answers_and_errors_travel(
    wire_server: WireServer, client: ChatServerClient, api_key: str
) -> None:
    """To another process and back, without the key."""
    headers = {"X-Request-Id": "r1"}
    wire_server.answers(
        json_answer(200, MODELS, headers), json_answer(404, {"detail": "No"}, headers)
    )
    answer = client.list_models()
    with pytest.raises(NotFoundError) as caught:
        client.list_models()
    wire_server.answers(event_stream(delta("Hel"), event({"error": "No"})))
    with pytest.raises(StreamFailedError) as failed:
        list(stream_from(client))
    for given in (answer, caught.value, failed.value):
        kept: Any = pickle.loads(pickle.dumps(given))
        assert api_key.encode() not in pickle.dumps(given)
        if isinstance(given, ChatServerError):
            assert vars(kept) == vars(given) and str(kept) == str(given)
            assert vars(copy.copy(given)) == vars(given)
        else:
            assert kept == given and kept.raw.headers["x-request-id"] == "r1"
    assert failed.value.partial == "Hel"


def open_files(at_most: int = 0) -> int:
    """How many this process has open, once the server has noticed who is gone."""
    gc.collect()
    deadline = time.monotonic() + 30
    while True:
        count = len(list(Path("/proc/self/fd").iterdir()))
        if count <= at_most or at_most == 0 or time.monotonic() > deadline:
            return count
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("way", ["dropped", "broken off", "closed", "with", "client", "never read"])
def test_abandoned_streams_leave_nothing_open(wire_server: WireServer, way: str) -> None:
    """However a stream is let go, and a thousand of them, its socket goes with it."""
    wire_server.answers(event_stream(delta("Hel"), delta("lo"), UntilHangup(threading.Event())))
    with ChatServerClient("k", wire_server.base_url) as client:
        let_go(client, way)
        before = open_files()
        for _ in range(1000 if way == "dropped" else 100):
            let_go(client, way)
        assert open_files(at_most=before) <= before


def let_go(client: ChatServerClient, way: str) -> None:
    """Begin a stream and leave it in one of the ways in which people leave streams."""
    client = client.with_options(timeout=20) if way == "client" else client
    stream = stream_from(client)
    if way == "never read":
        return
    if way == "with":
        with stream:
            next(stream)
        return
    for _ in stream:
        break
    if way == "closed":
        stream.close()
    if way == "client":
        client.close()
