"""The audit log, exports and deletions on the wire, with keys of every role."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from server_wire import PLATFORM, SESSIONS, Api, check_refusal, give_key, serving
from sqlalchemy import text

from chatserver_sdk import ChatServerClient
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.models import Role
from chatserver_sdk.server import Settings
from chatserver_sdk.storage import admins, audit, open_store
from chatserver_sdk.testing import ScriptedAgent

AUDIT = f"{PLATFORM}/audit"
V2 = "/api/v2/sessions"
KEY = "csk_always_the_same"
NOW = datetime.now(timezone.utc)


class Served(NamedTuple):
    """A server of a test's own: asked by each role, and where its store is."""

    admin: Api
    user: Api
    service: Api
    db: str

    def client(self) -> ChatServerClient:
        """Our client, with the administrator's key."""
        return ChatServerClient(KEY, self.admin.base_url)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server with an administrator, a user (ada) and a service."""
    db = str(tmp_path / "store.db")
    with serving(ScriptedAgent("words", ["some words"]), db=db) as api:
        principal = api.get(f"{PLATFORM}/admins").json()["admins"][0]["id"]
        others = [
            Api(api.base_url, give_key(db, principal, role, user))
            for role, user in ((Role.USER, "ada"), (Role.SERVICE, None))
        ]
        yield Served(api, *others, db)
        for other in others:
            other.close()


def talk(api: Api, *texts: str, user: str = "ada") -> str:
    """A session in which this was said; its id."""
    return str(api.ask(*texts, user=user).json()["system_fingerprint"])


def actions(served: Served, **wanted: Any) -> list[str]:
    """What the audit log says, newest first."""
    entries = served.admin.get(AUDIT, **wanted).json()["entries"]
    return [entry["action"] for entry in entries]


def test_a_whole_log_and_its_head(served: Served) -> None:
    """Every entry is good; the head is the last one's, and fits as long as nothing is changed."""
    head = served.admin.get(f"{AUDIT}/head").json()
    newest = served.admin.get(AUDIT, limit=1).json()["entries"][0]

    found = served.admin.get(f"{AUDIT}/verify", head=head["head"]).json()

    assert head == {"head": f"4:{newest['hash']}", "seq": 4, "hash": newest["hash"]}
    assert found == {"ok": True, "entries": 4, "head": head["head"], "first_bad": None}


def test_a_log_that_was_changed(served: Served) -> None:
    """The entry is named; our client says the same."""
    with served.client() as client:
        head = client.get_audit_head()
        assert client.verify_audit_log(head).ok
        change(served.db, "UPDATE audit_entries SET user_id = 'eve' WHERE seq = 2")

        found = client.verify_audit_log(head)

    assert (found.ok, found.entries) == (False, 1) and found.first_bad is not None
    assert (found.first_bad.seq, found.first_bad.reason) == (2, "changed")


def change(db: str, statement: str) -> None:
    """Do something behind the server's back."""
    store = open_store(db)
    asyncio.run(store.write(lambda connection: connection.execute(text(statement)).close()))
    store.close()


@pytest.mark.parametrize("head", ["", "x", "1", "1:", "-1:" + "a" * 64, "1:" + "A" * 64])
def test_what_is_no_head(served: Served, head: str) -> None:
    """400 with the field's name, and without what was sent."""
    refused = check_refusal(served.admin.get(f"{AUDIT}/verify", head=head), 400)

    assert (refused["code"], refused["param"]) == ("invalid_head", "head")


def test_the_audit_log_is_for_administrators(served: Served) -> None:
    """Nobody else reads, proves or anchors it."""
    for path in ("", "/head", "/verify"):
        for api in (served.user, served.service):
            assert check_refusal(api.get(AUDIT + path), 403)["code"] == "admin_required"


def test_what_came_after_an_entry(served: Served) -> None:
    """Oldest first, page by page, with any filter; a reader that goes on from the last one's id
    misses nothing and sees nothing twice."""
    for number in range(3):
        served.admin.call(
            "POST", f"{PLATFORM}/admins", json={"workos_id": f"w{number}", "email": f"{number}@x"}
        )
    seen: list[str] = []
    while page := served.admin.get(AUDIT, limit=2, after=seen[-1] if seen else "0").json()[
        "entries"
    ]:
        seen += [entry["id"] for entry in page]

    added = served.admin.get(AUDIT, after="4", action="admin.*", limit=2).json()["entries"]

    assert seen == ["1", "2", "3", "4", "5", "6", "7"]
    assert [entry["resource_id"] for entry in added] == ["0@x", "1@x"]
    with served.client() as client:
        tail = client.get_audit_log(after=5, resource="admin")
        assert [entry.id for entry in tail.entries] == ["6", "7"]
        assert client.get_audit_log(after="7").entries == []


