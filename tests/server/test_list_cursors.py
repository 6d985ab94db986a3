"""Lists by cursor, on the wire: nothing is lost and nothing repeated, whatever happens meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from server_wire import PLATFORM, SESSIONS, Api, check_refusal, serving

AUDIT = f"{PLATFORM}/audit"


@pytest.fixture
def db(tmp_path: Path) -> str:
    """The file of this test's own store."""
    return str(tmp_path / "store.db")


@pytest.fixture
def api(db: str) -> Iterator[Api]:
    """A server over it."""
    with serving(db=db) as api:
        yield api


def run_sql(db: str, *statements: str) -> None:
    """Change the store beside the server."""
    connection = sqlite3.connect(db, timeout=60)
    connection.executescript(";".join(statements))
    connection.close()


def follow(
    api: Api, path: str, meanwhile: Callable[[int], None] = lambda page: None, **params: Any
) -> list[Any]:
    """The ids on all pages, with something that happens behind each of them."""
    name = "sessions" if path == SESSIONS else "entries"
    found, cursor, page = [], "", 0
    while cursor is not None:
        answer = api.get(path, cursor=cursor, **params).json()
        assert answer.get("has_more", answer["next_cursor"] is not None) is not (
            answer["next_cursor"] is None
        )
        found += [entry["id"] for entry in answer[name]]
        cursor, page = answer["next_cursor"], page + 1
        meanwhile(page)
        assert page < 100
    return found


def opened(api: Api, count: int, user: str = "ada") -> list[str]:
    """New sessions, the one that was opened last first."""
    answers = [api.ask(str(number), user=user) for number in range(count)]
    return [answer.headers["X-Session-Id"] for answer in answers][::-1]


@pytest.mark.parametrize("page_size", [1, 2, 3, 6, 7, 8, 100])
def test_every_session_once(api: Api, page_size: int) -> None:
    """Whatever the pages' size, the one that was opened last first; nobody else's."""
    sessions = opened(api, 7)
    opened(api, 2, "bob")

    assert follow(api, SESSIONS, user_id="ada", page_size=page_size) == sessions


def test_sessions_change_meanwhile(api: Api, db: str) -> None:
    """Those that were there when paging began and are still there come exactly once."""
    sessions = opened(api, 9)
    deleted = sessions[5]

    def meanwhile(page: int) -> None:
        # The oldest is asked again and moves to the front of lists by time; new ones are opened.
        api.ask("again", user="ada", metadata={"session_id": sessions[8]})
        opened(api, 2)
        if page == 1:
            run_sql(
                db,
                f"UPDATE sessions SET updated_at = 0 WHERE id = '{sessions[3]}'",
                f"DELETE FROM messages WHERE session_id = '{deleted}'",
                "DELETE FROM turn_logs WHERE turn_id IN"
                f" (SELECT id FROM turns WHERE session_id = '{deleted}')",
                f"DELETE FROM turns WHERE session_id = '{deleted}'",
                f"DELETE FROM sessions WHERE id = '{deleted}'",
                # Also the one that the next page begins behind.
                f"UPDATE sessions SET status = 'archived' WHERE id = '{sessions[1]}'",
            )

    found = follow(api, SESSIONS, meanwhile, user_id="ada", page_size=2)

    assert found == [session for session in sessions if session != deleted]


def test_the_last_of_a_page_is_deleted(api: Api, db: str) -> None:
    """A cursor is a place, not an entry: what it was made from need not be there."""
    sessions = opened(api, 4)

    def meanwhile(page: int) -> None:
        if page == 1:
            run_sql(db, *(_deletion(sessions[1], table) for table in ("messages", "turn_logs")))
            run_sql(db, *(_deletion(sessions[1], table) for table in ("turns", "sessions")))

    assert follow(api, SESSIONS, meanwhile, user_id="ada", page_size=2) == sessions


def _deletion(session_id: str, table: str) -> str:
    column = {"turn_logs": "turn_id", "sessions": "id"}.get(table, "session_id")
    of_turns = f"(SELECT id FROM turns WHERE session_id = '{session_id}')"
    place = f"IN {of_turns}" if table == "turn_logs" else f"= '{session_id}'"
    return f"DELETE FROM {table} WHERE {column} {place}"


