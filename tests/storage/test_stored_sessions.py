"""Sessions in the store: opened with their first question, listed, read, nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, update
from store_records import NOW, SECOND, Db, new_id, planned, said

from chatserver_sdk.models import Message, MessageRole
from chatserver_sdk.storage import NotFound, sessions, tables


def ids(db: Db, user: str, page: int = 1, page_size: int = 100) -> list[str]:
    """The ids on a page of a user's sessions."""
    found, _ = db.read(sessions.list_sessions, user, page=page, page_size=page_size)
    return [session.id for session in found]


def test_an_empty_store(db: Db) -> None:
    """Nothing is found, and nothing is counted."""
    assert db.read(sessions.find_session, new_id()) is None
    assert db.read(sessions.list_sessions, "ada", page=1, page_size=10) == ([], 0)
    assert db.read(sessions.list_messages, new_id()) == []


def test_what_a_session_is_opened_with(db: Db) -> None:
    """Every field of the plan is on the session's line."""
    plan = planned(
        "hello",
        organization_id="acme",
        title="hello",
        model="alias",
        metadata={"a": [1, None, {"b": "ü\0🙂"}]},
    )
    db.ask(plan)

    found = db.read(sessions.find_session, plan.session.id)

    assert found is not None
    expected = {**plan.session.to_dict(), "message_count": 1, "last_message_at": plan.now}
    assert {**found.to_dict(), "last_message_at": found.last_message_at} == expected


def test_what_a_turn_adds_up_to(db: Db) -> None:
    """Counts, tokens and times follow the turns."""
    first = planned("one", "two")
    db.converse(first, now=NOW + SECOND)
    second = planned("three", session_id=first.session.id, now=NOW + 2 * SECOND, model="other")
    db.converse(second, None, now=NOW + 3 * SECOND)

    session = db.read(sessions.get_session, first.session.id, "ada").session

    assert (session.message_count, session.model) == (4, "other")
    assert (session.tokens_in, session.tokens_out, session.tokens_total) == (6, 8, 14)
    assert session.created_at == NOW
    assert session.updated_at == NOW + 3 * SECOND
    assert session.last_message_at == NOW + 2 * SECOND


def test_a_continued_session_keeps_what_it_has(db: Db) -> None:
    """Title and organization stay where nothing new is said, metadata is added to."""
    first = planned("one", title="one", organization_id="acme", metadata={"a": 1, "b": 1})
    db.converse(first)
    db.converse(planned("two", session_id=first.session.id, title="two"))
    kept = db.read(sessions.get_session, first.session.id, "ada").session
    db.converse(
        planned("3", session_id=kept.id, organization_id="other", metadata={"b": 2, "c": 3})
    )
    changed = db.read(sessions.get_session, first.session.id, "ada").session

    assert (kept.title, kept.organization_id, kept.metadata) == ("one", "acme", {"a": 1, "b": 1})
    assert (changed.title, changed.organization_id) == ("one", "other")
    assert changed.metadata == {"a": 1, "b": 2, "c": 3}


CONTENTS: list[Any] = [
    "plain",
    "",
    "\0 \ud7ff \U0010ffff\n\r\u2028 'quoted' \"--",
    None,
    [{"type": "text", "text": "part"}, {"type": "image_url", "image_url": {"url": "x"}}],
    [],
]


def test_a_transcript_is_what_was_said(db: Db) -> None:
    """Messages come back in order, whatever they hold, with what was written beside them."""
    sent = [Message(MessageRole.USER, content) for content in CONTENTS]
    sent.append(Message.from_dict({"role": "tool", "content": "42", "tool_call_id": "c1"}))
    sent.append(Message(MessageRole.USER, "named", name="Grace"))
    plan = planned(sent=sent)
    db.converse(plan, "answer")

    transcript = db.read(sessions.get_session, plan.session.id, "ada").messages

    assert [message.message_index for message in transcript] == list(range(9))
    assert [message.content for message in transcript[:6]] == CONTENTS
    assert transcript[6].metadata == {"tool_call_id": "c1"}
    assert transcript[7].metadata == {"name": "Grace"}
    assert transcript[8].role == MessageRole.ASSISTANT
    assert {message.session_id for message in transcript} == {plan.session.id}
    assert db.read(sessions.list_messages, plan.session.id)[:8] == sent


