"""The catalogue of models, the keys and the platform service, each over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engine_room import ADMIN

from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.agents.backends.eliza import ElizaAgent
from chatserver_sdk.engine import (
    Catalogue,
    InvalidRequest,
    KeyRing,
    PlatformService,
    Unauthenticated,
    UnknownModel,
    new_key,
)
from chatserver_sdk.engine.keys import DEV_ADMIN, FIRST_ADMIN, hash_key, key_prefix
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.models import AdminRequest, Role
from chatserver_sdk.storage import Conflict, NotFound, Store, keys, open_store
from chatserver_sdk.testing import ScriptedAgent

ECHO, ELIZA = EchoAgent(), ElizaAgent()


def with_store(work: Callable[[Store], Awaitable[Any]]) -> Any:
    """What `work` gives, with an empty store."""
    store = open_store(":memory:")
    try:
        return asyncio.run(work(store))
    finally:
        store.close()


def test_the_catalogue_lists_agents_and_aliases() -> None:
    """Each name is a model; an alias says which agent is behind it."""
    catalogue = Catalogue([ECHO, ELIZA], {"gpt-4": "eliza", "a/b c": "echo"})

    models = catalogue.list_models()

    found = [(model.id, model.provider) for model in models]
    assert found == [("echo", "echo"), ("eliza", "eliza"), ("gpt-4", "eliza"), ("a/b c", "echo")]
    assert {model.object for model in models} == {"model"} and models[0].created > 0
    assert catalogue.names == ["echo", "eliza"]
    assert catalogue.find("gpt-4") is catalogue.find("eliza") is ELIZA


def test_an_agent_keeps_its_name() -> None:
    """An alias that is another agent's name is refused, one that says nothing new is not."""
    with pytest.raises(ConfigurationError, match="'echo' for 'eliza' is the name of another"):
        Catalogue([ECHO, ELIZA], {"echo": "eliza"})
    assert Catalogue([ECHO, ELIZA], {"echo": "echo"}).find("echo") is ECHO


def test_the_later_of_two_agents_with_one_name_counts() -> None:
    """So an agent of one's own may stand in for one that ships."""
    mine = ScriptedAgent("echo", "mine")

    assert Catalogue([ECHO, mine]).find("echo") is mine


def test_an_alias_of_nothing_is_refused() -> None:
    """The sentence names the alias and what there is."""
    with pytest.raises(ConfigurationError, match="'x' stands for 'nope'.*echo, eliza"):
        Catalogue([ELIZA, ECHO], {"x": "nope"})


@pytest.mark.parametrize("model", ["", "Echo", "echo ", "echo\0", "nope"])
def test_unknown_models(model: str) -> None:
    """Names are exact."""
    with pytest.raises(UnknownModel) as caught:
        Catalogue([ECHO]).find(model)

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_new_keys_are_long_and_different() -> None:
    """256 bits each behind a prefix that is no secret; of other keys no part is kept in clear."""
    made = {new_key() for _ in range(100)}

    assert len(made) == 100 and {len(key) for key in made} == {56}
    assert all(key.startswith("csk_") and len(hash_key(key)) == 64 for key in made)
    assert {key[:12] for key in made} == {key_prefix(key) for key in made}
    assert {key_prefix(key) for key in ("", "x", "x" * 56, "csk_abcdefgh_secret")} == {""}


def test_the_first_key_opens_the_door() -> None:
    """It is an administrator's, made once, and no part of it is stored."""

    async def work(store: Store) -> Any:
        ring = KeyRing(store)
        key = new_key()
        before = await ring.exist()
        made = [await ring.create_first(key), await ring.create_first(new_key())]
        dump = await store.read(_dump)
        return before, made, await ring.exist(), await ring.authenticate(key), key, dump

    before, made, after, principal, key, dump = with_store(work)

    assert (before, made, after) == (False, [True, False], True)
    assert (principal.role, principal.email) == (Role.ADMIN, FIRST_ADMIN)
    assert principal.label == FIRST_ADMIN
    assert key not in dump and key[9:] not in dump


