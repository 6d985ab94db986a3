"""Histories are read, exported and deleted: by whom, and what the audit log says of it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from engine_room import ADA, ADMIN, NOBODY, Room, in_room
from hypothesis import given, strategies as st
from scripted_agents import EndlessAgent

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.engine import Forbidden, InvalidRequest
from chatserver_sdk.engine.exports import FORMATS
from chatserver_sdk.models import (
    ChatMessageRecord,
    ChatSessionSummary,
    Message,
    MessageRole,
    Principal,
    Role,
)
from chatserver_sdk.storage import NotFound, StoreUnavailable, audit, deletion, tables

SERVICE = Principal("p-service", Role.SERVICE)
BOB = Principal("p-bob", Role.USER, user_id="bob")
ADMIN_ADA = Principal("p-both", Role.ADMIN, email="ada@x", user_id="ada")
NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


async def log(room: Room) -> list[tuple[str, str | None, dict[str, Any]]]:
    """What the audit log says, newest first."""
    entries = await room.store.read(audit.list_entries, limit=99)
    return [(entry.action, entry.user_id, entry.metadata) for entry in entries]


async def exported(room: Room, turn: Any, format: str = "jsonl", by: Principal = ADA) -> str:
    """A session as a file."""
    export = await room.export_session(by, turn.session_id, "ada", format)
    return b"".join([chunk async for chunk in export.chunks]).decode()


@pytest.mark.parametrize(
    ("by", "is_recorded"), [(ADA, False), (SERVICE, False), (ADMIN_ADA, False), (ADMIN, True)]
)
def test_an_administrators_reading_is_recorded(by: Principal, is_recorded: bool) -> None:
    """Of others' transcripts; users read their own, and services for their users."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        await turn.end()
        await room.get_session(by, turn.session_id, "ada")
        await room.get_turn(turn.id, by)

        expected = [
            ("session.read", "root@x", {"user_id": "ada", "turn_id": turn.id}),
            ("session.read", "root@x", {"user_id": "ada"}),
        ]
        assert await log(room) == (expected if is_recorded else [])

    in_room(EchoAgent(), work=work)


def test_what_is_not_there_is_not_recorded() -> None:
    """Nothing was read."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        for session_id, user in ((turn.session_id, "bob"), ("x", "ada")):
            with pytest.raises(NotFound):
                await room.get_session(ADMIN, session_id, user)
        assert await log(room) == []

    in_room(EchoAgent(), work=work)


def test_deleting_a_session() -> None:
    """Its owner, a service and an administrator may; then nothing of it is left, in memory
    either."""

    async def work(room: Room) -> None:
        for by in (ADA, SERVICE, ADMIN):
            turn = await room.say("a", by=ADA)
            await turn.end()
            await room.delete_session(by, turn.session_id)

            with pytest.raises(NotFound):
                await room.get_turn(turn.id, ADA)
            with pytest.raises(NotFound):
                await room.delete_session(by, turn.session_id)
        for table in (tables.messages, tables.sessions, tables.turns, tables.turn_logs):
            assert await room.rows(table) == []
        about = {"user_id": "ada", "messages": 2, "turns": 1}
        assert await log(room) == [
            ("session.deleted", by, about) for by in ("root@x", "p-service", "ada")
        ]

    in_room(EchoAgent(), work=work)


@pytest.mark.parametrize("by", [BOB, NOBODY])
def test_nobody_deletes_others_sessions(by: Principal) -> None:
    """Somebody else's session is not there, and stays."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        await turn.end()
        with pytest.raises(NotFound):
            await room.delete_session(by, turn.session_id)
        assert await room.texts(turn) == ["a", "a"]

    in_room(EchoAgent(), work=work)


@pytest.mark.parametrize("what", ["session", "user"])
def test_a_running_turn_is_stopped_first(what: str) -> None:
    """Its partial answer is counted, and nothing of it comes back."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        await turn.read(1)
        if what == "session":
            await room.delete_session(ADA, turn.session_id)
        else:
            assert (await room.delete_user(ADA, "ada")).messages == 2
        await turn.end()

        assert turn.state == "cancelled"
        assert await room.rows(tables.messages) == []
        assert (await log(room))[0][2]["messages"] == 2

    in_room(EndlessAgent(), work=work)


def test_deleting_a_user() -> None:
    """Everything goes, for administrators and for the user; nobody else may."""

    async def work(room: Room) -> None:
        for by in (ADA, ADMIN):
            for _ in range(3):
                await (await room.say("a", by=ADA)).end()
            await (await room.say("b", user="bob", by=BOB)).end()
            for other in (BOB, SERVICE, NOBODY):
                with pytest.raises(Forbidden):
                    await room.delete_user(other, "ada")
            deleted = await room.delete_user(by, "ada")
            assert (deleted.sessions, deleted.messages) == (3, 6)
            with pytest.raises(NotFound):
                await room.delete_user(by, "ada")
        assert [user.id for user in await room.rows(tables.users)] == ["bob"]
        assert [entry[:2] for entry in await log(room)] == [
            ("user.deleted", "root@x"),
            ("user.deleted", "ada"),
        ]

    in_room(EchoAgent(), work=work)


def test_what_a_process_left_half_deleted_goes_at_the_start() -> None:
    """Out of sight when it died, and gone before the next one answers."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        await turn.end()
        await room.store.write(
            deletion.hide_session, turn.session_id, "ada", by=None, now=turn.started_at
        )
        assert await room.rows(tables.messages) != []
        await room.start()
        assert await room.rows(tables.messages) == await room.rows(tables.sessions) == []

    in_room(EchoAgent(), work=work)


