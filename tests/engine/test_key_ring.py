"""The key ring remembers who holds a key, and never longer than that is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from engine_room import ADMIN

from chatserver_sdk.engine import (
    Catalogue,
    InvalidRequest,
    KeyIssuer,
    KeyRing,
    PlatformService,
    Unauthenticated,
    new_key,
)
from chatserver_sdk.engine.keys import FIRST_ADMIN
from chatserver_sdk.engine.remembered import Remembered
from chatserver_sdk.models import AdminRequest, ApiKeyRequest, Role
from chatserver_sdk.storage import Conflict, Store, StoreUnavailable, keys, open_store
from chatserver_sdk.storage.idempotency import Key


class Desk:
    """A store with one administrator, what remembers its keys, and what makes them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ring = KeyRing(store)
        self.issuer = KeyIssuer(store, self.ring)
        self.platform = PlatformService(store, Catalogue([]), changed=self.ring.forget)

    async def make(self, name: str = "k", role: Role = Role.SERVICE, **fields: Any) -> Any:
        """A new key."""
        return await self.issuer.create_key(ApiKeyRequest(name, role, **fields), "root@x")

    async def role(self, key: str) -> Role | None:
        """The role that a key gives; None where it is refused."""
        try:
            return (await self.ring.authenticate(key)).role
        except Unauthenticated:
            return None


def at_desk(work: Callable[[Desk], Awaitable[Any]], db: str = ":memory:") -> Any:
    """What `work` gives, with a store that is open meanwhile."""

    async def run(store: Store) -> Any:
        desk = Desk(store)
        await desk.ring.create_first(new_key())
        try:
            return await asyncio.wait_for(work(desk), 60)
        finally:
            await desk.ring.close()

    store = open_store(db)
    try:
        return asyncio.run(run(store))
    finally:
        store.close()