@pytest.mark.parametrize("params", [{"after": "x"}, {"after": "-1"}, {"after": "", "limit": 1}])
def test_what_is_no_entry(served: Served, params: Any) -> None:
    """400 with the field's name."""
    assert check_refusal(served.admin.get(AUDIT, **params), 400)["param"] == "after"


def test_a_place_and_a_cursor_are_one_too_many(served: Served) -> None:
    """They lead in different directions."""
    check_refusal(served.admin.get(AUDIT, after="1", cursor=""), 400)


def test_reading_and_exporting_leave_entries(served: Served) -> None:
    """An administrator's reading; every export; not a service's reading for its user."""
    session_id = talk(served.user, "my secret")
    for api in (served.user, served.service, served.admin):
        assert api.get(f"{SESSIONS}/{session_id}", user_id="ada").status_code == 200
    for api in (served.user, served.admin):
        assert export(api, session_id).status_code == 200

    log = served.admin.get(AUDIT, after="4").json()["entries"]

    assert [(entry["action"], entry["resource_id"]) for entry in log] == [
        ("session.read", session_id),
        ("session.exported", session_id),
        ("session.exported", session_id),
    ]
    assert "secret" not in json.dumps(log)


def test_what_an_administrator_does_in_anothers_session(served: Served) -> None:
    """Reading a file, deleting it and changing the session are recorded; the user's own acts, and
    those of a service, are not."""
    session = served.user.call("POST", V2, json={"model": "echo"}).json()
    place = f"{V2}/{session['id']}"
    form = {"file": ("a.txt", b"secret", "text/plain")}
    kept, gone = (
        served.user.call("POST", f"{place}/files", files=form).json()["file_id"] for _ in "ab"
    )
    before = served.admin.get(AUDIT, limit=1).json()["entries"][0]["id"]
    for api in (served.user, served.service):
        assert api.get(f"{place}/files/{kept}/content").content == b"secret"
        assert api.call("PATCH", place, json={"title": "mine"}).ok

    assert served.admin.get(f"{place}/files/{kept}/content").content == b"secret"
    assert served.admin.call("DELETE", f"{place}/files/{gone}").status_code == 204
    assert served.admin.call("DELETE", f"{place}/files/{gone}").status_code == 404
    assert served.admin.call("PATCH", place, json={"title": "theirs"}).ok

    log = served.admin.get(AUDIT, after=before).json()["entries"]
    assert [(entry["action"], entry["resource_id"]) for entry in log] == [
        ("session.read", session["id"]),
        ("file.deleted", session["id"]),
        ("session.updated", session["id"]),
    ]
    assert "secret" not in json.dumps(log) and "theirs" not in json.dumps(log)


def export(api: Api, session_id: str, **params: Any) -> Any:
    """A session as a file."""
    return api.get(f"{SESSIONS}/{session_id}/export", **{"user_id": "ada", **params})


def test_an_export(served: Served, tmp_path: Path) -> None:
    """A name for a file, the type of what is in it, and the same through our client."""
    session_id = talk(served.user, *(f"m{number}" for number in range(45)))
    lines = export(served.user, session_id)
    read = served.user.get(f"{SESSIONS}/{session_id}/export", format="markdown")

    with served.client() as client:
        path = tmp_path / "chat.jsonl"
        count = client.export_session(session_id.upper(), path, user_id="ada")

    name = f"session-{session_id}"
    assert lines.headers["Content-Disposition"] == f'attachment; filename="{name}.jsonl"'
    assert lines.headers["Content-Type"] == "application/jsonl"
    assert [json.loads(line)["type"] for line in lines.text.splitlines()] == [
        "session",
        *["message"] * 46,
    ]
    assert path.read_bytes() == lines.content and count == len(lines.content)
    assert read.headers["Content-Disposition"] == f'attachment; filename="{name}.md"'
    assert read.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert read.text.count("\n## ") == 46


def test_exports_that_are_refused_on_the_wire(served: Served) -> None:
    """Before the first byte, in the common shape."""
    session_id = talk(served.user, "x")

    check_refusal(export(served.user, session_id, user_id="bob"), 403)
    check_refusal(export(served.admin, session_id, user_id="bob"), 404)
    check_refusal(export(served.user, "x"), 404)
    check_refusal(export(served.user, session_id, format="pdf"), 422)
    nobodys = check_refusal(served.service.get(f"{SESSIONS}/{session_id}/export"), 400)
    assert nobodys["param"] == "user_id"
    check_refusal(export(Api(served.admin.base_url, None), session_id), 401)
    assert actions(served, after="4") == []


