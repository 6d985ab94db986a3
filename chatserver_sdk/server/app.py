"""The ASGI application: the hot routes in front, FastAPI behind it, the same errors everywhere."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from chatserver_sdk import __version__
from chatserver_sdk.agents import Agent
from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.agents.backends.eliza import ElizaAgent
from chatserver_sdk.engine import InvalidRequest
from chatserver_sdk.storage import Store, StoreUnavailable

from . import visits
from .bodies import limited
from .errors import REFUSALS, RequestRefused, invalid_request, refusal, response_for
from .logs import log_access
from .openapi import describe
from .origins import allow_origins
from .routes import catalogue, completions, documents, health, history, keys, platform
from .routes import resume, session_chat, sessions, tickets
from .routes.access import Door, doors_of
from .services import Services
from .settings import Settings, is_loopback
from .tls import check_secure
from .visits import Visit

_log = logging.getLogger(__name__)

_PROTOCOLS = (catalogue, history, platform, sessions, keys, tickets, health, documents)


def built_in_agents() -> list[Agent]:
    """The agents that every server has."""
    return [EchoAgent(), ElizaAgent()]


def create_app(
    store: Store, settings: Settings | None = None, agents: Sequence[Agent] = ()
) -> ChatServerApp:
    """The chat server as an ASGI application, with the built-in agents and the given ones.

    The store stays the caller's to close. Raises ConfigurationError for an alias of no agent.
    """
    chosen = settings or Settings()
    services = Services.over(store, chosen, [*built_in_agents(), *agents])
    return ChatServerApp(services)


class ChatServerApp:
    """What uvicorn runs. `services` is the engine behind it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._completions = completions.Completions(services)
        self._resume = resume.Resume(services)
        self._session_chat = session_chat.SessionChat(services)
        self._fastapi = _fastapi(services)
        self._answered = allow_origins(self._answer, services.settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._open(scope, receive, send)
            return
        visit = Visit(scope, send, self.services.metrics.count_events)
        token = visits.current.set(visit)
        begun = time.perf_counter()
        try:
            await self._answered(scope, receive, visit.send)
        finally:
            seconds, route = time.perf_counter() - begun, _template(scope)
            method = visits.method_of(scope)
            self.services.metrics.count_request(route, method, visit.status, seconds)
            log_access(scope, route, visit, seconds)
            visits.current.reset(token)

    def document(self) -> dict[str, Any]:
        """What /openapi.json says."""
        return self._fastapi.openapi()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings, visit = self.services.settings, visits.current.get()
        assert visit is not None
        try:
            self._check_way(scope)
            endpoint = self._route(scope)
            scope["template"] = getattr(endpoint, "template", None)
            within = limited(receive, self._limit(scope), settings.body_timeout)
            await endpoint(scope, within, send)
        except (RequestRefused, *REFUSALS) as exc:
            _note(exc)
            await response_for(exc)(scope, receive, send)
        except asyncio.CancelledError:
            # The server ends and waits no longer; uvicorn would log this as a failure of ours.
            # The connection is gone by then, so nobody misses an answer.
            _log.debug("request %s was cancelled", visit.request_id)
        except Exception as exc:
            # The last resort: a traceback for the log, a sentence for the caller.
            _log.exception("request %s failed", visit.request_id)
            if visit.status is None:
                await response_for(exc)(scope, receive, send)

    def _route(self, scope: Scope) -> ASGIApp:
        if scope["path"] == completions.PATH:
            return self._completions
        if session_chat.is_here(scope["path"]):
            return self._session_chat
        return self._resume if resume.is_here(scope["path"]) else self._fastapi

    @property
    def doors(self) -> list[Door]:
        """Every route with the roles that it lets in; the documentation's pages are everybody's.

        Raises LookupError for one that does not say so.
        """
        routers = [protocol.router for protocol in _PROTOCOLS] + [sessions.old_router]
        behind = [door for router in routers for door in doors_of(router.routes)]
        endpoints = (self._completions, self._resume, self._session_chat)
        return [door for endpoint in endpoints for door in endpoint.doors] + behind

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is no HTTP request: the server's life, and sockets."""
        try:
            if scope["type"] == "websocket":
                self._check_way(scope)
        except RequestRefused:
            # Before it is accepted, this is a 403.
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._fastapi(scope, receive, send)

    def _limit(self, scope: Scope) -> int:
        settings = self.services.settings
        if not sessions.takes_files(scope["path"]):
            return settings.max_body_bytes
        return max(settings.max_body_bytes, settings.max_file_bytes + sessions.MOST_AROUND)

    def _check_way(self, scope: Scope) -> None:
        """Raises RequestRefused for what must not come like this, whoever sends it."""
        settings = self.services.settings
        check_secure(settings, scope)
        # A page on the web may point a name of its own at this machine and ask in its visitor's
        # browser; the Host header still tells that name.
        if not settings.dev:
            return
        host = re.sub(r":\d+$", "", Headers(scope=scope).get("host", ""))
        if not is_loopback(host):
            raise RequestRefused(403, "in development mode, ask for localhost")


def _template(scope: Scope) -> str:
    """The path of the route that has answered, with the names of its parts."""
    route = scope.get("route")
    return str(scope.get("template") or getattr(route, "path_format", "unknown"))


def _fastapi(services: Services) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.chat.start()
        async with services.retention.running():
            yield
        await services.chat.close()
        await services.close()

    app = FastAPI(
        title="chatserver",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    for protocol in _PROTOCOLS:
        app.include_router(protocol.router)
    app.include_router(sessions.old_router)
    app.add_exception_handler(HTTPException, _http_refusal)
    app.add_exception_handler(RequestValidationError, _validation_refusal)
    # Exception: what is nobody's gets the common shape too, and is raised on for the log.
    for kind in (*REFUSALS, Exception):
        app.add_exception_handler(kind, _refusal)
    describe(app)
    return app


def _note(exc: Exception) -> None:
    """Tell the operator of what is nobody's fault but the database's."""
    if isinstance(exc, StoreUnavailable):
        _log.error("a request could not be carried out: %s", exc)


def _refusal(_: Request, exc: Exception) -> Response:
    _note(exc)
    return response_for(exc)


def _http_refusal(request: Request, exc: Any) -> Response:
    if exc.status_code == 404:
        # Not request.url: that is put together with the Host header, which may be anything.
        return refusal(404, f"there is nothing at {request.scope['path']}")
    if isinstance(exc.__cause__, (RecursionError, UnicodeError)):
        # What FastAPI says of JSON that its reader gave up on.
        return response_for(InvalidRequest("the body cannot be read as JSON", "invalid_json"))
    return response_for(exc)


def _validation_refusal(_: Request, exc: Any) -> Response:
    problems = [{**problem, "loc": _path(problem)} for problem in exc.errors()]
    answer = response_for(invalid_request(problems))
    answer.status_code = 422
    return answer


def _path(problem: dict[str, Any]) -> Sequence[int | str]:
    # The first step says where it was looked for: body, query or path. Where the body is no JSON
    # the second one counts characters.
    loc: Sequence[int | str] = problem["loc"]
    return () if problem["type"] == "json_invalid" else loc[1:]
