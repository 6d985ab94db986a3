"""Administrators, their keys, and the log of what was done about them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from store_records import NOW, SECOND, Db, new_id

from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage import Conflict, NotFound, admins, audit, keys, tables


def add(db: Db, email: str, workos_id: str | None = None, **fields: Any) -> str:
    """Make somebody an administrator; their principal's id."""
    given = {"name": None, "by": "root@x", "now": NOW, **fields}
    return db.write(admins.add_admin, workos_id=workos_id, email=email, **given)


def remove(db: Db, email: str, by: str = "root@x") -> None:
    """Take the role away."""
    db.write(admins.remove_admin, email=email, by=by, now=NOW)


def emails(db: Db) -> list[str]:
    """The administrators."""
    return [admin.email for admin in db.read(admins.list_admins)]


def log(db: Db, limit: int = 1000, offset: int = 0) -> list[tuple[str, str, str | None]]:
    """The audit log, newest first: number, action, about whom."""
    entries = db.read(audit.list_entries, limit=limit, offset=offset)
    return [(entry.id, entry.action, entry.resource_id) for entry in entries]


def principals(db: Db) -> dict[str, tuple[str | None, str | None]]:
    """WorkOS id and name of everybody, by e-mail."""
    columns = select(*(tables.principals.c[name] for name in ("email", "workos_id", "name")))
    return {e: (w, n) for e, w, n in db.read(lambda connection: connection.execute(columns).all())}


def store_key(db: Db, principal_id: str, role: Role = Role.ADMIN, hash: str = "h1") -> str:
    """Store a key for a principal; the key's id."""
    key = keys.NewKey(hash, "csk_1234", "a key", role, user_id="ada")
    return db.write(keys.insert_key, key, principal_id=principal_id, by="root@x", now=NOW)


def holder(db: Db, hash: str = "h1", now: Any = NOW) -> Principal | None:
    """Who holds a key."""
    return db.read(keys.find_principal, hash, now)


def test_administrators_are_listed_first_come_first(db: Db) -> None:
    """Each with their id, name, and who made them one."""
    second = add(db, "b@x", "w2", name="Bea", now=NOW + SECOND)
    add(db, "a@x", "w1", by=None)

    first_found, second_found = db.read(admins.list_admins)

    assert (first_found.email, first_found.created_by) == ("a@x", None)
    assert (second_found.id, second_found.name, second_found.created_by) == (
        second,
        "Bea",
        "root@x",
    )
    assert second_found.created_at == NOW + SECOND


def test_nobody_is_made_administrator_twice(db: Db) -> None:
    """Who has the role is told so, and nothing is written."""
    add(db, "a@x", "w1")

    for workos_id in ("w1", None):
        with pytest.raises(Conflict) as caught:
            add(db, "a@x", workos_id)
        assert caught.value.code in ("admin_exists", "principal_mismatch")
    assert len(log(db)) == 1


def test_the_last_administrator_stays(db: Db) -> None:
    """One is always left, who could make others."""
    add(db, "a@x")
    add(db, "b@x", now=NOW + SECOND)
    remove(db, "a@x")

    with pytest.raises(Conflict, match="last administrator") as caught:
        remove(db, "b@x")

    assert caught.value.code == "last_admin"
    assert emails(db) == ["b@x"]


def test_nobody_locks_everybody_out(db: Db) -> None:
    """Who gives the role up themselves must leave somebody behind who holds a key."""
    own = add(db, "a@x")
    other = add(db, "b@x", now=NOW + SECOND)
    store_key(db, own, hash="h1")
    store_key(db, other, role=Role.SERVICE, hash="h2")

    with pytest.raises(Conflict, match="with a key") as caught:
        db.write(admins.remove_admin, email="a@x", by="a@x", now=NOW)
    assert caught.value.code == "last_admin"

    store_key(db, other, hash="h3")
    db.write(admins.remove_admin, email="a@x", by="a@x", now=NOW)
    assert emails(db) == ["b@x"]


def test_nobody_takes_the_last_key_from_another(db: Db) -> None:
    """Also who came without a key, as with a token, leaves somebody who holds one; where nobody
    holds one there is none to be left."""
    own = add(db, "a@x")
    for email in ("b@x", "c@x"):
        add(db, email, now=NOW + SECOND)
    remove(db, "c@x", by="b@x")
    store_key(db, own, hash="h1")

    with pytest.raises(Conflict, match="with a key") as caught:
        remove(db, "a@x", by="b@x")

    assert caught.value.code == "last_admin"
    assert emails(db) == ["a@x", "b@x"]
    remove(db, "b@x", by="b@x")


@pytest.mark.parametrize("email", ["nobody@x", "", "former@x", "A@X"])
def test_who_is_no_administrator_is_not_removed(db: Db, email: str) -> None:
    """An unknown address, or one that had the role before."""
    for known in ("a@x", "former@x"):
        add(db, known)
    remove(db, "former@x")

    with pytest.raises(NotFound):
        remove(db, email)
    assert emails(db) == ["a@x"]


def test_who_comes_back_is_the_same_principal(db: Db) -> None:
    """Granted again, the role goes to the principal that the keys belong to."""
    add(db, "a@x")
    first = add(db, "b@x", "w1", name="Bea")
    remove(db, "b@x")

    assert add(db, "b@x", "w1", name="Bea") == first
    assert len(principals(db)) == 2


