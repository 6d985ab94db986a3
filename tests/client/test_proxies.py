"""Everything that holds without a proxy holds through one: forwarded, and in a tunnel."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from tunnel import CA, Tunnel

from chatserver_sdk import (
    APIConnectionError,
    APITimeoutError,
    ChatServerClient,
    ChatServerError,
    ConfigurationError,
    RetryPolicy,
    StreamInterruptedError,
    Timeout,
)
from chatserver_sdk.testing import (
    DONE,
    Cut,
    Pause,
    Script,
    Step,
    UntilHangup,
    WireServer,
    completion,
    delta,
    event_stream,
    json_answer,
)

MODELS: dict[str, Any] = {"data": [{"id": "m"}]}
AT_ONCE = RetryPolicy(max_retries=2, backoff=0)
OURS = {"X-Chatserver": "0.2.0"}

Open = Callable[..., ChatServerClient]


@pytest.fixture(params=["forwarded", "tunnelled", "tls in tls"])
def reach(request: pytest.FixtureRequest, wire_server: WireServer) -> Iterator[Open]:
    """What makes clients that reach `wire_server` through a proxy and no other way."""
    opened: list[ChatServerClient] = []
    tunnel: Tunnel | None = None
    if request.param != "forwarded":
        tunnel = Tunnel(wire_server.base_url, is_https=request.param == "tls in tls")

    def open_one(timeout: Any = 30, **options: Any) -> ChatServerClient:
        url = "http://chat.invalid" if tunnel is None else "https://localhost:1"
        client = ChatServerClient("k", url, timeout, **{"max_retries": AT_ONCE, **options})
        proxy = wire_server.base_url if tunnel is None else tunnel.url
        client.session.proxies = {"http": proxy, "https": proxy}
        client.session.verify = CA
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.close()
    if tunnel is not None:
        tunnel.close()


LOSSES: dict[str, list[Step]] = {
    "lost": [Cut()],
    "lost after a while": [Pause(0.3), Cut()],
    "reset": [Pause(0.3), Cut(reset=True)],
    "half a header": [b"HTTP/1.1 200 OK\r\nContent-Ty", Cut()],
}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_was_sent_and_lost(
    wire_server: WireServer, reach: Open, loss: list[Step], is_ours: bool, is_stream: bool
) -> None:
    """The proxy has the request: elsewhere it is not sent again, and the server is who hung up."""
    headers = {"Connection": "close", **(OURS if is_ours else {})}
    good: Script = event_stream(DONE) if is_stream else json_answer(200, completion("x"))
    wire_server.answers(json_answer(200, MODELS, headers), loss, good)
    client = reach()
    client.list_models()
    if is_ours:
        client.create_completion("m", "x", stream=is_stream)
    else:
        with pytest.raises(APIConnectionError, match="^the server at .* hung up before it answ"):
            client.create_completion("m", "x", stream=is_stream)
    assert len(wire_server.requests) == (3 if is_ours else 2)


@pytest.mark.parametrize("reset", [False, True])
def test_what_a_session_of_the_callers_own_lost(wire_server: WireServer, reset: bool) -> None:
    """Also there, where less is known of the connections."""
    wire_server.answers([Pause(0.2), Cut(reset=reset)])
    with requests.Session() as session:
        session.proxies = {"http": wire_server.base_url}
        client = ChatServerClient("k", "http://chat.invalid", max_retries=AT_ONCE, session=session)
        with pytest.raises(APIConnectionError, match="hung up before it answered"):
            client.create_completion("m", "x")
    assert len(wire_server.requests) == 1


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("refusal", "tries"), [(b"HTTP/1.1 502 No\r\n\r\n", (3, 3)), (None, (3, 1))]
)
def test_a_proxy_that_opens_no_tunnel(
    wire_server: WireServer, refusal: bytes | None, tries: tuple[int, int], own: bool
) -> None:
    """Nobody has seen the request. One that just hangs up may have, for all that is known of the
    connections of a caller's own session."""
    tunnel = Tunnel(wire_server.base_url, refusal)
    with requests.Session() as session:
        client = ChatServerClient(
            "k", "https://localhost:1", max_retries=AT_ONCE, session=session if own else None
        )
        client.session.proxies = {"https": tunnel.url}
        with client, pytest.raises(APIConnectionError):
            client.create_completion("m", "x")
    tunnel.close()
    assert tunnel.tunnels == tries[own] and wire_server.requests == []


def test_a_certificate_in_a_tunnel(wire_server: WireServer) -> None:
    """One that nobody vouches for will be no better the next time."""
    tunnel = Tunnel(wire_server.base_url)
    with ChatServerClient("k", "https://localhost:1", max_retries=AT_ONCE) as client:
        client.session.proxies = {"https": tunnel.url}
        with pytest.raises(APIConnectionError, match="certificate"):
            client.list_models()
    tunnel.close()
    assert tunnel.tunnels == 1


def test_connections_are_kept_and_watched(wire_server: WireServer, reach: Open) -> None:
    """One for all calls, and the system asks whether it lives."""
    wire_server.answers(json_answer(200, MODELS))
    client = reach()
    client.list_models()
    client.list_models()
    adapter: Any = client.session.get_adapter(client.base_url)
    (manager,) = adapter.proxy_manager.values()
    (key,) = manager.pools.keys()
    (sock,) = [each.sock for each in manager.pools[key].pool.queue if each]
    # TLS within TLS has the socket inside.
    assert getattr(sock, "socket", sock).getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert [request.connection for request in wire_server.requests] == [0, 0]


