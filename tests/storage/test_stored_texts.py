"""Every text comes back as it was, on every database; what does not fit is refused."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_records import NOW, Db, ended, new_id, planned

from chatserver_sdk.models import UsageInfo
from chatserver_sdk.models.events import TextDelta
from chatserver_sdk.storage import Unstorable, admins, audit, sessions, turns
from chatserver_sdk.storage.audit import AuditFilters

ODD = ["\0", "a\0b", "\x1a", "\x1a0", "\x1a1", "\x1a\0", "\0\x1a0\x1a1\x1a", "\\u0000", "%s %(x)s"]
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TEXTS = st.one_of(st.sampled_from(ODD), WORDS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(user=TEXTS, title=TEXTS, said=TEXTS, answer=TEXTS, key=TEXTS)
def test_a_conversation_in_odd_words(
    db: Db, user: str, title: str, said: str, answer: str, key: str
) -> None:
    """Ids, titles, messages, metadata and logs, with every character that there is."""
    fields = {"title": title, "organization_id": title, "metadata": {key: [said]}}
    plan = planned(said, user=user, **fields)
    db.converse(plan, answer)

    found = db.read(sessions.get_session, plan.session.id, user)

    assert found.session.title == title and found.session.organization_id == title
    assert found.session.metadata == {key: [said]} and found.session.user_id == user
    assert [message.content for message in found.messages] == [said, answer]
    assert db.read(turns.read_log, plan.turn_id) == [TextDelta(answer)]
    listed, _ = db.read(sessions.list_sessions, user, page=1, page_size=100)
    assert plan.session.id in [one.id for one in listed]


@pytest.mark.parametrize("word", ODD)
def test_the_audit_log_in_odd_words(db: Db, word: str) -> None:
    """Entries are found by what they are about, and by patterns that hold it."""
    about = {"resource": "r", "resource_id": word, "metadata": {word: word}}
    # What is done has a name of ours, which holds no NUL.
    done = f"a.{word}.b".replace("\0", "0")
    for action in (done, "a.x"):
        db.write(audit.record, action, by=word, now=NOW, **about)

    (entry,) = db.read(audit.list_entries, limit=9, filters=AuditFilters(action=done[:-1] + "*"))

    assert (entry.action, entry.user_id, entry.resource_id) == (done, word, word)
    assert entry.metadata == {word: word}
    found = db.read(audit.list_entries, limit=9, filters=AuditFilters(user_id=word))
    assert len(found) == 2
    none = db.read(audit.list_entries, limit=9, filters=AuditFilters(action="a*\0*"))
    assert none == []


@pytest.mark.parametrize("reason", ["", "x" * 33, "x" * 5000, "\0" * 32])
def test_an_agents_long_words(db: Db, reason: str) -> None:
    """A turn ends also where its agent gives codes that are longer than their columns."""
    plan = planned("hello")
    end = ended(plan, db.ask(plan), None, state="failed")
    end.error_code = end.finish_reason = reason

    db.write(turns.finish, end)

    assert db.read(turns.find_turn, plan.turn_id).state == "failed"


@pytest.mark.parametrize("tokens", [2**63, 2**70])
def test_what_does_not_fit_is_refused(db: Db, tokens: int) -> None:
    """Nothing of it is stored, the value is not repeated, and the store goes on."""
    plan = planned("hello")
    end = ended(plan, db.ask(plan), usage=UsageInfo(tokens, 1, tokens))

    with pytest.raises(Unstorable) as caught:
        db.write(turns.finish, end)

    assert str(tokens) not in str(caught.value)
    assert db.read(turns.find_turn, plan.turn_id).state == "running"
    db.write(turns.finish, ended(plan, turns.BegunTurn([], 1)))


def test_half_a_character_is_refused(db: Db) -> None:
    """What UTF-8 cannot write is Unstorable, beside others that are stored."""
    for user in ("a\ud800", "\udfff"):
        with pytest.raises(Unstorable):
            db.converse(planned("x", user=user))
    with pytest.raises(Unstorable):
        db.converse(planned("a\ud800"))
    assert db.read(sessions.find_session, new_id()) is None


@pytest.mark.parametrize("word", ODD[:6])
def test_administrators_in_odd_words(db: Db, word: str) -> None:
    """Names are kept; ids are told apart exactly."""
    for number, name in enumerate((word, word * 2)):
        who = {"workos_id": name, "email": f"a{number}@x", "name": name}
        db.write(admins.add_admin, **who, by=None, now=NOW)

    assert {admin.name for admin in db.read(admins.list_admins)} == {word, word * 2}
