"""Tickets, tokens, limits and failed attempts, as a real server answers them."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from scripted_agents import EndlessAgent
from server_wire import COMPLETIONS, PLATFORM, SESSIONS, Api, check_refusal, events_of, serving

from chatserver_sdk import ChatServerClient, RateLimitError, ServiceUnavailableError
from chatserver_sdk.storage import audit, open_store

SECRET = "s" * 32
TOKENS = {"jwt_secret": SECRET, "jwt_audience": "chat", "jwt_issuer": "me"}


def nobody(api: Api) -> Api:
    """The same server without a key."""
    return Api(api.base_url, None)


def finished(api: Api) -> str:
    """The place of a streamed answer's events, which has ended."""
    turn_id = api.stream("a b", user="ada").headers["X-Turn-Id"]
    return f"{COMPLETIONS}/{turn_id}/events"


def test_a_ticket_reads_events_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without any header, as an EventSource does; the second time it is 401."""
    caplog.set_level(logging.DEBUG)
    with serving() as api:
        place, stranger = finished(api), nobody(api)
        issued = api.call("POST", "/api/v1/tickets")
        ticket = issued.json()["ticket"]
        first = stranger.get(place, ticket=ticket)
        again = stranger.get(place, ticket=ticket)
        stranger.close()

    assert (issued.status_code, set(issued.json())) == (201, {"ticket", "expires_at"})
    assert issued.headers["Cache-Control"] == "no-store"
    assert events_of(first)[-1].data == "[DONE]"
    assert check_refusal(again, 401)["code"] == "invalid_ticket"
    # urllib3 is the reader's side here, and logs what it asks for.
    ours = [line for line in caplog.records if not line.name.startswith("urllib3")]
    assert ours and all(ticket not in line.getMessage() for line in ours)
    assert ticket not in again.text


def test_where_tickets_count() -> None:
    """On routes of events only, and not where a key is sent as well."""
    with serving() as api:
        place, stranger = finished(api), nobody(api)
        ticket = api.call("POST", "/api/v1/tickets").json()["ticket"]
        elsewhere = [
            stranger.get("/v1/models", ticket=ticket),
            stranger.get(SESSIONS, ticket=ticket),
            stranger.call("POST", "/api/v1/tickets", params={"ticket": ticket}),
            stranger.call("POST", COMPLETIONS, params={"ticket": ticket}),
        ]
        wrong = [stranger.get(place, ticket=text) for text in ("", "x", f"{ticket}x")]
        with_key = api.get(place, ticket=ticket)
        still = stranger.get(place, ticket=ticket)
        stranger.close()

    assert {check_refusal(answer, 401)["code"] for answer in elsewhere} == {"missing_api_key"}
    assert {check_refusal(answer, 401)["code"] for answer in wrong} == {"invalid_ticket"}
    assert (with_key.status_code, still.status_code) == (200, 200)


def test_a_ticket_goes_as_far_as_its_key() -> None:
    """With the key revoked it is worth nothing; another user's answers are not found with it."""
    with serving() as api:
        place, stranger = finished(api), nobody(api)
        body = {"name": "eve's", "role": "user", "user_id": "eve"}
        made = api.call("POST", f"{PLATFORM}/keys", json=body).json()
        eve = Api(api.base_url, made["key"])
        tickets = [eve.call("POST", "/api/v1/tickets").json()["ticket"] for _ in range(2)]
        other = stranger.get(place, ticket=tickets[0])
        api.call("DELETE", f"{PLATFORM}/keys/{made['id']}")
        revoked = stranger.get(place, ticket=tickets[1])
        eve.close()
        stranger.close()

    check_refusal(other, 404)
    assert check_refusal(revoked, 401)["code"] == "invalid_api_key"


def token(**fields: Any) -> str:
    """A token of the issuer that the server trusts."""
    now = int(time.time())
    good = {"sub": "ada", "aud": "chat", "iss": "me", "exp": now + 600}
    return jwt.encode({**good, **fields}, SECRET, "HS256")


