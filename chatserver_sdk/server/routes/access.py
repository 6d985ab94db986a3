"""What a route's signature says about who may call it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple, cast

from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from chatserver_sdk.models import Principal, Role

from ..doorkeeper import ADMINS, ANYBODY
from ..services import Services

# For the documentation page; the key itself is read by the doorkeeper, whose 401 says more.
bearer = Depends(HTTPBearer(auto_error=False, description="An API key."))
# Of routes that need no key.
OPEN: frozenset[Role] = frozenset()


def services_of(request: Request) -> Services:
    """The server's services."""
    return cast(Services, request.app.state.services)


class Access:
    """Lets these roles in. A dependency of FastAPI's, and what a route declares by it."""

    def __init__(self, roles: frozenset[Role]) -> None:
        self.roles = roles

    async def __call__(self, request: Request, _: Annotated[object, bearer]) -> Principal:
        return await services_of(request).door.admit(request.scope, request.headers, self.roles)


class NeedsNoKey:
    """What a route declares that is everybody's."""

    roles = OPEN

    def __call__(self) -> None:
        return None


Cursor = Annotated[str | None, Query(description="Where the page before ended; empty: begin.")]
Server = Annotated[Services, Depends(services_of)]
Anybody = Annotated[Principal, Depends(Access(ANYBODY))]
Admin = Annotated[Principal, Depends(Access(ADMINS))]
Everybody = Depends(NeedsNoKey())


class Door(NamedTuple):
    """A route, and the roles that it lets in; none: it needs no key."""

    method: str
    path: str
    roles: frozenset[Role]


def doors_of(routes: Iterable[Any]) -> Iterator[Door]:
    """What routes declare. Raises LookupError for one that does not say who may call it."""
    for route in routes:
        assert isinstance(route, APIRoute)
        declared = [
            dependant.call.roles
            for dependant in route.dependant.dependencies
            if isinstance(dependant.call, (Access, NeedsNoKey))
        ]
        if len(declared) != 1:
            raise LookupError(f"{route.path} does not say, once, who may call it")
        for method in sorted(route.methods or ()):
            yield Door(method, route.path, declared[0])
