"""A `chatserver` command as a real process: started, listened to, ended. Nothing here sleeps."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Long enough for any machine; who waits so long waits for something that does not come.
BOUND = 120.0

COMMAND = str(Path(sysconfig.get_path("scripts")) / "chatserver")

# What a terminal, a user or a CI system may say, and a test must not depend on.
_FOREIGN = ("CHATSERVER_", "XDG_", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "TTY_", "COLUMNS")


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """An environment in which everything that belongs to a user is below `home`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    folders = {"HOME": home, "XDG_DATA_HOME": home / "data", "TMPDIR": home / "tmp"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    kept.update({name: str(folder) for name, folder in folders.items()})
    return {**kept, "TERM": "xterm-256color", "PYTHONWARNINGS": "error", **more}


class ChatserverProcess:
    """A running command. As a context manager it is gone when the block ends.

    terminal: its output goes to a pseudo-terminal instead of a pipe. folder: where it runs.
    `output` is what it has said so far, `errors` what it has said beside that.
    """

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        terminal: bool = False,
        folder: Path | None = None,
    ) -> None:
        self._reading, writing = pty.openpty() if terminal else os.pipe()
        self._errors = tempfile.TemporaryFile()
        self._output = b""
        try:
            self._process = subprocess.Popen(
                [COMMAND, *arguments],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=self._errors,
            )
        finally:
            os.close(writing)

    def __enter__(self) -> ChatserverProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(BOUND)
        if self._reading >= 0:
            os.close(self._reading)
        self._errors.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._output.decode().replace("\r\n", "\n")

    @property
    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode()

    def wait_for(self, text: str) -> str:
        """The first whole line that holds the text, once it is there."""
        while (line := self._find_line(text)) is None:
            assert self._read(), f"no {text!r} in\n{self.output}\n{self.errors}"
        return line

    def wait_until_ready(self) -> str:
        """The URL at which a server answers."""
        return self.wait_for("chatserver ready at ").split()[-1]

    def hang_up(self) -> None:
        """Read no more: whatever it says next fails."""
        os.close(self._reading)
        self._reading = -1

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        while self._reading >= 0 and self._read():
            continue
        return self._process.wait(BOUND)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit status, once it has ended."""
        self.send(number)
        return self.wait()

    def _find_line(self, text: str) -> str | None:
        whole, _, _ = self.output.rpartition("\n")
        return next((line for line in whole.split("\n") if text in line), None)

    def _read(self) -> bool:
        """Take in what it says next; False at its end."""
        ready, _, _ = select.select([self._reading], [], [], BOUND)
        assert ready, f"nothing came within {BOUND} s after\n{self.output}\n{self.errors}"
        try:
            chunk = os.read(self._reading, 65536)
        except OSError:
            # How Linux says that the other end of a pseudo-terminal is closed.
            chunk = b""
        self._output += chunk
        return bool(chunk)


def first_to_end(servers: Sequence[ChatserverProcess]) -> ChatserverProcess:
    """Which of them ends first, by itself."""
    with ExitStack() as opened:
        handles = {}
        for server in servers:
            handle = os.pidfd_open(server.pid)
            opened.callback(os.close, handle)
            handles[handle] = server
        ended, _, _ = select.select(list(handles), [], [], BOUND)
    assert ended, f"none of them ended within {BOUND} s"
    return handles[ended[0]]


def in_use(database: Path) -> str:
    """What a server says whose database another one has."""
    return (
        f"the database {database} is in use by another chatserver;"
        " give this one its own with --db"
    )


@contextmanager
def dev_server(port: int = 0) -> Iterator[str]:
    """The URL of the server that the documents' code is written for, as long as the block lasts."""
    arguments = ["--dev", "--alias", "claude-3-haiku=eliza", "--db", ":memory:"]
    with tempfile.TemporaryDirectory() as home:
        environment = clean_environment(Path(home))
        with ChatserverProcess(
            "serve", *arguments, "--port", str(port), environment=environment
        ) as server:
            yield server.wait_until_ready()
            assert server.end() == 0, server.errors