def test_tokens_beside_keys() -> None:
    """A user's token asks and reads as that user, an administrator's administers, and keys count
    as before."""
    with serving(**TOKENS) as api:
        ada = Api(api.base_url, token())
        session = ada.ask("x").headers["X-Session-Id"]
        listed = ada.get(SESSIONS).json()["sessions"]
        refused = [ada.get(SESSIONS, user_id="eve"), ada.get(f"{PLATFORM}/stats")]
        root = Api(api.base_url, token(role="admin"))
        administers = root.get(f"{PLATFORM}/stats").status_code
        bad = Api(api.base_url, token(aud="other"))
        unknown = bad.get("/v1/models")
        with_key = api.get("/v1/models").status_code
        for each in (ada, root, bad):
            each.close()

    assert [found["id"] for found in listed] == [session]
    assert [check_refusal(a, 403)["code"] for a in refused] == ["wrong_user", "admin_required"]
    assert (administers, with_key) == (200, 200)
    assert check_refusal(unknown, 401)["code"] == "invalid_token"


def test_a_server_without_tokens() -> None:
    """There they are keys like others, which nobody has."""
    with serving() as api:
        stranger = Api(api.base_url, token())
        refused = stranger.get("/v1/models")
        stranger.close()
    assert check_refusal(refused, 401)["code"] == "invalid_api_key"


@pytest.mark.parametrize("name", ["rate_limit_key", "rate_limit_user", "rate_limit_session"])
def test_too_many_requests(name: str) -> None:
    """429 in the common shape, with the seconds to wait; what counts elsewhere goes on."""
    session = {"metadata": {"session_id": "00000000-0000-4000-8000-000000000001"}}
    with serving(**{name: "2/hour"}) as api:
        given = [api.ask("x", user="ada", **session) for _ in range(3)]
        other = api.ask("x", user="eve")

    assert [answer.status_code for answer in given] == [200, 200, 429]
    error = check_refusal(given[2], 429)
    assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
    assert 3500 < int(given[2].headers["Retry-After"]) <= 3600
    assert other.status_code == (429 if name == "rate_limit_key" else 200)


def test_a_stranger_uses_up_no_session() -> None:
    """Whoever may not ask in a session is not counted there."""
    session = {"metadata": {"session_id": "00000000-0000-4000-8000-000000000001"}}
    with serving(rate_limit_session="2/hour") as api:
        asked = [
            api.ask("x", user=user, **session).status_code
            for user in ("ada", "eve", "eve", "eve", "ada", "ada")
        ]

    assert asked == [200, 404, 404, 429, 200, 429]


def test_the_client_knows_how_long_to_wait() -> None:
    """As a RateLimitError with retry_after."""
    with serving(rate_limit_key="1/hour") as api:
        with ChatServerClient(api.key, api.base_url, max_retries=0) as client:
            client.list_models()
            with pytest.raises(RateLimitError) as caught:
                client.list_models()
    assert caught.value.code == "rate_limited" and 3500 < (caught.value.retry_after or 0) <= 3600


def test_so_many_answers_at_once() -> None:
    """One more is 503 with a sentence; when one has ended there is room again."""
    with serving(EndlessAgent(), max_running_turns=2) as api:
        streams = [api.stream("x", model="endless", user="ada") for _ in range(2)]
        with ChatServerClient(api.key, api.base_url, max_retries=0) as client:
            with pytest.raises(ServiceUnavailableError) as caught:
                client.create_completion("echo", "x")
        refused = api.ask("x")
        for stream in streams:
            stream.close()

    assert (caught.value.code, refused.headers["Retry-After"]) == ("too_many_turns", "1")


def test_an_answer_that_takes_too_long() -> None:
    """500 with a code of its own."""
    with serving(EndlessAgent(), max_turn_seconds=0.01) as api:
        answer = api.ask("x", model="endless", user="ada")

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "turn_too_long")


def test_a_message_that_is_too_long() -> None:
    """It is refused by its place, whatever it is made of."""
    with serving(max_message_chars=10) as api:
        fits = api.ask("x" * 10)
        text = api.ask("x", "y" * 11)
        parts = [{"type": "text", "text": "y" * 6}] * 2
        body = {"model": "echo", "messages": [{"role": "user", "content": parts}]}
        parted = api.call("POST", COMPLETIONS, json=body)

    assert fits.status_code == 200
    for answer, place in ((text, 1), (parted, 0)):
        error = check_refusal(answer, 400)
        assert error["code"] == "message_too_long"
        assert error["param"] == f"messages[{place}].content"


