"""What those who look after a server ask it: whether it lives, whether it is ready, its figures."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi_exchange import Exchange, application, ask, run
from server_wire import COMPLETIONS, Api, check_refusal, give_key, serving

from chatserver_sdk.engine import Turn
from chatserver_sdk.models import Role
from chatserver_sdk.server.metrics import Metrics
from chatserver_sdk.testing import RunningServer


@pytest.fixture
def anonymous(server: RunningServer) -> Iterator[Api]:
    """Somebody without a key."""
    api = Api(server.base_url, None)
    yield api
    api.close()


def figures(api: Api) -> dict[str, float]:
    """Every figure, by its name with its labels."""
    text = api.get("/metrics").text
    lines = (line.rpartition(" ") for line in text.splitlines() if line[:1] != "#")
    return {name: float(value) for name, _, value in lines}


@pytest.mark.parametrize(
    ("path", "status"), [("/health", "ok"), ("/health/live", "live"), ("/health/ready", "ready")]
)
def test_health_of_a_server_that_works(anonymous: Api, path: str, status: str) -> None:
    """Nobody needs a key, and nothing is told but a word and the version."""
    answer = anonymous.get(path)
    assert answer.status_code == 200 and answer.json()["status"] == status
    assert {*answer.json()} <= {"status", "version"}


def test_a_store_that_is_gone() -> None:
    """The process lives and is not ready, in a sentence that names no particulars."""

    async def work() -> tuple[Exchange, Exchange, Exchange]:
        async with application() as app:
            before = await ask(app, Exchange(b""), "/health/ready", "GET")
            app.services.store.close()
            after = await ask(app, Exchange(b""), "/health/ready", "GET")
            return before, after, await ask(app, Exchange(b""), "/health/live", "GET")

    before, after, live = run(work)
    assert (before.status, after.status, live.status) == (200, 503, 200)
    assert after.error["message"] == "the store does not answer"


def test_a_store_that_hangs() -> None:
    """However many ask whether it is ready, the store is asked once; when it answers, all know."""
    begun, go_on = threading.Event(), threading.Event()

    def hang(connection: Any) -> None:
        begun.set()
        go_on.wait()

    async def work() -> Any:
        async with application() as app:
            store = app.services.store
            hanging = asyncio.ensure_future(store.read(hang))
            await asyncio.to_thread(begun.wait)
            late = await asyncio.gather(*(is_ready(app) for _ in range(20)))
            asked = store.waiting()
            go_on.set()
            await hanging
            return late, asked, await is_ready(app)

    assert run(work) == ([503] * 20, 1, 200)


async def is_ready(app: Any) -> int:
    """The status of the answer to who asks whether it is ready."""
    return (await ask(app, Exchange(b""), "/health/ready", "GET")).status


def test_a_table_that_is_gone(tmp_path: Path) -> None:
    """A database that answers with an error does not make a server ready."""
    db = tmp_path / "chat.db"
    with serving(db=str(db)) as api:
        with sqlite3.connect(db) as connection:
            connection.execute("ALTER TABLE alembic_version RENAME TO elsewhere")
        connection.close()
        assert api.get("/health/ready").status_code == 503


def test_a_server_that_stops() -> None:
    """It lives, is not ready, and takes no question; the answer says when to ask again."""

    async def work() -> list[Exchange]:
        async with application() as app:
            app.services.chat.begin_closing()
            asked = await ask(
                app,
                Exchange(b'{"model":"echo","messages":[{"role":"user",' b'"content":"x"}]}'),
                COMPLETIONS,
            )
            ready = await ask(app, Exchange(b""), "/health/ready", "GET")
            return [asked, ready, await ask(app, Exchange(b""), "/health/live", "GET")]

    asked, ready, live = run(work)
    assert [asked.status, ready.status, live.status] == [503, 503, 200]
    assert asked.error["code"] == "shutting_down"
    assert (b"retry-after", b"2") in asked.sent[0]["headers"]
    assert ready.error["message"] == "the server is stopping"


def test_who_may_see_the_figures(server: RunningServer, api: Api, anonymous: Api, db: Path) -> None:
    """An administrator; everybody where the operator says so."""
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    check_refusal(anonymous.get("/metrics"), 401)
    listed = api.get("/api/v1/platform/admins").json()["admins"]
    service = Api(server.base_url, give_key(str(db), listed[0]["id"], Role.SERVICE))
    check_refusal(service.get("/metrics"), 403)
    service.close()
    with serving(metrics_public=True) as public:
        nobody = Api(public.base_url, None)
        assert nobody.get("/metrics").status_code == 200
        nobody.close()


def test_what_is_counted() -> None:
    """Requests, turns, tokens, events and commits; each server counts its own."""
    with serving() as api, serving() as other:
        api.ask("one two three")
        api.ask("one two", user="ada")
        assert len(api.stream("a b").content) > 0
        api.get("/v1/models/echo")
        api.get("/v1/models/nobody")
        api.get("/no/such/path")
        api.call("PROPFIND", "/no/such/path")
        found, others = figures(api), figures(other)

    def count(name: str, **labels: str) -> float:
        pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return found[f"{name}{{{pairs}}}"]

    requests = "chatserver_requests_total"
    assert count(requests, method="POST", route=COMPLETIONS, status="2xx") == 3
    assert count(requests, method="GET", route="/v1/models/{model}", status="2xx") == 1
    assert count(requests, method="GET", route="/v1/models/{model}", status="4xx") == 1
    assert count(requests, method="GET", route="unknown", status="4xx") == 1
    assert count(requests, method="OTHER", route="unknown", status="4xx") == 1
    assert count("chatserver_request_seconds_count", route=COMPLETIONS) == 3
    assert count("chatserver_turns_total", model="echo", state="completed") == 3
    assert count("chatserver_tokens_total", kind="completion", model="echo") == 7
    assert found["chatserver_events_sent_total"] >= 4
    assert found["chatserver_turns_running"] == found["chatserver_readers"] == 0
    assert found["chatserver_store_jobs_total"] >= found["chatserver_store_commit_seconds_count"]
    assert found["chatserver_store_waiting"] == 0
    assert not [name for name in others if "turns_total" in name and others[name]]


def test_labels_are_bounded() -> None:
    """Paths, methods and models that callers think of make no series of their own."""
    with serving() as api:
        for n in range(50):
            api.get(f"/v1/models/m{n}")
            api.get(f"/x{n}")
            api.ask("x", model=f"m{n}")
            api.get(f"{COMPLETIONS}/t{n}/events")
        names = figures(api).keys()
    routes = {match for name in names for match in re.findall('route="([^"]*)"', name)}
    assert routes == {
        "/v1/models/{model}",
        "unknown",
        COMPLETIONS,
        COMPLETIONS + "/{turn_id}/events",
    }
    metrics = Metrics()
    turn = Turn("t", session_id="s", model="of-another-time", user_id=None)
    metrics.count_turn(turn)
    assert b"of-another-time" not in metrics.exposition()
