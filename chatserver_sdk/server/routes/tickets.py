"""POST /api/v1/tickets: for readers that can send no header, such as a browser's EventSource."""

from __future__ import annotations

from fastapi import APIRouter, Response

from chatserver_sdk.models import TicketResponse

from ..errors import json_response
from .access import Anybody, Server

router = APIRouter(prefix="/api/v1/tickets", tags=["tickets"])


@router.post("", status_code=201, response_model=TicketResponse)
async def create_ticket(server: Server, principal: Anybody) -> Response:
    """A ticket for one request within 30 s, as `?ticket=` of a route of events. Whoever reads with
    it is who asked for it. An EventSource that connects again needs a new one."""
    issued = server.door.tickets.issue(principal)
    return json_response(201, issued.to_dict(), {"cache-control": "no-store"})