@pytest.mark.parametrize(
    ("email", "workos_id"),
    [("b@x", "w1"), ("a@x", "w2"), ("a@x", "w3"), ("new@x", "w1")],
)
def test_two_peoples_names_are_a_conflict(db: Db, email: str, workos_id: str) -> None:
    """An address and a WorkOS id that belong to different principals make nobody administrator."""
    add(db, "root@x")
    for known, theirs in (("a@x", "w1"), ("b@x", "w2")):
        add(db, known, theirs)
        remove(db, known)
    before = (principals(db), log(db))

    with pytest.raises(Conflict) as caught:
        add(db, email, workos_id)

    assert caught.value.code == "principal_mismatch"
    assert (principals(db), log(db)) == before and emails(db) == ["root@x"]


def test_what_is_learnt_about_a_principal_is_noted(db: Db) -> None:
    """A WorkOS id or a name that was not known before stands in the record from now on."""
    add(db, "root@x")
    add(db, "b@x")
    remove(db, "b@x")

    add(db, "b@x", "w1", name="Bea")
    noted = principals(db)["b@x"]
    remove(db, "b@x")
    add(db, "b@x", "w1", name="Other")

    assert noted == principals(db)["b@x"] == ("w1", "Bea")
    with pytest.raises(Conflict) as caught:
        add(db, "somebody@x", "w1")
    assert caught.value.code == "principal_mismatch"


def test_the_log_is_numbered_without_gaps(db: Db) -> None:
    """What is refused leaves no entry and no gap; what is done leaves one."""
    add(db, "a@x")
    for _ in range(3):
        with pytest.raises(Conflict):
            add(db, "a@x")
    add(db, "b@x")
    remove(db, "a@x")

    assert log(db) == [
        ("3", "admin.removed", "a@x"),
        ("2", "admin.added", "b@x"),
        ("1", "admin.added", "a@x"),
    ]
    entry = db.read(audit.list_entries, limit=1, offset=0)[0]
    assert (entry.timestamp, entry.user_id, entry.resource) == (NOW, "root@x", "admin")
    assert (entry.org_id, entry.metadata) == (None, {})


def test_pages_of_the_log(db: Db) -> None:
    """Whatever limit and offset are, pages are parts of the whole, newest first."""
    for number in range(5):
        add(db, f"{number}@x")
    whole = log(db)

    for limit in range(1, 7):
        for offset in range(7):
            assert log(db, limit, offset) == whole[offset : offset + limit]


def test_a_key_says_who_holds_it(db: Db) -> None:
    """A stored hash finds its principal; another one finds nobody."""
    principal_id = add(db, "a@x", name="Ada")
    key_id = store_key(db, principal_id)

    assert holder(db) == Principal(principal_id, Role.ADMIN, "a@x", "Ada", "ada")
    assert holder(db, "other") is None
    entry = db.read(audit.list_entries, limit=1, offset=0)[0]
    assert (entry.action, entry.resource, entry.resource_id) == ("key.created", "key", key_id)
    assert entry.metadata == {"prefix": "csk_1234", "role": "admin", "name": "a key"}


@pytest.mark.parametrize("role", list(Role))
def test_a_key_has_its_role(db: Db, role: Role) -> None:
    """Each role is given back as it was stored."""
    store_key(db, add(db, "a@x"), role)

    found = holder(db)

    assert found is not None and found.role is role


def test_a_demoted_administrators_keys_are_users_keys(db: Db) -> None:
    """With the role gone, an old key gives no more than its holder has."""
    store_key(db, add(db, "root@x"), hash="h0")
    principal_id = add(db, "a@x")
    store_key(db, principal_id)
    store_key(db, principal_id, Role.SERVICE, "h2")
    remove(db, "a@x")

    found = [holder(db, hash) for hash in ("h1", "h2")]

    assert [principal and principal.role for principal in found] == [Role.USER, Role.SERVICE]


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({"revoked_at": NOW + 9 * SECOND}, False),
        ({"expires_at": NOW - SECOND}, False),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW + SECOND}, True),
        ({"expires_at": NOW + SECOND, "revoked_at": NOW}, False),
    ],
)
def test_keys_end(db: Db, changes: dict[str, Any], valid: bool) -> None:
    """A revoked key is nobody's, and an expired one from its last moment on."""
    store_key(db, add(db, "a@x"))
    end = update(tables.api_keys).values(changes)
    db.write(lambda connection: connection.execute(end).rowcount)

    assert (holder(db) is not None) == valid
    assert db.read(keys.any_key)


def first(db: Db, hash: str) -> bool:
    """Store the first administrator's key."""
    key = keys.NewKey(hash, "csk_", "first", Role.ADMIN)
    return db.write(keys.create_first, key, email="root@x", now=NOW)


def test_the_first_key(db: Db) -> None:
    """It comes with an administrator, and only into a store that has no key."""
    empty = db.read(keys.any_key)

    assert (empty, first(db, "h1"), first(db, "h2")) == (False, True, False)
    found = holder(db)
    assert found is not None and (found.role, found.email) == (Role.ADMIN, "root@x")
    assert holder(db, "h2") is None and emails(db) == ["root@x"]
    assert [action for _, action, _ in log(db)] == ["key.created", "admin.added"]


def test_the_first_key_of_somebody_who_is_known(db: Db) -> None:
    """An administrator who is there already gets the key, and no second record."""
    principal_id = add(db, "root@x")

    assert first(db, "h1")
    found = holder(db)
    assert found is not None and (found.id, found.role) == (principal_id, Role.ADMIN)


def test_two_keys_with_one_hash_cannot_be(db: Db) -> None:
    """The database itself keeps keys apart."""
    principal_id = add(db, "a@x")
    store_key(db, principal_id)

    with pytest.raises(Exception, match="(?i)unique constraint"):
        store_key(db, principal_id)
    assert len(log(db)) == 2


def test_ids_are_no_addresses(db: Db) -> None:
    """A principal that nobody knows holds no keys: the database refuses it."""
    with pytest.raises(Exception, match="(?i)foreign key"):
        store_key(db, new_id())
