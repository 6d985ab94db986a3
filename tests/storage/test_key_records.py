"""API keys in the store: whose they are, how they are listed, how they end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from store_records import NOW, SECOND, Db

from chatserver_sdk.models import ApiKeyInfo, Role
from chatserver_sdk.storage import Conflict, NotFound, admins, audit, generation, keys
from chatserver_sdk.storage.principals import Named, id_of_user


def create(db: Db, hash: str, role: Role = Role.SERVICE, **options: Any) -> ApiKeyInfo:
    """Store a key for whoever is named."""
    named = Named(*(options.pop(name, None) for name in ("principal_id", "email", "workos_id")))
    user_id, now = options.pop("user_id", None), options.pop("now", NOW)
    new = keys.NewKey(hash, "csk_1234", "a key", role, user_id, options.pop("expires_at", None))
    named = Named(named.principal_id, named.email, named.workos_id, user_id)
    return db.write(keys.create, new, named, by="root@x", now=now)


def admin(db: Db, email: str = "root@x") -> None:
    """Make somebody an administrator."""
    db.write(admins.add_admin, workos_id=None, email=email, name=None, by=None, now=NOW)


def test_a_key_as_it_is_shown(db: Db) -> None:
    """Everything that is known of it but its hash."""
    end = NOW + 9 * SECOND
    made = create(db, "h1", Role.USER, user_id="ada", email="a@x", workos_id="w", expires_at=end)

    assert made == db.read(keys.get_key, made.id) == db.read(keys.list_keys, most=9)[0]
    assert made == ApiKeyInfo(
        id=made.id,
        role=Role.USER,
        prefix="csk_1234",
        name="a key",
        user_id="ada",
        principal_id=made.principal_id,
        email="a@x",
        workos_id="w",
        created_at=NOW,
        created_by="root@x",
        expires_at=end,
    )
    holder = db.read(keys.find_holder, "h1", NOW)
    assert holder is not None and holder.expires_at == end
    assert holder.principal.key_id == made.id


def test_keys_of_one_holder(db: Db) -> None:
    """By e-mail, WorkOS id or the id that the store gave, it is the same principal."""
    first = create(db, "h1", email="a@x", workos_id="w")
    others = [
        create(db, "h2", email="a@x"),
        create(db, "h3", workos_id="w"),
        create(db, "h4", principal_id=first.principal_id),
        create(db, "h5", principal_id=first.principal_id, email="a@x", workos_id="w"),
    ]

    assert {key.principal_id for key in others} == {first.principal_id}
    assert {(key.email, key.workos_id) for key in others} == {("a@x", "w")}


def test_a_users_keys_have_one_holder(db: Db) -> None:
    """A user whom nobody names otherwise is one principal; services are one each."""
    of_ada = {create(db, f"a{n}", Role.USER, user_id="ada").principal_id for n in range(2)}
    services = {create(db, f"s{n}").principal_id for n in range(2)}

    assert of_ada == {id_of_user("ada")} and len(services) == 2


@pytest.mark.parametrize(
    "names",
    [
        {"email": "a@x", "workos_id": "w2"},
        {"email": "b@x", "workos_id": "w"},
        {"email": "a@x", "workos_id": "other"},
        {"email": "other@x", "workos_id": "w"},
    ],
)
def test_names_of_two_people(db: Db, names: dict[str, str]) -> None:
    """They make no key, and nothing is written."""
    create(db, "h1", email="a@x", workos_id="w")
    create(db, "h2", email="b@x", workos_id="w2")

    with pytest.raises(Conflict) as caught:
        create(db, "h3", **names)

    assert caught.value.code == "principal_mismatch"
    assert len(db.read(keys.list_keys, most=9)) == 2


def test_what_is_learnt_of_a_holder(db: Db) -> None:
    """A name that was not known before is noted."""
    first = create(db, "h1", email="a@x")
    assert create(db, "h2", email="a@x", workos_id="w").principal_id == first.principal_id
    assert create(db, "h3", workos_id="w").email == "a@x"


def test_nobody(db: Db) -> None:
    """Unknown principals and keys are not found."""
    with pytest.raises(NotFound):
        create(db, "h1", principal_id="nobody")
    with pytest.raises(NotFound):
        db.write(keys.revoke, "nobody", by=None, now=NOW)


@pytest.mark.parametrize("names", [{}, {"email": "new@x"}, {"email": "former@x"}])
def test_admin_keys_are_administrators(db: Db, names: dict[str, str]) -> None:
    """Whoever has not the role, or has it no longer, gets no such key."""
    admin(db)
    admin(db, "former@x")
    db.write(admins.remove_admin, email="former@x", by="root@x", now=NOW)

    with pytest.raises(Conflict) as caught:
        create(db, "h1", Role.ADMIN, **names)

    assert caught.value.code == "not_an_admin"
    assert create(db, "h2", Role.ADMIN, email="root@x").role is Role.ADMIN


def test_pages_of_keys(db: Db) -> None:
    """However they are cut, they add up to the whole; keys of one moment too."""
    for number in range(7):
        create(db, f"h{number}", now=NOW + (number // 3) * SECOND)
    whole = db.read(keys.list_keys, most=99)

    for size in range(1, 9):
        found: list[ApiKeyInfo] = []
        for _ in range(7 // size + 1):
            found += db.read(keys.list_keys, _place(found), most=size)
        assert found == whole
    assert [key.created_at for key in whole] == sorted(
        (NOW + (n // 3) * SECOND for n in range(7)), reverse=True
    )


def _place(found: list[ApiKeyInfo]) -> Any:
    return (found[-1].created_at, found[-1].id) if found else None


def test_keys_are_listed_by_an_index(sqlite_db: Db) -> None:
    """The table is not sorted for a page."""
    explain = text(
        "EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE (created_at, id) < (5, 'x')"
        " ORDER BY created_at DESC, id DESC LIMIT 9"
    )
    plan = " ".join(row[3] for row in sqlite_db.read(lambda c: c.execute(explain).all()))
    assert "ix_api_keys_made" in plan and "SCAN" not in plan and "TEMP" not in plan


def test_a_revoked_key(db: Db) -> None:
    """It is nobody's from then on; a second time changes nothing and is not recorded."""
    key = create(db, "h1")

    revoked = db.write(keys.revoke, key.id, by="root@x", now=NOW + SECOND)
    again = db.write(keys.revoke, key.id, by="other@x", now=NOW + 2 * SECOND)

    assert revoked == again and revoked.revoked_at == NOW + SECOND
    assert db.read(keys.find_holder, "h1", NOW) is db.read(keys.find_by_id, key.id, NOW) is None
    log = db.read(audit.list_entries, limit=9)
    assert [(e.action, e.user_id, e.resource, e.resource_id) for e in log] == [
        ("key.revoked", "root@x", "key", key.id),
        ("key.created", "root@x", "key", key.id),
    ]
    assert log[0].metadata == {"prefix": "csk_1234", "role": "service", "name": "a key"}


