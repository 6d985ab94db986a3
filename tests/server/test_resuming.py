"""GET /v1/chat/completions/{turn_id}/events: every place at which a reader may have been left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from scripted_agents import Gate, ScriptedAgent
from server_wire import (
    COMPLETIONS,
    Api,
    check_refusal,
    connected,
    events_of,
    give_key,
    parse,
    raw_request,
    request,
    serving,
    text_of,
)

from chatserver_sdk.models import Role

WHOLE = [
    ("showing", {"user": "ada"}),
    ("showing", {}),
    ("failing", {"user": "ada"}),
    ("refusing", {}),
]


def events_path(turn_id: str) -> str:
    """Where a turn's events are."""
    return f"{COMPLETIONS}/{turn_id}/events"


def resume(api: Api, turn_id: str, after: int | str | None = None, **options: Any) -> Any:
    """The answer to going on behind `after`."""
    params = {} if after is None else {"after": after}
    return api.call("GET", events_path(turn_id), params=params, **options)


def blocks_of(answer: requests.Response) -> list[bytes]:
    """The events of a stream, byte for byte."""
    return [block + b"\n\n" for block in answer.content.split(b"\n\n")[:-1]]


def seq_of(block: bytes) -> int:
    """The number of an event."""
    return int(block.partition(b"\n")[0].rpartition(b":")[2])


def check_every_place(api: Api, first: requests.Response) -> None:
    """From whichever place one goes on, what comes is what came, to the last byte."""
    turn_id, blocks = first.headers["X-Turn-Id"], blocks_of(first)
    last = seq_of(blocks[-1])
    assert resume(api, turn_id).content == first.content
    for after in range(last):
        answer = resume(api, turn_id, after)
        assert answer.content == b"".join(b for b in blocks if seq_of(b) > after)
        for name in ("X-Session-Id", "X-Turn-Id", "Content-Type"):
            assert answer.headers[name] == first.headers[name]
    for after in (last + 1, 10**15 - 1):
        # Places that there never were are none, also once the turn has ended.
        assert resume(api, turn_id, after).status_code == 400
    for after in (last,):
        # The last chunk and [DONE] share an id: whoever has it may still wait for the end.
        assert resume(api, turn_id, after).content == blocks[-1]


@pytest.mark.parametrize(("model", "fields"), WHOLE)
def test_what_has_ended_is_read_again_from_memory(
    api: Api, model: str, fields: dict[str, Any]
) -> None:
    """From every place, with and without a history, answers and failures."""
    with api.stream("hello", model=model, **fields) as first:
        blocks = blocks_of(first)

    assert (b"[DONE]" in blocks[-1]) == (model == "showing")
    check_every_place(api, first)


def test_what_has_ended_is_read_again_from_the_store(tmp_path: Path) -> None:
    """Days later and by another process, the chunks are the same, byte for byte."""
    texts = ("üñí 🙂 \u2028 \r\n\t\0 " * 7, "word " * 700)
    db = str(tmp_path / "store.db")
    with serving(db=db) as first:
        answers = [first.stream(text, user="ada") for text in texts]
        contents = [answer.content for answer in answers]
    with serving(db=db, resume_window=0) as again:
        for answer, content in zip(answers, contents):
            turn_id = answer.headers["X-Turn-Id"]
            assert resume(again, turn_id).content == content
            assert text_of(list(parse(content))) in texts
        check_every_place(again, answers[0])


def test_a_stored_failure_is_read_again(tmp_path: Path) -> None:
    """Also from the store it says its error, and no [DONE]."""
    agent = ScriptedAgent("half ", ValueError("secret"), name="failing")
    with serving(agent, db=str(tmp_path / "store.db"), resume_window=0) as api:
        with api.stream("x", model="failing", user="ada") as first:
            blocks = blocks_of(first)
        check_every_place(api, first)

    assert json.loads(blocks[-1].partition(b"data: ")[2])["error"]["code"] == "agent_failed"


@pytest.fixture
def gate() -> Gate:
    """What `held` waits at in the middle of its answer."""
    return Gate()


@pytest.fixture
def held(gate: Gate) -> ScriptedAgent:
    """An agent that stops in the middle until the gate is open."""
    return ScriptedAgent("first ", gate, "second", name="held")


@pytest.fixture
def live(held: ScriptedAgent, tmp_path: Path) -> Iterator[Api]:
    """A server with that agent and a store of its own."""
    with serving(held, db=str(tmp_path / "live.db")) as api:
        yield api


