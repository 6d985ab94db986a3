"""GET /docs: the routes for people. /openapi.json, for programs, is FastAPI's own."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..docs_page import HEADERS, page
from .access import Everybody

router = APIRouter(include_in_schema=False)


@router.get("/docs", dependencies=[Everybody])
async def docs(request: Request) -> Response:
    """The page, of this server's own document."""
    return Response(page(request.app.openapi()), headers=HEADERS, media_type="text/html")
