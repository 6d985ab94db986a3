"""A proxy that opens tunnels (CONNECT), and is what is at the end of each: TLS before plain bytes."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

CERTIFICATES = Path(__file__).parent / "certificates"
CA = str(CERTIFICATES / "ca.pem")


class Tunnel:
    """What it decrypts goes to a WireServer, and what that says back. Close it.

    refusal: the status line that is said in place of a tunnel; None closes at once, unasked.
    """

    def __init__(self, target: str, refusal: bytes | None = b"") -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._refusal = refusal
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATES / "server.pem")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = "http://127.0.0.1:{}".format(self._listener.getsockname()[1])
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
            head = b""
            while self._refusal is not None and not head.endswith(b"\r\n\r\n"):
                if not (said := sock.recv(1)):
                    return
                head += said
            if self._refusal != b"":
                sock.sendall(self._refusal or b"")
                return
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self._context.wrap_socket(sock, server_side=True) as tls:
                self._open.append(tls)
                with socket.create_connection(self._target) as plain:
                    _pump(tls, plain)


def _pump(tls: ssl.SSLSocket, plain: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        ready = [tls] if tls.pending() else select.select([tls, plain], [], [])[0]
        for source in ready:
            said = source.recv(65536)
            if not said:
                return
            (plain if source is tls else tls).sendall(said)