def test_closing_ends_kept_connections(wire_server: WireServer, reach: Open) -> None:
    """Also those of a pool that somebody's exception still knows."""
    ended = threading.Event()
    wire_server.answers([Cut()], [*json_answer(200, MODELS), UntilHangup(ended)])
    client = reach()
    client.list_models()
    adapter: Any = client.session.get_adapter(client.base_url)
    (manager,) = adapter.proxy_manager.values()
    pools = [manager.pools[key] for key in manager.pools.keys()]
    client.close()
    assert ended.wait(10) and pools


def test_a_kept_connection_that_is_dead(wire_server: WireServer, reach: Open) -> None:
    """It costs no retry."""
    wire_server.answers(json_answer(200, MODELS), [Cut()], json_answer(200, completion("x")))
    client = reach(max_retries=0)
    client.list_models()
    assert client.create_completion("m", "x").choices[0].message.text == "x"


def test_headers_that_drip(wire_server: WireServer, reach: Open) -> None:
    """A line now and then is no answer; the whole time is bounded too."""
    drip = [step for _ in range(400) for step in (Pause(0.05), b"X: y\r\n")]
    wire_server.answers([b"HTTP/1.1 200 OK\r\n", *drip])
    begun = time.monotonic()
    for timeout, kind in ((0.4, "read"), (Timeout(total=0.4), "total")):
        with pytest.raises(APITimeoutError) as caught:
            reach(timeout, max_retries=0).list_models()
        assert caught.value.kind == kind
    assert time.monotonic() - begun < 10


def test_early_hints(wire_server: WireServer, reach: Open) -> None:
    """They are no answer."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    wire_server.answers([early, *json_answer(200, MODELS)])
    assert reach().list_models().data[0].id == "m"


def test_streams(wire_server: WireServer, reach: Open) -> None:
    """Word by word; one that is cut says so."""
    gate = threading.Event()
    wire_server.answers(
        event_stream(delta("Hel"), Pause(gate), delta("lo"), DONE),
        event_stream(delta("Hel"), Cut()),
    )
    client = reach()
    stream = client.create_completion("m", "x", stream=True)
    assert next(stream) == "Hel"
    gate.set()
    assert list(stream) == ["lo"]
    with pytest.raises(StreamInterruptedError):
        list(client.create_completion("m", "x", stream=True))


def test_closing_from_another_thread(wire_server: WireServer, reach: Open) -> None:
    """It ends a read that waits."""
    wire_server.answers(event_stream(delta("Hel"), Pause(threading.Event())))
    stream = reach().create_completion("m", "x", stream=True)
    assert next(stream) == "Hel"
    timer = threading.Timer(0.1, stream.close)
    timer.start()
    with pytest.raises(ChatServerError, match="was closed while it was read"):
        next(stream)
    timer.join()


SIGNS = [step for _ in range(600) for step in (Pause(0.05), b": ping\n\n")]


@pytest.mark.parametrize(
    ("timeout", "kind"), [(Timeout(idle=0.3), "idle"), (Timeout(total=0.5), "total")]
)
def test_signs_of_life_without_end(
    wire_server: WireServer, reach: Open, timeout: Timeout, kind: str
) -> None:
    """They keep no stream open behind its time."""
    wire_server.answers(event_stream(delta("Hel"), *SIGNS))
    begun = time.monotonic()
    with pytest.raises(StreamInterruptedError) as caught:
        list(reach(timeout, max_retries=0).create_completion("m", "x", stream=True))
    assert isinstance(caught.value.__cause__, APITimeoutError)
    assert caught.value.__cause__.kind == kind
    assert time.monotonic() - begun < 10


def test_an_end_that_does_not_come(wire_server: WireServer) -> None:
    """Behind [DONE] nobody is kept for ever, through a proxy of https either."""
    wire_server.answers(event_stream(delta("Hel"), DONE, *SIGNS))
    tunnel = Tunnel(wire_server.base_url, is_https=True)
    begun = time.monotonic()
    with ChatServerClient("k", "https://localhost:1", max_retries=0) as client:
        client.session.proxies, client.session.verify = {"https": tunnel.url}, CA
        assert list(client.create_completion("m", "x", stream=True)) == ["Hel"]
    assert time.monotonic() - begun < 15
    tunnel.close()


def test_a_session_of_the_callers_own_within_tls(wire_server: WireServer) -> None:
    """Also its streams are ended from another thread, through a proxy of https."""
    wire_server.answers(event_stream(delta("Hel"), Pause(threading.Event())))
    tunnel = Tunnel(wire_server.base_url, is_https=True)
    with requests.Session() as session:
        session.proxies, session.verify = {"https": tunnel.url}, CA
        client = ChatServerClient("k", "https://localhost:1", max_retries=0, session=session)
        stream = client.create_completion("m", "x", stream=True)
        assert next(stream) == "Hel"
        timer = threading.Timer(0.1, stream.close)
        timer.start()
        with pytest.raises(ChatServerError, match="was closed while it was read"):
            next(stream)
        timer.join()
    tunnel.close()


def test_a_proxy_that_speaks_socks(wire_server: WireServer) -> None:
    """Its connections are ours too, where the library for it is there; else the sentence says so."""
    with ChatServerClient("k", wire_server.base_url, max_retries=0) as client:
        client.session.proxies = {"http": "socks5://127.0.0.1:9"}
        try:
            import socks  # type: ignore  # noqa: F401
        except ImportError:
            with pytest.raises(ConfigurationError, match=r"requests\[socks\]"):
                client.list_models()
            return
        with pytest.raises(APIConnectionError):
            client.list_models()
        adapter: Any = client.session.get_adapter(client.base_url)
        (manager,) = adapter.proxy_manager.values()
        assert manager.pool_classes_by_scheme["http"].__name__.startswith("Noted")