def test_an_export_as_json_lines() -> None:
    """The session first, then every message as it is stored; recorded whoever asks."""

    async def work(room: Room) -> None:
        turn = await room.send([Message(MessageRole.USER, f"m{n}") for n in range(50)], by=ADA)
        await turn.end()
        session, *messages = map(json.loads, (await exported(room, turn)).splitlines())

        assert (session["type"], session["id"]) == ("session", turn.session_id)
        assert [message["message_index"] for message in messages] == list(range(51))
        assert {message.pop("type") for message in messages} == {"message"}
        assert messages == [record.to_dict() for record in await room.history(turn)]
        about = {"format": "jsonl", "user_id": "ada", "messages": 51}
        assert (await log(room))[1] == ("session.exported", "ada", about)

    in_room(EchoAgent(), work=work)


def test_exports_that_are_refused() -> None:
    """Others' sessions, unknown ones, and formats that there are none of; nothing is recorded."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        with pytest.raises(Forbidden):
            await room.export_session(BOB, turn.session_id, "ada", "jsonl")
        for by, session_id, user in ((BOB, turn.session_id, "bob"), (ADA, "x", "ada")):
            with pytest.raises(NotFound):
                await room.export_session(by, session_id, user, "jsonl")
        with pytest.raises(InvalidRequest, match="jsonl or markdown"):
            await room.export_session(ADA, turn.session_id, "ada", "pdf")
        assert await log(room) == []

    in_room(EchoAgent(), work=work)


def test_an_export_of_what_is_deleted_meanwhile_ends_with_an_error() -> None:
    """Half a session is not to be taken for the whole."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        await turn.end()
        export = await room.export_session(ADA, turn.session_id, "ada", "jsonl")
        await anext(export.chunks)
        await room.delete_session(ADA, turn.session_id)
        with pytest.raises(NotFound):
            await anext(export.chunks)

    in_room(EchoAgent(), work=work)


def test_nothing_is_given_out_that_could_not_be_recorded(tmp_path: Path) -> None:
    """With a store that takes nothing, an administrator reads nothing of others'."""

    async def work(room: Room) -> None:
        turn = await room.say("a", by=ADA)
        await turn.end()
        await room.store.write(lambda c: c.exec_driver_sql("PRAGMA query_only=ON").close())
        for reading in (
            room.get_session(ADMIN, turn.session_id, "ada"),
            room.export_session(ADMIN, turn.session_id, "ada", "jsonl"),
            room.get_turn(turn.id, ADMIN),
        ):
            with pytest.raises(StoreUnavailable):
                await reading
        assert len((await room.get_session(ADA, turn.session_id, "ada")).messages) == 2

    in_room(EchoAgent(), work=work, db=str(tmp_path / "store.db"))


def markdown(content: Any, title: str = "t", **fields: Any) -> str:
    """A session of one message."""
    session = ChatSessionSummary("s", "ada", NOW, NOW, title=title, message_count=1)
    record = ChatMessageRecord("m", 0, MessageRole.USER, NOW, content, **fields)
    written = FORMATS["markdown"]
    return written.begin(session) + written.message(record)


def test_an_export_as_markdown() -> None:
    """A heading, what the session is, and each message under one of its own."""
    assert markdown("Hello", "Greetings") == (
        "# Greetings\n\n- Session: s\n- User: ada\n- Model: \\-\n"
        "- Created: 2026\\-03\\-01T00:00:00\\+00:00\n- Messages: 1\n"
        "\n## 1. user, 2026-03-01T00:00:00+00:00\n\n```text\nHello\n```\n"
    )


def test_parts_and_calls_in_markdown() -> None:
    """What is no text is shown as JSON; no content is none."""
    parts = markdown([{"type": "text", "text": "x"}])
    calls = markdown(None, metadata={"tool_calls": [{"id": "c1"}]})

    assert '```json\n[\n  {\n    "type": "text"' in parts
    assert "```text" not in calls and "Tool calls:" in calls and '"id": "c1"' in calls


LINES = st.lists(
    st.sampled_from(["```", "`" * 5, "## 2. assistant", "x", "~~~", "\r", "", "    a"])
)


@given(content=LINES.map("\n".join) | st.text(), title=st.text(max_size=40) | LINES.map("\n".join))
def test_nothing_that_is_said_breaks_out_of_its_place(content: str, title: str) -> None:
    """Between a fence and its end stands the content word for word; the title is one line."""
    written = markdown(content, title)

    head, _, rest = written.partition("\n## 1. user, 2026-03-01T00:00:00+00:00\n\n")
    fence = re.match("`{3,}", rest)
    assert fence is not None
    inner = rest[len(fence[0]) + len("text\n") : -len(fence[0]) - 2]
    assert inner == content and rest.endswith(f"\n{fence[0]}\n")
    assert fence[0] not in content
    first, blank, *others = re.split("[\r\n]", head)
    assert first.startswith("# ") and blank == "" and len(others) == 6
    assert not re.search(r"(?<!\\)[`<\[*_]", first.replace("\\\\", ""))