def test_deleting_users_on_the_wire(served: Served) -> None:
    """By administrators, and by the user; 404 where there is nothing."""
    for user in ("ada", "b/o b"):
        talk(served.admin, "x", "y", user=user)

    refused = served.service.call("DELETE", f"{PLATFORM}/users/ada")
    other = served.user.call("DELETE", f"{PLATFORM}/users/b%2Fo%20b")
    own = served.user.call("DELETE", f"{PLATFORM}/users/ada")
    again = served.user.call("DELETE", f"{PLATFORM}/users/ada")
    with served.client() as client:
        deleted = client.delete_user("b/o b")

    assert check_refusal(refused, 403)["code"] == check_refusal(other, 403)["code"] == "wrong_user"
    assert (own.status_code, own.json()) == (200, {"user_id": "ada", "sessions": 1, "messages": 3})
    check_refusal(again, 404)
    assert (deleted.user_id, deleted.sessions, deleted.messages) == ("b/o b", 1, 3)
    assert served.admin.get(SESSIONS, user_id="ada").json()["total"] == 0
    assert actions(served, action="user.deleted") == ["user.deleted"] * 2


def test_old_entries_are_trimmed_at_the_start(tmp_path: Path) -> None:
    """With a limit of days; the log is whole afterwards, and a head from before still fits."""
    db = str(tmp_path / "store.db")
    store = open_store(db)
    for days in (40, 31, 29, 1):
        given: Any = {"workos_id": None, "name": None, "by": None}
        moment = NOW - timedelta(days=days)
        asyncio.run(store.write(admins.add_admin, email=f"{days}@x", now=moment, **given))
    head = str(asyncio.run(store.read(audit.get_head)))
    store.close()

    with serving(db=db, audit_retention_days=30) as api:
        found = api.get(f"{AUDIT}/verify", head=head).json()
        entries = api.get(AUDIT).json()["entries"]
    with serving(db=db) as api:
        again = api.get(AUDIT).json()["entries"]

    assert found["ok"] and entries == again
    assert [entry["id"] for entry in entries if entry["resource_id"] == "29@x"] == ["3"]
    assert entries[-1]["id"] == "3"
    trimmed = next(entry for entry in entries if entry["action"] == "audit.trimmed")
    assert (trimmed["user_id"], trimmed["metadata"]["through"]) == (None, 2)


def test_a_changed_log_is_not_trimmed_and_the_server_starts(tmp_path: Path) -> None:
    """Evidence stays; who looks after the server reads of it in its log."""
    db = str(tmp_path / "store.db")
    store = open_store(db)
    given: Any = {"workos_id": None, "name": None, "by": None, "now": NOW - timedelta(days=40)}
    asyncio.run(store.write(admins.add_admin, email="a@x", **given))
    store.close()
    change(db, "UPDATE audit_entries SET user_id = 'eve'")

    with serving(db=db, audit_retention_days=30) as api:
        found = api.get(f"{AUDIT}/verify").json()

    assert found["first_bad"]["seq"] == 1 and found["first_bad"]["reason"] == "changed"


@pytest.mark.parametrize("days", [0, -1, 10**6])
def test_retentions_that_cannot_be(days: int) -> None:
    """A sentence with the bounds."""
    with pytest.raises(ConfigurationError, match="audit_retention_days: .* range 1 to 36,525"):
        Settings(audit_retention_days=days)


def test_failed_authentications_are_summed(tmp_path: Path) -> None:
    """From before FastAPI and behind it, with the caller's address; no key is written."""
    db = str(tmp_path / "store.db")
    with serving(db=db) as api:
        stranger = Api(api.base_url, "csk_wrong")
        for _ in range(3):
            check_refusal(stranger.get(AUDIT), 401)
            check_refusal(stranger.ask("x"), 401)
        stranger.close()
    with serving(db=db) as api:
        entries = api.get(AUDIT, action="auth.failed").json()["entries"]

    # Two, where a minute ends meanwhile.
    assert {entry["resource_id"] for entry in entries} == {"127.0.0.1"}
    assert sum(entry["metadata"]["count"] for entry in entries) == 6
    assert all({*entry["metadata"]} == {"count", "minute"} for entry in entries)