@pytest.fixture(params=["file", "memory"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is."""
    return str(tmp_path / "store.db") if request.param == "file" else ":memory:"


def test_a_known_key_needs_no_database(tmp_path: Path) -> None:
    """Once it was asked, the store could be gone and the key would still be known."""

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        await desk.role(made.key)
        await desk.ring.close()
        await asyncio.to_thread(desk.store.close)
        with pytest.raises(StoreUnavailable):
            await desk.ring.authenticate(new_key())
        return await desk.role(made.key)

    assert at_desk(work, str(tmp_path / "store.db")) is Role.SERVICE


def test_revocation_counts_at_once(db: str) -> None:
    """From the next request on, however often the key was used before."""

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        before = [await desk.role(made.key) for _ in range(3)]
        await desk.issuer.revoke_key(made.id, "root@x")
        return before, await desk.role(made.key)

    assert at_desk(work, db) == ([Role.SERVICE] * 3, None)


def test_revocation_by_somebody_else_counts_at_once(tmp_path: Path) -> None:
    """Another process has its own connection to the file, and says nothing to this one."""
    path = str(tmp_path / "store.db")

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        before = await desk.role(made.key)
        other = open_store(path)
        await KeyIssuer(other).revoke_key(made.id, "other")
        await asyncio.to_thread(other.close)
        return before, await desk.role(made.key)

    assert at_desk(work, path) == (Role.SERVICE, None)


class Distant(Store):
    """A store that is no file of this machine's, as PostgreSQL's is."""

    file = None


@pytest.mark.parametrize(("polled", "role"), [(0.0, None), (3600.0, Role.SERVICE)])
def test_a_database_that_says_nothing(tmp_path: Path, polled: float, role: Role | None) -> None:
    """It is asked from time to time; what others revoke is known for no longer than that."""
    path = str(tmp_path / "store.db")

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        desk.store.__class__ = Distant
        desk.ring = KeyRing(desk.store, polled=polled)
        await desk.role(made.key)
        other = open_store(path)
        await KeyIssuer(other).revoke_key(made.id, "other")
        await asyncio.to_thread(other.close)
        return await desk.role(made.key)

    assert at_desk(work, path) is role


def test_many_at_once_while_keys_come_and_go(db: str) -> None:
    """Whoever was let in held a key that was valid when they asked, or while they did."""

    async def work(desk: Desk) -> Any:
        refused = []
        for _ in range(20):
            made = await desk.make()
            asking = [asyncio.ensure_future(desk.role(made.key)) for _ in range(20)]
            await desk.issuer.revoke_key(made.id, "root@x")
            await asyncio.gather(*asking)
            refused.append(await desk.role(made.key))
        return refused

    assert at_desk(work, db) == [None] * 20


def test_whether_a_key_is_known() -> None:
    """Without its being used; a developer's server knows every key."""

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        known = [await desk.ring.knows(made.key), await desk.ring.knows("csk_other")]
        await desk.ring.close()
        unused = (await desk.store.read(keys.get_key, made.id)).last_used_at
        return known, unused, await KeyRing(desk.store, dev=True).knows("x")

    assert at_desk(work) == ([True, False], None, True)


def test_a_demotion_counts_at_once(db: str) -> None:
    """And so does the role when it comes back."""

    async def work(desk: Desk) -> Any:
        await desk.platform.add_admin(AdminRequest("w", "a@x"), ADMIN)
        made = await desk.make("theirs", Role.ADMIN, email="a@x")
        roles = [await desk.role(made.key)]
        await desk.platform.remove_admin("a@x", ADMIN)
        roles.append(await desk.role(made.key))
        await desk.platform.add_admin(AdminRequest("w", "a@x"), ADMIN)
        return [*roles, await desk.role(made.key)]

    assert at_desk(work, db) == [Role.ADMIN, Role.USER, Role.ADMIN]


def test_an_expired_key(db: str) -> None:
    """It is refused once its time has come, remembered or not."""

    async def work(desk: Desk) -> Any:
        end = datetime.now(timezone.utc) + timedelta(seconds=0.2)
        made = await desk.make(expires_at=end)
        before = await desk.role(made.key)
        while datetime.now(timezone.utc) < end:
            await asyncio.sleep(0)
        return before, await desk.role(made.key)

    assert at_desk(work, db) == (Role.SERVICE, None)


def test_when_a_key_was_used_is_written_by_the_way(db: str) -> None:
    """Once for many uses, and at the latest when the ring is closed."""

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        unused = (await desk.issuer.list_keys()).keys[0].last_used_at
        for _ in range(5):
            await desk.role(made.key)
        await desk.ring.close()
        first = await desk.store.read(keys.get_key, made.id)
        # Another ring, as after a new start of the server, knows when that was.
        ring = KeyRing(desk.store)
        await ring.authenticate(made.key)
        await ring.close()
        second = await desk.store.read(keys.get_key, made.id)
        return unused, first.last_used_at, second.last_used_at

    unused, first, second = at_desk(work, db)
    assert unused is None and first == second
    assert abs(datetime.now(timezone.utc) - first) < timedelta(minutes=1)


def test_a_use_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """It costs nobody the answer; the operator is told, without the key."""

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        # The write waits in the loop when the store is closed behind its back.
        role = await desk.role(made.key)
        desk.store.close()
        await desk.ring.close()
        return role, made.key

    role, key = at_desk(work)
    assert role is Role.SERVICE and key not in caplog.text
    assert "could not be stored" in caplog.text


def test_who_a_principal_is_now() -> None:
    """By the id of the key that they came with; one of a token is taken at its word."""

    async def work(desk: Desk) -> Any:
        made = await desk.make()
        principal = await desk.ring.authenticate(made.key)
        same = await desk.ring.renewed(principal)
        await desk.issuer.revoke_key(made.id, "root@x")
        with pytest.raises(Unauthenticated):
            await desk.ring.renewed(principal)
        return principal == same, await desk.ring.renewed(ADMIN) is ADMIN

    assert at_desk(work) == (True, True)


def test_a_key_that_is_too_long_is_none() -> None:
    """It is not even hashed."""

    async def work(desk: Desk) -> Any:
        return await desk.role("x" * 10_000)

    assert at_desk(work) is None


def test_what_is_remembered() -> None:
    """As many as fit, until their time; those that were used longest ago make room."""
    known: Remembered[int] = Remembered(2)
    known.put("a", 1, 10)
    known.put("b", 2, 10)
    assert known.find("a", 9) == 1
    known.put("c", 3, 20)

    assert [known.find(name, 9) for name in "abc"] == [1, None, 3]
    assert known.find("a", 10) is None and len(known) == 1
    known.clear()
    assert known.find("c", 0) is None


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": "  "}),
    ("name", {"name": "x\x1b[2J"}),
    ("user_id", {"role": Role.USER}),
    ("user_id", {"role": Role.USER, "user_id": "a\0b"}),
    ("workos_id", {"workos_id": "a\0b"}),
    ("user_id", {"role": Role.USER, "user_id": " "}),
    ("user_id", {"role": Role.SERVICE, "user_id": "ada"}),
    ("user_id", {"role": Role.ADMIN, "user_id": "ada", "email": FIRST_ADMIN}),
    ("email", {"role": Role.ADMIN}),
    ("email", {"email": "nobody"}),
    ("workos_id", {"workos_id": "  "}),
    ("expires_at", {"expires_at": datetime(2020, 1, 1)}),
    ("expires_at", {"expires_at": datetime(2020, 1, 1, tzinfo=timezone.utc)}),
]


@pytest.mark.parametrize(("param", "fields"), WRONG)
def test_keys_that_cannot_be(param: str, fields: dict[str, Any]) -> None:
    """The field at fault is named, and no key is made."""

    async def work(desk: Desk) -> Any:
        with pytest.raises(InvalidRequest) as caught:
            await desk.make(**{"name": "k", "role": Role.SERVICE, **fields})
        return caught.value.param, (await desk.issuer.list_keys()).count

    assert at_desk(work) == (param, 1)


def test_a_key_is_shown_once(db: str) -> None:
    """In the answer, in no repr, and not in the store; sent again, the request is a conflict."""
    once = Key("p", "keys", "i", "h")

    async def work(desk: Desk) -> Any:
        request = ApiKeyRequest("k", Role.SERVICE)
        made = await desk.issuer.create_key(request, "root@x", once)
        with pytest.raises(Conflict) as caught:
            await desk.issuer.create_key(request, "root@x", once)
        with pytest.raises(Conflict) as other:
            again = Key("p", "keys", "i", "other")
            await desk.issuer.create_key(request, "root@x", again)
        dump = await desk.store.read(
            lambda c: "\n".join(c.connection.driver_connection.iterdump())  # type: ignore
        )
        return made, caught.value, other.value.code, dump, (await desk.issuer.list_keys()).count

    made, refused, other, dump, count = at_desk(work, db)
    assert made.key not in repr(made) and made.key not in dump and made.key[13:] not in dump
    assert made.key.startswith(made.prefix) and made.created_by == "root@x"
    assert (refused.code, other, count) == ("key_shown_once", "idempotency_key_reused", 2)
    assert made.id in str(refused)


def test_pages_of_keys(db: str) -> None:
    """Each page says where the next one begins; a cursor of another list is refused."""

    async def work(desk: Desk) -> Any:
        for number in range(5):
            await desk.make(f"k{number}")
        found, cursor = [], ""
        for _ in range(3):
            page = await desk.issuer.list_keys(2, cursor)
            found += [key.name for key in page.keys]
            cursor = page.next_cursor or ""
        with pytest.raises(InvalidRequest):
            await desk.issuer.list_keys(2, "x")
        return found, cursor

    names = [*(f"k{n}" for n in range(4, -1, -1)), "first administrator"]
    assert at_desk(work, db) == (names, "")
