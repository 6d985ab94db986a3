"""A server under a load of all kinds, for long: what it costs stays what it was."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatserver_sdk import APIStatusError, ChatServerClient
from observed_server import KEY, Figures, ObservedServer

BOUND = 120.0
MB = 2**20
SLOW = {"variables": {"delay": 60}}


class Mix:
    """What clients do, each kind in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count()
        self.failures: list[BaseException] = []
        self.done = 0

    def run(self, seconds: float) -> int:
        """Do everything side by side for so long; how often something was done."""
        before, until = self.done, time.monotonic() + seconds
        kinds = (self._ask, self._stream, self._say, self._leave, self._stop, self._look, self._err)
        threads = [threading.Thread(target=self._go_on, args=(kind, until)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + BOUND)
        assert not any(thread.is_alive() for thread in threads)
        assert self.failures == []
        return self.done - before

    def _go_on(self, kind: Callable[[ChatServerClient, str], None], until: float) -> None:
        try:
            with ChatServerClient(KEY, self._url, timeout=BOUND, max_retries=0) as client:
                while time.monotonic() < until:
                    kind(client, f"text {next(self._numbers)}")
                    self.done += 1
        except BaseException as exc:
            self.failures.append(exc)

    def _ask(self, client: ChatServerClient, text: str) -> None:
        for user in (None, "ada"):
            answer = client.create_completion("echo", text, user=user)
            assert answer.choices[0].message.text == text

    def _stream(self, client: ChatServerClient, text: str) -> None:
        for user in (None, "bob"):
            assert "".join(client.create_completion("echo", text, user=user, stream=True)) == text

    def _say(self, client: ChatServerClient, text: str) -> None:
        session = client.create_session("eliza", user_id="eve").id
        file = client.upload_file(session, text.encode() * 50, filename="a.txt")
        answer = client.send_message(session, text, files=[file])
        joined = client.join_stream(session, f"{answer.turn_id}:0")
        assert joined.response().message.text == answer.message.text
        client.delete_session(session)

    def _leave(self, client: ChatServerClient, text: str) -> None:
        """Readers who go away in the middle; what is nobody's is let go of by itself."""
        stream = client.create_completion("echo", text, stream=True, variables={"delay": 60})
        next(stream)
        stream.close()

    def _stop(self, client: ChatServerClient, text: str) -> None:
        session = client.create_session("echo", user_id="dan").id
        stream = client.send_message(session, text, stream=True, metadata=SLOW)
        next(stream)
        assert client.cancel_message(session, stream.turn_id).cancelled
        assert list(stream) == []

    def _look(self, client: ChatServerClient, text: str) -> None:
        for call in (
            client.list_models,
            client.get_platform_stats,
            client.get_audit_log,
            lambda: client.list_sessions("ada"),
            lambda: client.request("GET", "/metrics"),
            lambda: client.request("GET", "/api/v1/platform/audit/head"),
        ):
            call()
        made = client.create_key(text, "service")
        client.revoke_key(made.id)

    def _err(self, client: ChatServerClient, text: str) -> None:
        """What is refused costs nothing that stays."""
        wrong: list[Callable[[], Any]] = [
            lambda: client.create_completion("nobody", text),
            lambda: client.get_session(text, user_id="ada"),
            lambda: client.send_message(text, text),
            lambda: client.create_completion("echo", text, variables={"delay": -1}),
        ]
        for call in wrong:
            with pytest.raises(APIStatusError):
                call()
        with ChatServerClient(f"csk_{text}", self._url, max_retries=0) as stranger:
            with pytest.raises(APIStatusError):
                stranger.list_models()


def check_flat(before: Figures, after: Figures, done: int) -> None:
    """No task and no file more, nor more memory than what a busy process's pages come and go."""
    said = (before, after, done)
    assert after.tasks <= before.tasks + 2, said
    assert after.files <= before.files + 8, said
    assert after.memory <= before.memory * 1.25 + 24 * MB, said
    # What is remembered of turns for an hour is bounded, and small: some five objects for each.
    assert after.objects <= before.objects + 20_000 + 8 * min(done, 10_000), said


def load(db: str, seconds: float) -> None:
    """Three thirds, of which the first fills what fills; the others cost nothing that stays."""
    with ObservedServer(db, resume_window=0.2) as server:
        mix = Mix(server.url)
        figures = []
        for _ in range(3):
            done = mix.run(seconds / 3)
            assert done > 20
            figures.append(server.rested())
            print(figures[-1], done)
        check_flat(figures[1], figures[2], done)


def test_twenty_seconds(tmp_path: Path) -> None:
    """Asked, streamed, said, joined, left, stopped, looked at and refused."""
    load(str(tmp_path / "chat.db"), 20)


@pytest.mark.full
def test_half_an_hour(tmp_path: Path) -> None:
    """The same for 30 minutes."""
    load(str(tmp_path / "chat.db"), 1800)