def test_sessions_of_one_moment(api: Api, db: str) -> None:
    """Opened in the same microsecond, they are told apart by their ids."""
    sessions = opened(api, 6)
    run_sql(db, "UPDATE sessions SET created_at = 1700000000000000")

    found = follow(api, SESSIONS, user_id="ada", page_size=2)

    assert found == sorted(sessions, reverse=True)


def test_the_usual_fields(api: Api) -> None:
    """They stand beside the cursor, which only those see who sent one."""
    opened(api, 3)
    plain = api.get(SESSIONS, user_id="ada", page_size=2).json()
    first = api.get(SESSIONS, user_id="ada", page_size=2, cursor="", page=7).json()
    nobody = api.get(SESSIONS, user_id="x", cursor="").json()
    log = api.get(AUDIT, limit=1).json()
    begun = api.get(AUDIT, limit=1, cursor="", offset=7).json()

    assert "next_cursor" not in plain and "next_cursor" not in log
    assert isinstance(first.pop("next_cursor"), str) and first == plain
    assert nobody["next_cursor"] is None and nobody["sessions"] == []
    assert isinstance(begun.pop("next_cursor"), str) and begun == log


def fill(db: str, count: int, begin: int = 100, **fields: str) -> None:
    """Write audit entries beside the server; entry n is of second n of the year 1970."""
    columns = {"action": "test.done", "user_id": "ada", **fields}
    names, values = ", ".join(columns), ", ".join(f"'{value}'" for value in columns.values())
    run_sql(
        db,
        *(
            f"INSERT INTO audit_entries (seq, timestamp, metadata, hash, {names})"
            f" VALUES ({number}, {number * 10**6}, '{{}}', '', {values})"
            for number in range(begin, begin + count)
        ),
    )


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 9, 200])
def test_every_entry_once(api: Api, db: str, limit: int) -> None:
    """Newest first, whatever the pages' size, also where entries are written meanwhile."""
    fill(db, 7)
    before = [entry["id"] for entry in api.get(AUDIT, limit=200).json()["entries"]]

    found = follow(api, AUDIT, lambda page: fill(db, 5, 1000 * page), limit=limit)

    assert found == before and len(before) == 9


def test_entries_are_deleted_meanwhile(api: Api, db: str) -> None:
    """What is still there comes once, also where the page's own last entry is gone."""
    fill(db, 8)

    def meanwhile(page: int) -> None:
        if page == 1:
            run_sql(db, "DELETE FROM audit_entries WHERE seq IN (103, 104, 106)")

    found = follow(api, AUDIT, meanwhile, limit=4)

    assert found == ["107", "106", "105", "104", "102", "101", "100", "2", "1"]


TIMES: list[tuple[dict[str, str], list[int]]] = [
    ({"since": "1970-01-01T00:01:42Z"}, [104, 103, 102]),
    ({"until": "1970-01-01T00:01:42Z"}, [101, 100]),
    ({"since": "1970-01-01T00:01:41", "until": "1970-01-01T00:01:43"}, [102, 101]),
    ({"since": "1970-01-01T01:01:41+01:00", "until": "1970-01-01T00:01:42.0000001"}, [101]),
    ({"since": "1970-01-01 00:01:41.000001"}, [104, 103, 102]),
    ({"until": "1970-01-02"}, [104, 103, 102, 101, 100]),
    ({"since": "0001-01-01", "until": "9999-12-31T23:59:59.999999Z"}, [104, 103, 102, 101, 100]),
    ({"since": "0001-01-01T00:00:00+14:00", "until": "0001-01-01T00:00:00-14:00"}, []),
    ({"since": "1970-01-01T00:01:42Z", "until": "1970-01-01T00:01:42Z"}, []),
]


@pytest.mark.parametrize(("window", "expected"), TIMES)
def test_entries_of_a_time(api: Api, db: str, window: dict[str, str], expected: list[int]) -> None:
    """From a moment on, and before one, with and without a time zone; by both ways of paging."""
    fill(db, 5)

    paged = follow(api, AUDIT, limit=2, user_id="ada", **window)
    whole = api.get(AUDIT, limit=200, user_id="ada", **window).json()
    second = api.get(AUDIT, limit=2, offset=1, user_id="ada", **window).json()

    assert paged == [str(number) for number in expected]
    assert [entry["id"] for entry in whole["entries"]] == paged
    assert [entry["id"] for entry in second["entries"]] == paged[1:3]