@pytest.mark.parametrize(
    ("role", "stored", "author"),
    [
        (MessageRole.USER, "user", "user"),
        (MessageRole.ASSISTANT, "assistant", "ai"),
        (MessageRole.SYSTEM, "system", "system"),
        (MessageRole.DEVELOPER, "system", "system"),
        (MessageRole.TOOL, "tool", "ai"),
        (MessageRole("narrator"), "narrator", "user"),
    ],
)
def test_roles_and_authors(role: MessageRole, stored: str, author: str) -> None:
    """Each role is stored under one name, with who wrote the message."""
    row = sessions.message_row(Message(role, "two words"))

    assert (row["role"], row["author"], row["tokens"]) == (stored, author, 2)


def test_notes_between_experts_are_not_for_users(db: Db) -> None:
    """A note stands in the table and in no transcript."""
    plan = planned("hello")
    db.converse(plan)
    row = {**sessions.message_row(said("secret")[0]), "kind": "note", "message_index": 2}
    row.update(session_id=plan.session.id, created_at=NOW)
    db.write(lambda connection: connection.execute(insert(tables.messages), row).rowcount)

    detail = db.read(sessions.get_session, plan.session.id, "ada")

    assert [message.text for message in detail.messages] == ["hello", "yes"]
    assert db.read(sessions.count_said, plan.session.id) == 2


def test_nobody_reads_another_users_session(db: Db) -> None:
    """Somebody else's session is not found, like one that is not there."""
    plan = planned("hello", user="ada")
    db.converse(plan)

    for session_id, user in ((plan.session.id, "bob"), (new_id(), "ada"), ("no uuid", "ada")):
        with pytest.raises(NotFound, match=session_id):
            db.read(sessions.get_session, session_id, user)


def test_pages_hold_everything_once(db: Db) -> None:
    """Whatever the page's size is, the pages make up the list, the latest session first."""
    plans = [planned("x", now=NOW + number * SECOND) for number in (3, 1, 2, 2, 5)]
    for plan in [*plans, planned("y", user="bob")]:
        db.ask(plan)
    latest_first = sorted(
        plans, key=lambda plan: (plan.session.updated_at, plan.session.id), reverse=True
    )
    expected = [plan.session.id for plan in latest_first]

    for size in range(1, 8):
        pages = [ids(db, "ada", page, size) for page in range(1, 7)]
        assert sum(pages, []) == expected
        assert all(len(page) <= size for page in pages)
    assert db.read(sessions.list_sessions, "ada", page=9, page_size=9) == ([], 5)


def test_asking_moves_a_session_to_the_front(db: Db) -> None:
    """Lists are sorted by what happened last, not by what was opened last."""
    old, new = planned("old"), planned("new", now=NOW + SECOND)
    for plan in (old, new):
        db.converse(plan)
    before = ids(db, "ada")
    db.converse(planned("again", session_id=old.session.id, now=NOW + 2 * SECOND))

    assert before == [new.session.id, old.session.id]
    assert ids(db, "ada") == before[::-1]


def test_the_last_messages(db: Db) -> None:
    """The end of a transcript comes oldest first, as long as asked for."""
    plan = planned(*"abcde")
    db.ask(plan)

    for last in range(1, 8):
        found = db.read(sessions.list_messages, plan.session.id, last=last)
        assert [message.text for message in found] == list("abcde")[-last:]


def test_archived_is_said(db: Db) -> None:
    """A session that was put away says so."""
    plan = planned("hello")
    db.converse(plan)
    archive = update(tables.sessions).values(status="archived")
    db.write(lambda connection: connection.execute(archive).rowcount)

    assert db.read(sessions.get_session, plan.session.id, "ada").session.archived


def test_organizations_and_users_are_noted_once(db: Db) -> None:
    """A label or a user that is seen again is no second one."""
    for _ in range(2):
        plan = planned("x", organization_id="acme")
        db.converse(plan)
        db.converse(planned("y", session_id=plan.session.id, organization_id="acme"))

    def rows(connection: Any) -> list[Any]:
        return [
            connection.execute(select(tables.organizations.c.id)).scalars().all(),
            connection.execute(select(tables.users.c.id, tables.users.c.session_count)).all(),
        ]

    assert db.read(rows) == [["acme"], [("ada", 2)]]