def cut_off(api: Api, **fields: Any) -> tuple[str, bytes]:
    """Ask `held` and lose the connection behind its first text; the turn's id, what was seen."""
    body = json.dumps(request("x", model="held", stream=True, **fields)).encode()
    headers = {b"Authorization": f"Bearer {api.key}".encode()}
    seen = b""
    with connected(api.base_url) as connection:
        connection.sendall(raw_request(COMPLETIONS.encode(), headers, body, b"POST"))
        while b"first " not in seen:
            seen += connection.recv(65536)
    head = seen.partition(b"\r\n\r\n")[0].decode().lower()
    turn_id = next(line[11:] for line in head.splitlines() if line.startswith("x-turn-id: "))
    return turn_id, seen


@pytest.mark.parametrize("fields", [{"user": "ada"}, {}])
def test_what_runs_goes_on(live: Api, gate: Gate, fields: dict[str, Any]) -> None:
    """What was said comes at once, the rest as it is said, and the agent was asked only once."""
    turn_id, _ = cut_off(live, **fields)

    with resume(live, turn_id, 2, stream=True) as late, resume(live, turn_id, stream=True) as all:
        chunks = all.iter_content(65536)
        begun = next(chunks)
        gate.open()
        rest = b"".join(chunks)
        behind = late.content

    assert text_of(list(parse(begun + rest))) == "first second"
    events = list(parse(behind))
    assert text_of(events) == "second" and events[-1].data == "[DONE]"
    assert (begun + rest).endswith(behind)


def test_many_readers_at_once(live: Api, gate: Gate, held: ScriptedAgent) -> None:
    """Twenty come back to one answer, at different places, and each sees the same end."""
    turn_id, _ = cut_off(live, user="ada")

    def read(number: int) -> list[str]:
        mine = Api(live.base_url, live.key)
        with resume(mine, turn_id, number % 3, stream=True) as answer:
            if number == 19:
                gate.open()
            content = answer.content
        mine.close()
        return [event.data for event in parse(content)]

    with ThreadPoolExecutor(20) as pool:
        seen = list(pool.map(read, range(20)))

    assert all(data == seen[0][number % 3 :] for number, data in enumerate(seen))
    assert len(held.questions) == 1


def test_silence_behind_the_last_event(live: Api, gate: Gate) -> None:
    """Who has everything so far waits; who names an event that was not said yet is told so."""
    turn_id, _ = cut_off(live, user="ada")

    error = check_refusal(resume(live, turn_id, 3), 400)
    gate.open()

    assert (error["param"], error["code"]) == ("after", "invalid_value")


GOOD = [(None, None, 0), ("2", None, 2), (None, 2, 2), ("3", 1, 3), ("0", 99, 0)]


@pytest.mark.parametrize(("header", "after", "place"), GOOD)
def test_where_to_go_on(api: Api, header: str | None, after: int | None, place: int) -> None:
    """The header wins over the parameter; without either it is the beginning."""
    with api.stream("a b", user="ada") as first:
        turn_id, blocks = first.headers["X-Turn-Id"], blocks_of(first)
    headers = {} if header is None else {"Last-Event-ID": f"{turn_id}:{header}"}

    answer = resume(api, turn_id, after, headers=headers)
    upper = resume(api, turn_id.upper(), after, headers=headers)

    assert answer.content == upper.content == b"".join(b for b in blocks if seq_of(b) > place)


OTHER = "0a1b2c3d-0000-4000-8000-00000000abcd"
BAD_IDS = ["2", ":2", "{id}", "{id}:", "{id}:x", "{id}:-1", "{id}:1.5", "{id}: 1", "{id}:²"]
BAD_IDS += [f"{OTHER}:2", "x{id}:2", "{id}:2:2", "{id}:" + "9" * 16, "x" * 1000]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_headers_that_name_no_place(api: Api, bad: str) -> None:
    """400 with the header's name, also where the parameter would be right."""
    with api.stream("a", user="ada") as first:
        turn_id = first.headers["X-Turn-Id"]
    sent = bad.replace("{id}", turn_id).encode("utf-8").decode("latin-1")

    answer = resume(api, turn_id, 1, headers={"Last-Event-ID": sent})

    error = check_refusal(answer, 400)
    assert (error["param"], error["code"]) == ("Last-Event-ID", "invalid_value")


@pytest.mark.parametrize("bad", ["", "x", "-1", "1.5", " 1", "٣", "9" * 16, "1e3"])
def test_parameters_that_are_no_place(api: Api, bad: str) -> None:
    """400 with the parameter's name."""
    with api.stream("a", user="ada") as first:
        turn_id = first.headers["X-Turn-Id"]

    assert check_refusal(resume(api, turn_id, bad), 400)["param"] == "after"


