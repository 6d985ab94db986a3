"""/health and /metrics: for those who look after the server."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from chatserver_sdk import __version__
from chatserver_sdk.storage import pulse

from ..doorkeeper import ADMINS
from ..errors import json_response, refusal
from ..metrics import CONTENT_TYPE
from ..services import Services
from .access import Everybody, Server, bearer

router = APIRouter(tags=["health"])

_PATIENCE = 2.0


@router.get("/health", dependencies=[Everybody])
async def health() -> Response:
    """Whether the server answers. Needs no key."""
    return json_response(200, {"status": "ok", "version": __version__})


@router.get("/health/live", dependencies=[Everybody])
async def live() -> Response:
    """Whether the process answers; if it does not, start it again. Needs no key."""
    return json_response(200, {"status": "live"})


@router.get("/health/ready", dependencies=[Everybody])
async def ready(server: Server) -> Response:
    """Whether to send requests here: the store answers and the server is not stopping; else 503
    with a sentence. Needs no key."""
    if server.chat.is_closing:
        return refusal(503, "the server is stopping")
    if not await _answers(server):
        # Why is for the operator's log: this answer is everybody's.
        return refusal(503, "the store does not answer")
    return json_response(200, {"status": "ready"})


async def _answers(server: Services) -> bool:
    """Whether the store answers in time. It is asked once for all who wait: where the database
    hangs, each question would hold up one of its few readers."""
    if server.probe is None or server.probe.done():
        server.probe = asyncio.ensure_future(server.store.read(pulse.feel))
        server.probe.add_done_callback(_failure)
    probe = server.probe
    done, _ = await asyncio.wait({probe}, timeout=_PATIENCE)
    return bool(done) and _failure(probe) is None


def _failure(probe: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if probe.cancelled() else probe.exception()


@router.get("/metrics", dependencies=[bearer, Everybody])
async def metrics(server: Server, request: Request) -> Response:
    """The server's figures, for Prometheus. Needs an administrator's key, unless the operator has
    set `metrics_public`."""
    if not server.settings.metrics_public:
        await server.door.admit(request.scope, request.headers, ADMINS)
    return Response(server.metrics.exposition(), media_type=CONTENT_TYPE)
