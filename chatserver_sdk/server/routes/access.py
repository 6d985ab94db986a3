"""What a route's signature says about who may call it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer

from chatserver_sdk.models import Principal

from ..services import Services

# For the documentation page; the key itself is read by Services, whose 401 says more.
bearer = Depends(HTTPBearer(auto_error=False, description="An API key."))


def services_of(request: Request) -> Services:
    """The server's services."""
    return cast(Services, request.app.state.services)


async def _anybody(request: Request, _: Annotated[object, bearer]) -> Principal:
    return await services_of(request).principal(request.headers)


async def _admin(request: Request, _: Annotated[object, bearer]) -> Principal:
    return await services_of(request).admin(request.headers)


Cursor = Annotated[str | None, Query(description="Where the page before ended; empty: begin.")]
Server = Annotated[Services, Depends(services_of)]
Anybody = Annotated[Principal, Depends(_anybody)]
Admin = Annotated[Principal, Depends(_admin)]