def _dump(connection: Any) -> str:
    return "\n".join(connection.connection.driver_connection.iterdump())


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_api_key"),
        ("", "missing_api_key"),
        ("csk_wrong", "invalid_api_key"),
        ("ü\0🙂", "invalid_api_key"),
        ("x" * 100_000, "invalid_api_key"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_bad_keys(key: str | None, code: str) -> None:
    """None, nobody's, or no key at all: each is refused, and none is repeated."""

    async def work(store: Store) -> Any:
        with pytest.raises(Unauthenticated) as caught:
            await KeyRing(store).authenticate(key)
        return caught.value

    refused = with_store(work)
    assert refused.code == code and len(str(refused)) < 100


def test_any_key_is_the_developers() -> None:
    """In development mode every key will do, but there must be one."""

    async def work(store: Store) -> Any:
        ring = KeyRing(store, dev=True)
        with pytest.raises(Unauthenticated):
            await ring.authenticate(None)
        return await ring.authenticate("anything"), await store.read(keys.any_key)

    principal, stored = with_store(work)
    assert (principal.role, principal.email, stored) == (Role.ADMIN, DEV_ADMIN, False)


def platform(work: Callable[[PlatformService], Awaitable[Any]]) -> Any:
    """What `work` gives, with a platform that has one administrator."""

    async def run(store: Store) -> Any:
        await KeyRing(store).create_first(new_key())
        return await work(PlatformService(store, Catalogue([ELIZA, ECHO])))

    return with_store(run)


def test_the_platforms_figures() -> None:
    """They say that it is well and which agents there are."""
    stats = platform(lambda service: service.stats())

    assert stats.system_health.to_dict() == {
        "status": "healthy",
        "circuit_breaker_status": None,
        "active_agents": ["echo", "eliza"],
    }
    assert (stats.total_requests, stats.total_mcp_servers) == (0, 0)


def test_administrators_come_and_go() -> None:
    """Addresses are compared as people write them, and each change is in the log."""

    async def work(service: PlatformService) -> Any:
        added = await service.add_admin(AdminRequest(" w1 ", " Ada@X.org ", ""), ADMIN)
        with pytest.raises(Conflict):
            await service.add_admin(AdminRequest("w1", "ada@x.org"), ADMIN)
        listed = await service.list_admins()
        removed = await service.remove_admin(" ADA@x.ORG", ADMIN)
        with pytest.raises(NotFound):
            await service.remove_admin("ada@x.org", ADMIN)
        with pytest.raises(Conflict):
            await service.remove_admin(FIRST_ADMIN, ADMIN)
        return added, listed, removed, await service.audit_log(2, 0), await service.list_admins()

    added, listed, removed, log, left = platform(work)

    assert (added.to_dict(), removed.to_dict()) == (
        {"status": "added", "email": "ada@x.org"},
        {"status": "removed", "email": "ada@x.org"},
    )
    assert (listed.count, listed.admins[1].email, listed.admins[1].name) == (2, "ada@x.org", None)
    assert [(entry.action, entry.user_id) for entry in log.entries] == [
        ("admin.removed", "root@x"),
        ("admin.added", "root@x"),
    ]
    assert (log.count, log.limit, log.offset, left.count) == (2, 2, 0, 1)


@pytest.mark.parametrize(
    "email", ["", "x", "@", "a@", "@b", "a@b@c", "a b@c", "a@b c", "a\0@b", "a\x1b@b"]
)
def test_what_is_no_address(email: str) -> None:
    """Anything without one @ and something readable on both sides is refused, by its name."""

    async def work(service: PlatformService) -> Any:
        with pytest.raises(InvalidRequest) as caught:
            await service.add_admin(AdminRequest("w1", email), ADMIN)
        return caught.value.param, (await service.list_admins()).count

    assert platform(work) == ("email", 1)


@pytest.mark.parametrize("workos_id", ["", " ", "\t"])
def test_a_blank_workos_id_is_none(workos_id: str) -> None:
    """Blanks name nobody: they would be one person's, and the next one's conflict."""

    async def work(service: PlatformService) -> Any:
        with pytest.raises(InvalidRequest) as caught:
            await service.add_admin(AdminRequest(workos_id, "a@b"), ADMIN)
        return caught.value.param

    assert platform(work) == "workos_id"
