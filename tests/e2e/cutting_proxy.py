"""CuttingProxy: passes bytes on to a server, and cuts connections where it is told to."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from urllib.parse import urlsplit


class CuttingProxy:
    """Each connection ends after so many bytes of answers; None is never. The last one stays."""

    def __init__(self, server_url: str, *cuts: int | None) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname, parts.port)
        self._cuts = deque(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.base_url = "http://127.0.0.1:{}".format(self._listener.getsockname()[1])
        self._start(self._accept)

    def close(self) -> None:
        """End every connection and thread."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            limit = self._cuts.popleft() if self._cuts else None
            server = socket.create_connection(self._server)
            self._open |= {client, server}
            self._start(self._pass_on, client, server, None)
            self._start(self._pass_on, server, client, limit)

    def _pass_on(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if limit is not None:
                    data, limit = data[:limit], limit - len(data)
                target.sendall(data)
                if limit is not None and limit <= 0:
                    break
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            if sock is target:
                continue
        self._open.discard(source)
        source.close()
