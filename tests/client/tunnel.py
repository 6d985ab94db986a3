"""A proxy that opens tunnels (CONNECT), and is what is at the end of each: TLS before plain bytes."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

CERTIFICATES = Path(__file__).parent / "certificates"
CA = str(CERTIFICATES / "ca.pem")


class Tunnel:
    """What it decrypts goes to a WireServer, and what that says back. Close it.

    refusal: the status line that is said in place of a tunnel; None closes at once, unasked.
    is_https: whether the proxy itself is reached over TLS.
    """

    def __init__(self, target: str, refusal: bytes | None = b"", *, is_https: bool = False) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._refusal = refusal
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATES / "server.pem")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        scheme = "https" if is_https else "http"
        self.url = "{}://localhost:{}".format(scheme, self._listener.getsockname()[1])
        self._is_https = is_https
        self.tunnels = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End every tunnel."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                # Of the plain class, as TLS would be torn down under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.tunnels += 1
                self._open.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            if not self._is_https:
                self._open_tunnel(sock, sock)
                return
            with self._context.wrap_socket(sock, server_side=True) as outer:
                self._open.append(outer)
                # What is within TLS is no socket that TLS could be put on once more.
                near, far = socket.socketpair()
                self._open += [near, far]
                with near, far:
                    self._open_tunnel(outer, far, near)

    def _open_tunnel(
        self, sock: socket.socket, end: socket.socket, carried: socket.socket | None = None
    ) -> None:
        head = b""
        while self._refusal is not None and not head.endswith(b"\r\n\r\n"):
            if not (said := sock.recv(1)):
                return
            head += said
        if self._refusal != b"":
            sock.sendall(self._refusal or b"")
            return
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if carried is not None:
            thread = threading.Thread(target=_carry, args=(sock, carried), daemon=True)
            self._threads.append(thread)
            thread.start()
        with self._context.wrap_socket(end, server_side=True) as tls:
            self._open.append(tls)
            with socket.create_connection(self._target) as plain:
                _pump(tls, plain)


def _carry(outer: Any, near: socket.socket) -> None:
    """Pump; the end of either side is the end of both."""
    with suppress(OSError, ValueError):
        _pump(outer, near)
    for sock in (outer, near):
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _pump(tls: ssl.SSLSocket, plain: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        ready = [tls] if tls.pending() else select.select([tls, plain], [], [])[0]
        for source in ready:
            said = source.recv(65536)
            if not said:
                return
            (plain if source is tls else tls).sendall(said)
