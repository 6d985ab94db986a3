"""Over TLS: certificates of servers and clients, streams, and ends that come from elsewhere."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chatserver_sdk import (
    APIConnectionError,
    APITimeoutError,
    ChatServerClient,
    ConfigurationError,
    StreamConsumedError,
    Timeout,
)
from chatserver_sdk.testing import DONE, WireServer, delta, plain_answer

HERE = Path(__file__).parent / "certificates"
CA = str(HERE / "ca.pem")


class Handler(BaseHTTPRequestHandler):
    """GET gives the models, POST a stream that waits between its words."""

    protocol_version = "HTTP/1.1"
    gate = threading.Event()
    connections: set[object] = set()

    def do_GET(self) -> None:
        body = json.dumps({"data": [{"id": "m"}]}).encode()
        self.connections.add(self.client_address)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (delta("Hel"), b"", delta("lo"), DONE):
            if not piece:
                self.gate.wait(30)
                continue
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


class Server(ThreadingHTTPServer):
    """Failures of a connection are what the tests are about."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing to say."""


@contextmanager
def serving(*, asks_for_certificate: bool = False) -> Iterator[str]:
    """The URL of a server with a certificate that only our CA vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "server.pem")
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CA)
    Handler.gate.clear()
    Handler.connections.clear()
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        Handler.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def url() -> Iterator[str]:
    """Where such a server is."""
    with serving() as base_url:
        yield base_url


def trusting(url: str, timeout: float | Timeout = 30) -> ChatServerClient:
    """A client that knows the CA."""
    client = ChatServerClient("k", url, timeout, max_retries=0)
    client.session.verify = CA
    return client


def test_a_certificate_that_nobody_vouches_for(url: str) -> None:
    """It is refused, at once: it would be no better the next time."""
    with ChatServerClient("k", url) as client:
        with pytest.raises(APIConnectionError, match="could not be reached.*certificate"):
            client.list_models()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_from_the_environment(
    url: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables that requests knows are honoured; kept connections are used again."""
    monkeypatch.setenv(variable, CA)
    with ChatServerClient("k", url) as client:
        assert client.list_models().data[0].id == client.list_models().data[0].id == "m"
    assert len(Handler.connections) == 1


def test_a_certificate_of_the_client() -> None:
    """It is shown to a server that asks for one, and missed by it otherwise."""
    with serving(asks_for_certificate=True) as url, trusting(url) as client:
        with pytest.raises(APIConnectionError):
            client.list_models()
        client.session.cert = str(HERE / "client.pem")
        assert client.list_models().data[0].id == "m"


def blocks_of(name: str) -> dict[str, str]:
    """What a file in PEM holds, by its kind."""
    block = "(-----BEGIN (.*?)-----.*?-----END .*?-----\n)"
    return {kind: text for text, kind in re.findall(block, (HERE / name).read_text(), re.S)}


MINE, THEIRS = blocks_of("client.pem"), blocks_of("server.pem")
FILES = {
    "nothing": "",
    "text": "hello",
    "no certificate": MINE["PRIVATE KEY"],
    "half a certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}
PAIRS = {
    **FILES,
    "no key": MINE["CERTIFICATE"],
    "another's key": MINE["CERTIFICATE"] + THEIRS["PRIVATE KEY"],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(pytest.param("verify", text, id=f"bundle: {name}") for name, text in FILES.items()),
        *(pytest.param("cert", text, id=f"certificate: {name}") for name, text in PAIRS.items()),
    ],
)
def test_files_that_hold_nothing_of_use(url: str, tmp_path: Path, name: str, text: str) -> None:
    """They are a mistake of the caller's, and no fault of the server."""
    path = tmp_path / "file.pem"
    path.write_text(text)
    with trusting(url) as client:
        setattr(client.session, name, str(path))
        with pytest.raises(ConfigurationError, match="must be a file in PEM"):
            client.list_models()


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_certificate_of_the_client_on_a_redirect(
    wire_server: WireServer, is_elsewhere: bool
) -> None:
    """It is shown to the server that it is for, and to no other one that asks for it."""
    with serving(asks_for_certificate=True) as url:
        wire_server.answers(plain_answer(302, b"", {"Location": f"{url}/v1/models"}))
        with trusting(wire_server.base_url if is_elsewhere else url) as client:
            client.session.cert = str(HERE / "client.pem")
            if not is_elsewhere:
                assert client.list_models().data[0].id == "m"
                return
            with pytest.raises(APIConnectionError):
                client.list_models()


def test_a_stream(url: str) -> None:
    """Word by word, and the connection is given back."""
    with trusting(url) as client:
        stream = client.create_completion("m", "Hi", stream=True)
        assert next(stream) == "Hel"
        Handler.gate.set()
        assert list(stream) == ["lo"]


def test_closing_from_another_thread(url: str) -> None:
    """A read that waits ends at once."""
    with trusting(url) as client:
        stream = client.create_completion("m", "Hi", stream=True)
        assert next(stream) == "Hel"
        timer = threading.Timer(0.1, stream.close)
        timer.start()
        with pytest.raises(StreamConsumedError):
            next(stream)
        timer.join()


def test_a_total(url: str) -> None:
    """The watchdog ends what it is about over TLS too."""
    with trusting(url, Timeout(total=0.5)) as client:
        stream = client.create_completion("m", "Hi", stream=True)
        with pytest.raises(Exception) as caught:
            list(stream)
    assert isinstance(caught.value.__cause__, APITimeoutError)
    assert caught.value.__cause__.kind == "total"


def test_a_server_that_speaks_no_tls() -> None:
    """Plain bytes where a handshake was to be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaker = threading.Thread(target=_speak_plainly, args=(listener,))
        speaker.start()
        with trusting(f"https://127.0.0.1:{listener.getsockname()[1]}", 30) as client:
            with pytest.raises(APIConnectionError, match="TLS|SSL|certificate"):
                client.list_models()
        speaker.join()


def _speak_plainly(listener: socket.socket) -> None:
    # Whatever the client says: a handshake is no request and has no end that one could wait for.
    sock, _ = listener.accept()
    with sock, suppress(ConnectionError):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while sock.recv(65536):
            continue
