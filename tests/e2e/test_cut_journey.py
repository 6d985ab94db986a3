"""The real client, the real server, and a line between them that breaks wherever it likes."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cutting_proxy import CuttingProxy

from chatserver_sdk import ChatServerClient, ConflictError, NotFoundError, RetryPolicy
from chatserver_sdk.testing import Pause, ScriptedAgent, running_server

PATIENT = RetryPolicy(max_retries=8, backoff=0.001, max_backoff=0.01)
TEXT = " ".join(f"word{number}" for number in range(60))
SEEDS = range(6)


def client_of(proxy: CuttingProxy, key: str) -> ChatServerClient:
    """A client behind the line."""
    return ChatServerClient(key, proxy.base_url, max_retries=PATIENT)


@pytest.mark.parametrize("user", [None, "ada"])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_word_is_lost_or_repeated(seed: int, user: str | None) -> None:
    """However often the line breaks, the stream is whole, and the model was asked once."""
    chance = random.Random(seed)
    cuts = [chance.randrange(400, 4000) for _ in range(12)]
    agent = ScriptedAgent("counter", [word + " " for word in TEXT.split()])
    with running_server(agents=[agent]) as server, CuttingProxy(server.base_url, *cuts) as proxy:
        with client_of(proxy, server.api_key) as client:
            for round in range(3):
                stream = client.create_completion(
                    "counter", f"Round {round}", user=user, stream=True
                )
                assert "".join(stream).split() == TEXT.split()
        assert proxy.connections > 3
        assert len(agent.questions) == 3


@pytest.mark.parametrize("cut", [0, 1, 17, 200, 260])
def test_a_whole_answer_over_a_line_that_breaks(cut: int) -> None:
    """The question is sent again under its key: one turn, one place in the history."""
    agent = ScriptedAgent("once", "The answer.")
    with (
        running_server(agents=[agent]) as server,
        CuttingProxy(server.base_url, None, cut) as proxy,
    ):
        with client_of(proxy, server.api_key) as client:
            client.list_models()  # so that it knows whom it talks to
            client.session.close()
            answer = client.create_completion("once", "Hello", user="ada")
            assert answer.choices[0].message.content == "The answer."
            detail = client.get_session(answer.system_fingerprint or "", user_id="ada")
    assert [message.text for message in detail.messages] == ["Hello", "The answer."]
    assert len(agent.questions) == 1


def test_one_key_many_times_at_once() -> None:
    """Twenty programs with the same key get one answer; another body under it is refused."""
    gate = threading.Event()
    agent = ScriptedAgent("once", [Pause(gate), "The answer."])
    headers = {"Idempotency-Key": "order-7"}
    with running_server(agents=[agent]) as server, server.client() as client:

        def ask(number: int) -> str | None:
            if number % 2:
                stream = client.create_completion("once", "Hi", stream=True, extra_headers=streamed)
                return "".join(stream)
            answer = client.create_completion("once", "Hi", extra_headers=headers)
            return answer.choices[0].message.text

        streamed = {"Idempotency-Key": "order-8"}
        with ThreadPoolExecutor(20) as pool:
            answers = pool.map(ask, range(20))
            gate.set()
            assert list(answers) == ["The answer."] * 20
        assert len(agent.questions) == 2
        with pytest.raises(ConflictError) as caught:
            client.create_completion("once", "Something else", extra_headers=headers)
        assert caught.value.code == "idempotency_key_reused"


@pytest.mark.parametrize("user", [None, "ada"])
def test_another_process_takes_a_stream_up(user: str | None) -> None:
    """A cursor is enough, while it runs and afterwards; for nobody else's key."""
    gate = threading.Event()
    agent = ScriptedAgent("slow", ["One ", "two ", Pause(gate), "three ", "four"])
    with (
        running_server(agents=[agent]) as server,
        server.client() as first,
        server.client() as other,
    ):
        stream = first.create_completion("slow", "Count", user=user, stream=True)
        assert [next(stream), next(stream)] == ["One ", "two "]
        cursor = stream.cursor
        assert cursor is not None
        stream.close()
        resumed = other.resume_stream(cursor)
        assert resumed.metadata["system_fingerprint"] == stream.metadata["system_fingerprint"]
        gate.set()
        assert list(resumed) == ["three ", "four"]
        again = other.resume_stream(cursor.rpartition(":")[0] + ":0")
        assert again.response().choices[0].message.text == "One two three four"
        assert list(other.resume_stream(resumed.cursor or "")) == []
        with pytest.raises(NotFoundError):
            other.resume_stream("00000000-0000-4000-8000-000000000000:1")
