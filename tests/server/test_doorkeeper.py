"""The doorkeeper by itself: what routes that are yet to come may ask of it."""

from __future__ import annotations

from typing import Any

import pytest
from asgi_exchange import KEY, application, run
from starlette.datastructures import Headers

from chatserver_sdk.engine import Forbidden, Unauthenticated
from chatserver_sdk.models import ApiKeyRequest, Role

SCOPE: dict[str, Any] = {"type": "websocket", "query_string": b""}


def test_a_route_for_experts() -> None:
    """Whoever has another role is told which ones there are."""

    async def work() -> Any:
        async with application() as app:
            door, roles = app.services.door, {Role.EXPERT, Role.SERVICE}
            with pytest.raises(Forbidden) as caught:
                await door.admit(SCOPE, Headers({"authorization": f"Bearer {KEY}"}), roles)
            request = ApiKeyRequest("e", Role.EXPERT, "eve")
            made = await app.services.issuer.create_key(request, "x")
            theirs = Headers({"authorization": f"Bearer {made.key}"})
            return str(caught.value), caught.value.code, await door.admit(SCOPE, theirs, roles)

    said, code, expert = run(work)
    assert (code, expert.role, expert.user_id) == ("wrong_role", Role.EXPERT, "eve")
    assert said.endswith("expert, service")


def test_a_socket_is_let_in_by_a_ticket() -> None:
    """Where the route takes them; who has no address is counted all the same."""

    async def work() -> Any:
        async with application() as app:
            door = app.services.door
            admin = await door.admit(SCOPE, Headers({"authorization": f"Bearer {KEY}"}))
            ticket = door.tickets.issue(admin).ticket
            scope = {**SCOPE, "query_string": f"x=1&ticket={ticket}".encode()}
            with pytest.raises(Unauthenticated):
                await door.admit(scope, Headers({}))
            found = await door.admit(scope, Headers({}), takes_tickets=True)
            with pytest.raises(Unauthenticated):
                await door.admit(scope, Headers({}), takes_tickets=True)
            await door.close()
            log = await app.services.platform.audit_log(1, 0)
            return found == admin, log.entries[0]

    is_same, entry = run(work)
    assert is_same and (entry.action, entry.resource_id) == ("auth.failed", "unknown")
    assert entry.metadata["count"] == 1