def test_failed_attempts_are_one_entry(tmp_path: Path) -> None:
    """Of a stranger who tries a thousand keys stands one line a minute in the log, at the latest
    when the server has ended; who sends none is no attempt."""
    db = str(tmp_path / "store.db")
    with serving(db=db) as api:
        stranger = Api(api.base_url, "csk_wrong")
        for _ in range(100):
            assert stranger.get("/v1/models").status_code == 401
        anonymous = nobody(api)
        anonymous.get("/v1/models")
        stranger.close()
        anonymous.close()

    store = open_store(db)
    entries = asyncio.run(store.read(audit.list_entries, limit=99))
    store.close()
    failed = [entry for entry in entries if entry.action == "auth.failed"]
    assert 1 <= len(failed) <= 2 and sum(e.metadata["count"] for e in failed) == 100
    assert {(entry.resource, entry.resource_id) for entry in failed} == {("source", "127.0.0.1")}


def test_keys_over_the_wire() -> None:
    """Made with 201 and shown there alone, listed by cursor, revoked at once."""
    with serving() as api:
        body = {"name": " n ", "role": "user", "user_id": "ada", "expires_at": "2099-01-01"}
        made = api.call("POST", f"{PLATFORM}/keys", json=body)
        key = made.json()
        pages = [api.get(f"{PLATFORM}/keys", limit=1).json()]
        pages.append(api.get(f"{PLATFORM}/keys", cursor=pages[0]["next_cursor"]).json())
        theirs = Api(api.base_url, key["key"])
        before = theirs.get("/v1/models").status_code
        revoked = api.call("DELETE", f"{PLATFORM}/keys/{key['id']}").json()
        after = theirs.get("/v1/models").status_code
        theirs.close()
        log = api.get(f"{PLATFORM}/audit").json()["entries"]

    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert (key["name"], key["role"], key["user_id"]) == ("n", "user", "ada")
    assert key["created_by"] == "admin@localhost" and key["expires_at"].startswith("2099-01-01")
    assert [page["count"] for page in pages] == [1, 1] and "next_cursor" not in pages[1]
    assert "key" not in pages[0]["keys"][0] and pages[0]["keys"][0]["id"] == key["id"]
    assert (before, after) == (200, 401) and revoked["revoked_at"]
    assert [entry["action"] for entry in log[:2]] == ["key.revoked", "key.created"]
    assert key["key"] not in str(log) and key["key"] not in str(pages)


BAD_KEYS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "name"),
    ({"name": ""}, 422, "name"),
    ({"name": "k", "role": "root"}, 422, "role"),
    ({"name": "k", "expires_at": "soon"}, 422, "expires_at"),
    ({"name": "k", "role": "user"}, 400, "user_id"),
    ({"name": "k", "role": "service", "expires_at": "2020-01-01"}, 400, "expires_at"),
    ({"name": "k", "role": "admin"}, 400, "email"),
]


@pytest.mark.parametrize(("body", "status", "param"), BAD_KEYS)
def test_keys_that_are_refused(api: Api, body: dict[str, Any], status: int, param: str) -> None:
    """With the field at fault, and without a new key."""
    before = api.get(f"{PLATFORM}/keys").json()["count"]
    error = check_refusal(api.call("POST", f"{PLATFORM}/keys", json=body), status)
    assert error["param"] == param
    assert api.get(f"{PLATFORM}/keys").json()["count"] == before


def test_conflicts_of_keys() -> None:
    """An admin key of somebody who is none, the last one, and one that was shown before."""
    with serving() as api:
        keys = f"{PLATFORM}/keys"
        body = {"name": "k", "role": "admin", "email": "nobody@x"}
        nobodys = api.call("POST", keys, json=body)
        own = api.get(keys).json()["keys"][0]["id"]
        last = api.call("DELETE", f"{keys}/{own}")
        unknown = api.call("DELETE", f"{keys}/unknown")
        sent = {"Idempotency-Key": "once"}
        service = {"name": "k", "role": "service"}
        first = api.call("POST", keys, json=service, headers=sent)
        second = api.call("POST", keys, json=service, headers=sent)
        elsewhere = api.get(keys, cursor="x")

    assert check_refusal(nobodys, 409)["code"] == "not_an_admin"
    assert check_refusal(last, 409)["code"] == "last_admin_key"
    assert check_refusal(unknown, 404)["code"] == "not_found"
    assert first.status_code == 201
    assert check_refusal(second, 409)["code"] == "key_shown_once"
    assert first.json()["id"] in second.text and first.json()["key"] not in second.text
    assert check_refusal(elsewhere, 400)["param"] == "cursor"