@pytest.mark.parametrize("turn_id", [OTHER, "x", "%00", "x" * 1000, "ü"])
def test_unknown_turns(api: Api, turn_id: str) -> None:
    """404, whatever stands where the id should be."""
    assert check_refusal(resume(api, turn_id), 404)["code"] == "not_found"


def test_only_reading(api: Api) -> None:
    """405 for whatever else, with what is possible; 401 without a key."""
    for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        answer = api.call(method, events_path(OTHER))
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    stranger = Api(api.base_url, None)
    check_refusal(resume(stranger, OTHER), 401)
    stranger.close()


@pytest.mark.parametrize("window", [0, 60])
def test_who_may_read(tmp_path: Path, window: float) -> None:
    """Who asked, the user, and who may act for the user; for all others there is no such turn."""
    db = str(tmp_path / "store.db")
    with serving(db=db, resume_window=window) as root:
        assert root.key is not None
        roles = {
            "root": root.key,
            "service": give_key(db, _principal(db), Role.SERVICE),
            "ada": give_key(db, _principal(db), Role.USER, "ada"),
            "bob": give_key(db, _principal(db), Role.USER, "bob"),
            "nobody": give_key(db, _principal(db), Role.USER),
        }
        apis = {name: Api(root.base_url, key) for name, key in roles.items()}
        turns = {
            "ada's": ask(apis["ada"]),
            "for ada": ask(apis["service"], user="ada"),
            "nobody's": ask(apis["service"]),
            "nobody's own": ask(apis["nobody"]),
        }
        read = {
            (name, turn): resume(api, turns[turn]).status_code
            for name, api in apis.items()
            for turn in turns
        }
        for api in apis.values():
            api.close()

    # What was let go is known to have been there to whoever asked it, and to nobody else.
    own = 200 if window else 410
    assert [read["root", turn] for turn in turns] == [200, 200, 404, 404]
    assert [read["service", turn] for turn in turns] == [200, 200, own, 404]
    assert [read["ada", turn] for turn in turns] == [200, 200, 404, 404]
    assert [read["bob", turn] for turn in turns] == [404] * 4
    assert [read["nobody", turn] for turn in turns] == [404, 404, 404, own]


def ask(api: Api, **fields: Any) -> str:
    """The id of a turn that has ended and was read as a stream: of those without a history, whole
    answers are not kept."""
    with api.stream("x", **fields) as answer:
        assert answer.content
        return answer.headers["X-Turn-Id"]


def _principal(db: str) -> str:
    """A new principal, written into the database beside the server."""
    principal_id = str(uuid4())
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA busy_timeout=5000")
        statement = "INSERT INTO principals (id, created_at) VALUES (?, 0)"
        connection.execute(statement, (principal_id,))
    connection.close()
    return principal_id


def test_an_answer_that_is_nobodys_is_not_kept() -> None:
    """Behind the window it is 410 with the code that says so."""
    with serving(resume_window=0) as api:
        error = check_refusal(resume(api, ask(api)), 410)

    assert error["code"] == "resume_window_passed"


def test_a_whole_answer_without_a_history(api: Api) -> None:
    """It cannot be read again, within the window either; nobody but its asker knew its id."""
    turn_id = api.ask("x").headers["X-Turn-Id"]
    check_refusal(resume(api, turn_id), 404)


@pytest.mark.parametrize("damage", ["state", "log", "rubbish"])
def test_a_turn_whose_log_is_lost(tmp_path: Path, damage: str) -> None:
    """410: what its process took along, or what nobody can read any more."""
    db = str(tmp_path / "store.db")
    statements = {
        "state": "UPDATE turns SET state = 'interrupted'; DELETE FROM turn_logs",
        "log": "UPDATE turn_logs SET events = '[]'",
        "rubbish": """UPDATE turn_logs SET events = '[{"type":"from_the_future"}]'""",
    }
    with serving(db=db, resume_window=0) as api:
        turn_id = ask(api, user="ada")
        connection = sqlite3.connect(db, timeout=60)
        connection.executescript(statements[damage])
        connection.close()
        errors = [check_refusal(resume(api, turn_id), 410) for _ in range(2)]

    assert {error["code"] for error in errors} == {"resume_window_passed"}


def test_events_of(api: Api) -> None:
    """A stream that is taken up has the events' own form."""
    with api.stream("a b", user="ada") as first:
        first_events = events_of(first)

    assert events_of(resume(api, first.headers["X-Turn-Id"])) == first_events
