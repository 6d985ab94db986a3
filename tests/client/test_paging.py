"""Lists that page by themselves, against servers with cursors, with offsets, and with no end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk import BadRequestError, ChatServerClient, DecodeError, InternalServerError
from chatserver_sdk import paging
from chatserver_sdk.models import (
    AuditEntry,
    AuditLogResponse,
    ChatSessionListResponse,
    ChatSessionSummary,
)
from chatserver_sdk.testing import Step, WireServer, json_answer

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
OURS = {"X-Chatserver": "0.2.0"}


def session(number: int) -> dict[str, Any]:
    at = START.isoformat()
    return {"id": f"s{number}", "user_id": "ada", "created_at": at, "updated_at": at}


def entry(number: int, **fields: Any) -> dict[str, Any]:
    """An audit entry; the one with the number n was written in minute n."""
    at = (START + timedelta(minutes=number)).isoformat()
    return {"id": str(number), "timestamp": at, "action": "test.done", **fields}


def sessions_page(*numbers: int, **fields: Any) -> list[Step]:
    return json_answer(200, {"sessions": [session(number) for number in numbers], **fields})


def log_page(*numbers: int, headers: dict[str, str] | None = None, **fields: Any) -> list[Step]:
    return json_answer(200, {"entries": [entry(number) for number in numbers], **fields}, headers)


def queries(server: WireServer) -> list[dict[str, str]]:
    """What was asked for, request by request."""
    asked = [urlsplit(request.path).query for request in server.requests]
    return [
        {key: values[0] for key, values in parse_qs(query, keep_blank_values=True).items()}
        for query in asked
    ]


def ids(listed: Iterator[Any]) -> list[str]:
    return [item.id for item in listed]


def test_sessions_by_cursor(wire_server: WireServer, client: ChatServerClient) -> None:
    """The empty cursor says that we know cursors; then each page says where the next begins."""
    wire_server.answers(
        sessions_page(3, 2, has_more=True, next_cursor="c1", total=3),
        sessions_page(1, has_more=False, next_cursor=None, total=3),
    )

    assert ids(client.iter_sessions("ada")) == ["s3", "s2", "s1"]
    assert [query["cursor"] for query in queries(wire_server)] == ["", "c1"]
    assert queries(wire_server)[0]["page_size"] == "100"
    assert queries(wire_server)[0]["user_id"] == "ada"


def test_sessions_by_page(wire_server: WireServer, client: ChatServerClient) -> None:
    """Where no cursor comes back pages are counted; what moved to a later page comes once."""
    wire_server.answers(
        sessions_page(4, 3, has_more=True),
        sessions_page(3, 2, has_more=True),
        sessions_page(2, 1, 1, has_more=False),
    )

    assert ids(client.iter_sessions("ada")) == ["s4", "s3", "s2", "s1"]
    assert [(query["page"], query.get("cursor")) for query in queries(wire_server)] == [
        ("1", ""),
        ("2", None),
        ("3", None),
    ]


@pytest.mark.parametrize(
    "last",
    [
        sessions_page(has_more=True),
        sessions_page(2, 1, has_more=True, total=2),
        sessions_page(has_more=True, total=7),
        sessions_page(has_more=True, next_cursor=""),
    ],
    ids=["empty", "all of them again", "empty, and wrongly counted", "an empty cursor"],
)
def test_a_server_that_always_has_more(
    wire_server: WireServer, client: ChatServerClient, last: list[Step]
) -> None:
    """An empty page is the end, whatever it says, and so is the number of all."""
    wire_server.answers(sessions_page(2, 1, has_more=True), last)

    assert ids(client.iter_sessions("ada")) == ["s2", "s1"]
    assert len(wire_server.requests) == 2


def test_the_end_behind_a_cursor(wire_server: WireServer, client: ChatServerClient) -> None:
    """A page without a next cursor is the last one, though it says that there is more."""
    wire_server.answers(
        sessions_page(2, has_more=True, next_cursor="c1"), sessions_page(1, has_more=True)
    )

    assert ids(client.iter_sessions("ada")) == ["s2", "s1"]


def test_pages_may_be_empty_behind_cursors(
    wire_server: WireServer, client: ChatServerClient
) -> None:
    """Servers that filter late give such pages; the cursor says that it goes on."""
    wire_server.answers(log_page(next_cursor="c1"), log_page(1, next_cursor=None))

    assert ids(client.iter_audit_log()) == ["1"]


Listing = Callable[[ChatServerClient], Iterator[Any]]
SESSIONS: Listing = lambda client: client.iter_sessions("ada")
AUDIT: Listing = lambda client: client.iter_audit_log()
FULL = range(200, 0, -1)


@pytest.mark.parametrize(
    ("listing", "page", "found", "requests"),
    [
        (SESSIONS, sessions_page(2, 1, has_more=True), 2, 21),
        (SESSIONS, sessions_page(2, 1, has_more=True, next_cursor="c1"), 2, 2),
        (AUDIT, log_page(*FULL, limit=200), 200, 21),
        (AUDIT, log_page(2, 1, limit=50), 2, 21),
        (AUDIT, log_page(2, 1, next_cursor="c1"), 2, 2),
        (AUDIT, log_page(next_cursor="c1"), 0, 2),
    ],
)
def test_the_same_page_for_ever(
    wire_server: WireServer,
    client: ChatServerClient,
    listing: Listing,
    page: list[Step],
    found: int,
    requests: int,
) -> None:
    """What came is given; then an error says that the list has no end, with the answer."""
    wire_server.answers(page)
    listed = listing(client)

    assert len(list(islice(listed, found))) == found
    with pytest.raises(DecodeError, match=f"no end: behind {found} entries the server gave") as err:
        next(listed)
    assert err.value.response is not None and err.value.response.status_code == 200
    assert err.value.request_id and len(wire_server.requests) == requests


@pytest.mark.parametrize("listing", [SESSIONS, AUDIT])
def test_new_cursors_for_ever(
    wire_server: WireServer, client: ChatServerClient, listing: Listing
) -> None:
    """Cursors that lead round in a circle end as well."""
    body = {"has_more": True, "sessions": [session(1)], "entries": [entry(1)]}
    wire_server.answers(
        *(json_answer(200, {**body, "next_cursor": f"c{number % 3}"}) for number in range(50))
    )

    with pytest.raises(DecodeError, match="20 pages in a row with nothing new"):
        list(listing(client))


@pytest.mark.parametrize("listing", [SESSIONS, AUDIT])
def test_nothing_is_sent_before_it_is_wanted(
    wire_server: WireServer, client: ChatServerClient, listing: Listing
) -> None:
    """The first request goes out with the first next(), the second when the page is used up."""
    body = {"sessions": [session(2), session(1)], "entries": [entry(2), entry(1)]}
    wire_server.answers(json_answer(200, {**body, "has_more": True, "next_cursor": "c1"}))
    wire_server.answers(json_answer(200, {"sessions": [], "entries": []}))

    listed = listing(client)
    assert len(wire_server.requests) == 0
    assert len(list(islice(listed, 2))) == 2 and len(wire_server.requests) == 1
    assert list(listed) == [] and len(wire_server.requests) == 2


BAD: list[tuple[str, Any]] = [
    *(("since", bad) for bad in ("", "yesterday", 5, "2026-13-01", "9999-12-31T24:00")),
    ("until", b"2026"),
    *((name, bad) for name in ("action", "user_id", "resource") for bad in ("", " ", 5)),
    *((name, "") for name in ("org_id", "resource_id")),
    ("extra_query", 5),
    ("extra_headers", {"a b": "c"}),
]


@pytest.mark.parametrize(("name", "bad"), BAD)
def test_bad_arguments(
    wire_server: WireServer, client: ChatServerClient, name: str, bad: Any
) -> None:
    """They are refused at the call, and nothing is sent."""
    with pytest.raises(BadRequestError) as err:
        client.iter_audit_log(**{name: bad})
    assert err.value.param == name and not wire_server.requests


def test_bad_arguments_of_sessions(wire_server: WireServer, client: ChatServerClient) -> None:
    """The same there; a name that is none is a TypeError, as everywhere in Python."""
    with pytest.raises(BadRequestError):
        client.iter_sessions("")
    with pytest.raises(BadRequestError):
        client.iter_sessions("ada", extra_query=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pages"):
        client.iter_sessions("ada", pages=5)  # type: ignore[call-arg]
    assert not wire_server.requests


def test_what_filters_send(wire_server: WireServer, client: ChatServerClient) -> None:
    """All of them on each page, and the options of the call; what is None is not sent."""
    wire_server.answers(log_page(9, next_cursor="c1"), log_page(8))
    listed = client.iter_audit_log(
        "2026-01-01",
        START + timedelta(days=1),
        "test.*",
        user_id=UUID(int=1),  # type: ignore[arg-type]
        extra_query={"mine": "yes"},
        extra_headers={"X-Mine": "yes"},
    )

    assert ids(listed) == []
    expected = {
        "since": "2026-01-01T00:00:00+00:00",
        "until": "2026-01-02T00:00:00+00:00",
        "action": "test.*",
        "user_id": str(UUID(int=1)),
        "limit": "200",
        "mine": "yes",
    }
    assert queries(wire_server) == [
        {**expected, "offset": "0", "cursor": ""},
        {**expected, "offset": "1", "cursor": "c1"},
    ]
    assert [request.headers["X-Mine"] for request in wire_server.requests] == ["yes", "yes"]


FIELDS = {"user_id": "ada", "org_id": "o", "resource": "admin", "resource_id": "7"}
ROWS = [
    entry(4, action="admin.added", **FIELDS),
    entry(3, action="key[1].a", **{**FIELDS, "user_id": "bob"}),
    entry(2, action="a?c", user_id=None),
    entry(1, action="Admin.added", resource_id="8"),
]
MINUTE_2 = START + timedelta(minutes=2)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "4321"),
        ({"since": MINUTE_2}, "432"),
        ({"since": "2026-01-01T01:02:00+01:00"}, "432"),
        ({"until": MINUTE_2}, "1"),
        ({"until": MINUTE_2.replace(tzinfo=None)}, "1"),
        ({"since": MINUTE_2, "until": MINUTE_2}, ""),
        ({"action": "admin.added"}, "4"),
        ({"action": "admin.*"}, "4"),
        ({"action": "*.added"}, "41"),
        ({"action": "key[1].*"}, "3"),
        ({"action": "a?c"}, "2"),
        ({"action": "admin?added"}, ""),
        ({"action": "admin"}, ""),
        ({"user_id": "ada"}, "4"),
        ({"org_id": "o", "resource": "admin"}, "43"),
        ({"resource_id": "8"}, "1"),
        ({"user_id": "bob", "action": "admin.*"}, ""),
    ],
)
def test_servers_that_ignore_filters(
    wire_server: WireServer, client: ChatServerClient, filters: dict[str, Any], expected: str
) -> None:
    """What does not match is left out here, by the rules of our server."""
    wire_server.answers(json_answer(200, {"entries": ROWS}), json_answer(200, {"entries": []}))

    assert "".join(ids(client.iter_audit_log(**filters))) == expected


@pytest.mark.parametrize("cursor", [None, "c2"])
def test_it_stops_at_what_is_too_old(
    wire_server: WireServer, client: ChatServerClient, cursor: str | None
) -> None:
    """Behind a page that is entirely older than `since` no other is asked for."""
    wire_server.answers(
        log_page(9, 8, next_cursor=cursor and "c1"), log_page(7, 6, next_cursor=cursor)
    )

    assert ids(client.iter_audit_log(since=START + timedelta(minutes=8))) == ["9", "8"]
    assert len(wire_server.requests) == 2


@pytest.mark.parametrize("limit", [None, 2, 50, 200])
def test_smaller_pages_than_were_asked_for(
    wire_server: WireServer, client: ChatServerClient, limit: int | None
) -> None:
    """A server that caps its pages loses nothing, whatever it says of the limit."""
    said: dict[str, Any] = {} if limit is None else {"limit": limit}
    wire_server.answers(log_page(5, 4, **said), log_page(3, 2, **said), log_page(1, **said))

    assert ids(client.iter_audit_log()) == ["5", "4", "3", "2", "1"]
    assert [query["offset"] for query in queries(wire_server)] == ["0", "2", "4"]


def test_a_short_page_of_our_server(wire_server: WireServer, client: ChatServerClient) -> None:
    """It says the truth: without a cursor there is no more, and one request is enough."""
    wire_server.answers(log_page(2, 1, limit=200, headers=OURS))

    assert ids(client.iter_audit_log()) == ["2", "1"]
    assert len(wire_server.requests) == 1


def test_pages_of_our_first_server(wire_server: WireServer, client: ChatServerClient) -> None:
    """It has no cursors: a page without one is not the last."""
    first = {"X-Chatserver": "0.1.0"}
    pages = [log_page(*numbers, limit=2, headers=first) for numbers in ((4, 3), (2, 1), ())]
    wire_server.answers(*pages)
    assert ids(client.iter_audit_log()) == ["4", "3", "2", "1"]


@pytest.mark.parametrize("listing", [SESSIONS, AUDIT])
def test_an_error_between_pages(
    wire_server: WireServer, client: ChatServerClient, listing: Listing
) -> None:
    """It is raised where the next page would come, and what came before it is there."""
    body = {"sessions": [session(1)], "entries": [entry(1)], "has_more": True, "next_cursor": "c"}
    wire_server.answers(json_answer(200, body), json_answer(500, {"detail": "broken"}))
    listed = listing(client)

    next(listed)
    with pytest.raises(InternalServerError, match="broken"):
        next(listed)


# What follows needs no bytes: a log that lives, behind pages of any size.


def entries_of(numbers: Sequence[int]) -> list[AuditEntry]:
    return [
        AuditEntry(str(number), START + timedelta(minutes=number), "test.done")
        for number in numbers
    ]


@given(
    size=st.integers(0, 30),
    cap=st.integers(1, 7),
    arrivals=st.lists(st.integers(0, 15), max_size=12),
    says=st.sampled_from([200, 50, None]),
)
def test_entries_arrive_while_offsets_are_counted(
    size: int, cap: int, arrivals: list[int], says: int | None
) -> None:
    """Whatever arrives between which pages: each entry that was there comes once, in order."""
    log = list(range(size, 0, -1))
    arriving = iter(arrivals)

    def fetch(offset: int, cursor: str | None) -> AuditLogResponse:
        page = AuditLogResponse(entries_of(log[offset : offset + cap]), limit=says or cap)
        log[:0] = range(len(log) + next(arriving, 0), len(log), -1)
        return page

    found = [int(item.id) for item in paging.iter_audit_log(fetch, paging.AuditFilter(None, None))]

    assert len(found) == len(set(found))
    # So many may arrive at once that some of them are on a page that is still to come.
    assert [number for number in found if number <= size] == list(range(size, 0, -1))


@given(size=st.integers(0, 30), cap=st.integers(1, 7), moved=st.lists(st.integers(0, 29)))
def test_sessions_move_while_pages_are_counted(size: int, cap: int, moved: list[int]) -> None:
    """On any server none is repeated; those that nobody touched are all there."""
    listed = list(range(size))
    moving = iter(moved)
    touched = set()

    def fetch(page: int, cursor: str | None) -> ChatSessionListResponse:
        begin = (page - 1) * cap
        shown = [
            ChatSessionSummary(str(number), "ada", START, START)
            for number in listed[begin : begin + cap]
        ]
        answer = ChatSessionListResponse(shown, size, has_more=begin + cap < size)
        if (latest := next(moving, size)) < size:
            touched.add(str(latest))
            listed.insert(0, listed.pop(listed.index(latest)))
        return answer

    found = ids(paging.iter_sessions(fetch))

    assert len(found) == len(set(found))
    assert {str(number) for number in range(size)} - touched <= set(found)


def test_what_is_remembered_has_a_bound() -> None:
    """The ids that came last are known again; there are never more than a number of them."""
    listed = iter(range(300_000, 0, -1))
    at = START

    def fetch(offset: int, cursor: str | None) -> AuditLogResponse:
        page = [AuditEntry(str(number), at, "a") for number in islice(listed, 5000)]
        return AuditLogResponse(page, limit=200)

    found = paging.iter_audit_log(fetch, paging.AuditFilter(None, None))
    next(islice(found, 150_000, None))
    tracemalloc.start()
    try:
        assert sum(1 for _ in found) == 149_999
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