ACTIONS = ["admin.added", "admin.removed", "Admin.added", "key[1].a", "key1.a", "a?c", "abc", "a*c"]
GLOBS: list[tuple[str, list[str]]] = [
    ("admin.added", ["admin.added"]),
    ("admin.*", ["admin.added", "admin.removed"]),
    ("*.added", ["admin.added", "Admin.added"]),
    ("*", ACTIONS),
    ("**", ACTIONS),
    ("key[1].*", ["key[1].a"]),
    ("*[1]*", ["key[1].a"]),
    ("a?*", ["a?c"]),
    ("a?c", ["a?c"]),
    ("a*c", ["a?c", "abc", "a*c"]),
    ("admin", []),
    ("%", []),
    ("admin_added*", []),
    ("*a*a*a*a*a*a*a*a*a*a*b*", []),
]


@pytest.mark.parametrize(("pattern", "expected"), GLOBS)
def test_entries_of_an_action(api: Api, db: str, pattern: str, expected: list[str]) -> None:
    """Exactly, or with stars for any text; nothing else is special, and case counts."""
    for number, action in enumerate(ACTIONS):
        fill(db, 1, 100 + number, action=action, org_id="mine")

    found = api.get(AUDIT, action=pattern, org_id="mine").json()["entries"]

    assert [entry["action"] for entry in found] == expected[::-1]
    paged = follow(api, AUDIT, action=pattern, org_id="mine", limit=1)
    assert paged == [entry["id"] for entry in found]


@pytest.mark.parametrize("name", ["user_id", "org_id", "resource", "resource_id"])
def test_entries_of_somebody(api: Api, db: str, name: str) -> None:
    """Exactly this one, whatever the text; all filters hold together."""
    odd = "ü %_*?[a] +&"
    fill(db, 2, 100, **{name: odd})
    fill(db, 2, 200, **{name: "other"})

    assert follow(api, AUDIT, limit=1, **{name: odd}) == ["101", "100"]
    assert follow(api, AUDIT, limit=1, **{name: "*"}) == []
    assert follow(api, AUDIT, limit=1, **{name: odd, "action": "test.*"}) == ["101", "100"]
    assert follow(api, AUDIT, limit=1, **{name: odd, "action": "other"}) == []


BAD_FILTERS = [("since", bad) for bad in ("", "x", "yesterday", "2026-13-01", "1e9", "9" * 65)]
BAD_FILTERS += [("until", "2026-02-30T00:00:00Z"), ("until", "٣"), ("until", "0000-01-01")]
BAD_FILTERS += [(name, "") for name in ("action", "user_id", "org_id", "resource", "resource_id")]
BAD_FILTERS += [("action", "x" * 65), ("user_id", "x" * 257)]


@pytest.mark.parametrize(("name", "bad"), BAD_FILTERS)
def test_filters_that_are_none(api: Api, name: str, bad: str) -> None:
    """400 or 422 with the parameter at fault."""
    answer = api.get(AUDIT, **{name: bad})

    assert answer.status_code in (400, 422) and check_refusal(answer)["param"] == name


def test_cursors_of_other_lists(api: Api, db: str) -> None:
    """A cursor is taken by its own list alone: not another user's, not one filtered otherwise."""
    opened(api, 2)
    fill(db, 3)
    mine = api.get(SESSIONS, user_id="ada", page_size=1, cursor="").json()["next_cursor"]
    log = api.get(AUDIT, limit=1, cursor="").json()["next_cursor"]
    filtered = api.get(AUDIT, limit=1, cursor="", user_id="ada").json()["next_cursor"]

    refused = [
        api.get(SESSIONS, user_id="bob", cursor=mine),
        api.get(SESSIONS, user_id="ada", cursor=log),
        api.get(AUDIT, cursor=mine),
        api.get(AUDIT, cursor=log, user_id="ada"),
        api.get(AUDIT, cursor=filtered),
        *(api.get(path, user_id="ada", cursor="x") for path in (SESSIONS, AUDIT)),
        *(api.get(path, user_id="ada", cursor=str(uuid4())) for path in (SESSIONS, AUDIT)),
    ]

    assert {check_refusal(answer, 400)["param"] for answer in refused} == {"cursor"}
    # Another page's size is the same list.
    assert api.get(AUDIT, cursor=log, limit=200).status_code == 200
