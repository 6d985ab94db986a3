"""GET /api/v2/sessions/{id}/chat/events: every place, several readers, and what is too late."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from scripted_agents import Gate, ScriptedAgent
from server_wire import Api, check_refusal, serving
from session_wire import Said, events_of, join, names, open_session, parse, say, words


def seq_of(event: Said) -> int:
    """The number of an event."""
    return int(event.id.rpartition(":")[2])


@pytest.mark.parametrize("model", ["showing", "failing"])
def test_every_place(api: Api, model: str) -> None:
    """From whichever place one goes on, what comes is what came; named in each of the ways."""
    session_id = open_session(api, model)
    first = say(api, session_id, "x")
    events, turn_id = events_of(first), first.headers["X-Turn-Id"]
    last = seq_of(events[-1])
    assert join(api, session_id).content == first.content
    for after in range(last):
        rest = [event for event in events if seq_of(event) > after]
        for place in (
            {"after": after},
            {"after": f"{turn_id}:{after}"},
            {"headers": {"Last-Event-ID": f"{turn_id}:{after}"}},
            {"turn_id": turn_id, "headers": {"Last-Event-ID": f"{turn_id.upper()}:{after}"}},
        ):
            assert events_of(join(api, session_id, **place)) == rest
    assert names(events_of(join(api, session_id, after=last))) == ["interaction_end"]
    # The last turn is meant where none is named; a name reaches those before.
    second = say(api, session_id, "y")
    assert join(api, session_id).content == second.content
    assert join(api, session_id, turn_id=turn_id).content == first.content
    assert join(api, session_id, after=f"{turn_id}:0").content == first.content


def test_the_header_wins(api: Api) -> None:
    """Over `after`; an empty one, as of an EventSource that has seen nothing, does not."""
    session_id = open_session(api)
    turn_id = say(api, session_id, "one two").headers["X-Turn-Id"]
    place = {"Last-Event-ID": f"{turn_id}:1"}
    assert seq_of(events_of(join(api, session_id, after=2, headers=place))[0]) == 2
    assert seq_of(events_of(join(api, session_id, after=2, headers={"Last-Event-ID": ""}))[0]) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"after": "-1"},
        {"after": "x"},
        {"after": "1" * 16},
        {"after": "x:1"},
        {"turn_id": "x"},
        {"headers": {"Last-Event-ID": "x"}},
        {"after": f"{uuid4()}:1", "turn_id": str(uuid4())},
    ],
)
def test_what_is_no_place(api: Api, options: dict[str, Any]) -> None:
    """400, in the one shape of errors."""
    session_id = open_session(api)
    say(api, session_id, "x")
    check_refusal(join(api, session_id, **options), 400)


def test_nothing_to_join(api: Api) -> None:
    """404 before anything was said, for a turn that is not known, and for another session's."""
    session_id = open_session(api)
    check_refusal(join(api, session_id), 404)
    other = say(api, open_session(api), "x").headers["X-Turn-Id"]
    for turn_id in (str(uuid4()), other):
        check_refusal(join(api, session_id, turn_id=turn_id), 404)


def test_a_place_that_is_too_far(api: Api) -> None:
    """410 `resync`: a place that this turn does not have."""
    session_id = open_session(api)
    say(api, session_id, "x")
    assert check_refusal(join(api, session_id, after=999), 410)["code"] == "resync"


def test_a_log_that_is_not_kept(tmp_path: Path) -> None:
    """410 `resync`, never silence; what was said before is in the history."""
    db = tmp_path / "store.db"
    with serving(db=str(db)) as api:
        session_id = open_session(api)
        first = say(api, session_id, "x")
    with serving(db=str(db)) as api:
        # Memory is empty now; the store has it.
        assert join(api, session_id).content == first.content
    connection = sqlite3.connect(db)
    with connection:
        connection.execute("DELETE FROM turn_logs")
    connection.close()
    with serving(db=str(db)) as api:
        for place in ({}, {"after": 1}, {"turn_id": first.headers["X-Turn-Id"]}):
            assert check_refusal(join(api, session_id, **place), 410)["code"] == "resync"
        assert api.history(session_id) == [("user", "x"), ("assistant", "x")]


def test_several_readers_at_once() -> None:
    """Who joins in the middle reads what the first one reads, live, to the same end."""
    gate = Gate()
    with serving(ScriptedAgent("a ", gate, "b", name="slow")) as api:
        session_id = open_session(api, "slow")
        first = say(api, session_id, "x", lazy=True)
        assert gate.reached.wait(30)
        found: list[bytes] = []

        def read() -> None:
            reader = Api(api.base_url, api.key)
            found.append(join(reader, session_id).content)
            reader.close()

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        late = join(api, session_id, after=2, lazy=True)
        gate.open()
        for reader in readers:
            reader.join()
        assert found == [first.content] * 3
        assert words(list(parse(late.content))) == "b"


def test_a_dead_server_leaves_its_turn_readable(tmp_path: Path) -> None:
    """What ran when the store was last used is interrupted, told by `resync`, and blocks nothing."""
    db = tmp_path / "store.db"
    with serving(db=str(db)) as api:
        session_id = open_session(api)
        turn_id = say(api, session_id, "x").headers["X-Turn-Id"]
    connection = sqlite3.connect(db)
    with connection:
        # As a process that was killed leaves it.
        connection.execute("UPDATE turns SET state = 'running'")
        connection.execute("DELETE FROM turn_logs")
    connection.close()
    with serving(db=str(db)) as api:
        assert check_refusal(join(api, session_id, turn_id=turn_id), 410)["code"] == "resync"
        assert words(events_of(say(api, session_id, "y"))) == "y"