def test_the_last_key_of_an_administrator(db: Db) -> None:
    """It stays: an expired one, a demoted one's and a service's are no way in."""
    admin(db)
    admin(db, "b@x")
    last = create(db, "h1", Role.ADMIN, email="root@x")
    create(db, "h2", Role.ADMIN, email="root@x", expires_at=NOW - SECOND)
    create(db, "h3", Role.ADMIN, email="b@x")
    db.write(admins.remove_admin, email="b@x", by="root@x", now=NOW)
    create(db, "h4")

    with pytest.raises(Conflict) as caught:
        db.write(keys.revoke, last.id, by="root@x", now=NOW)
    assert caught.value.code == "last_admin_key"

    create(db, "h5", Role.ADMIN, email="root@x")
    assert db.write(keys.revoke, last.id, by="root@x", now=NOW).revoked_at == NOW


def test_when_a_key_was_used(db: Db) -> None:
    """The last use stands in the record, and is no event of the log."""
    key = create(db, "h1")
    db.write(keys.touch, {key.id: NOW + SECOND, "nobody": NOW})

    assert db.read(keys.get_key, key.id).last_used_at == NOW + SECOND
    assert len(db.read(audit.list_entries, limit=9)) == 1


def test_the_first_key_of_a_former_administrator(db: Db) -> None:
    """Whoever gets the first key is an administrator from then on."""
    create(db, "h0", email="root@x")
    key = keys.NewKey("h1", "csk_", "first", Role.ADMIN)

    assert db.write(keys.create_first, key, email="root@x", now=NOW)
    found = db.read(keys.find_principal, "h1", NOW)
    assert found is not None and found.role is Role.ADMIN


def test_every_change_is_a_generation(db: Db) -> None:
    """Of keys and of rights; what is refused, listed or used is none."""
    seen = [db.read(generation.current)]

    def is_new() -> bool:
        seen.append(db.read(generation.current))
        return seen[-1] != seen[-2]

    admin(db)
    assert is_new()
    admin(db, "b@x")
    assert is_new()
    key = create(db, "h1", Role.ADMIN, email="b@x")
    assert is_new()
    with pytest.raises(Conflict):
        db.write(keys.revoke, key.id, by=None, now=NOW)
    db.write(keys.touch, {key.id: NOW})
    db.read(keys.list_keys, most=9)
    assert not is_new()
    create(db, "h2", Role.ADMIN, email="root@x")
    assert is_new()
    db.write(admins.remove_admin, email="b@x", by="root@x", now=NOW)
    assert is_new()
    db.write(keys.revoke, key.id, by=None, now=NOW + timedelta(days=1))
    assert is_new()


def test_the_watch_sees_what_others_commit(tmp_path: Path) -> None:
    """At once, through a connection of its own; closed, it opens itself again."""
    db = Db.open(str(tmp_path / "a ?%#.db"))
    assert db.store.file is not None and not db.store.is_private
    watch = generation.Watch(db.store.file)

    before = watch.current()
    create(db, "h1")
    after = watch.current()
    watch.close()
    again = watch.current()
    watch.close()
    db.close()

    assert (before, after, again) == (1, 2, 2)


def test_a_watch_of_nothing(tmp_path: Path) -> None:
    """Where there is no database there is no answer, and none is made."""
    watch = generation.Watch(tmp_path / "none.db")
    assert watch.current() is None and list(tmp_path.iterdir()) == []


def test_a_database_in_memory_is_nobody_elses() -> None:
    """It has no file to watch."""
    db = Db.open(":memory:")
    assert db.store.file is None and db.store.is_private
    db.close()
