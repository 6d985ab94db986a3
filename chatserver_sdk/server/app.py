"""The ASGI application: the hot routes in front, FastAPI behind it, the same errors everywhere."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatserver_sdk import __version__
from chatserver_sdk.agents import Agent
from chatserver_sdk.agents.backends.echo import EchoAgent
from chatserver_sdk.agents.backends.eliza import ElizaAgent
from chatserver_sdk.storage import Store, StoreUnavailable

from .bodies import limited
from .errors import REFUSALS, RequestRefused, invalid_request, refusal, response_for
from .openapi import add_completions
from .routes import catalogue, completions, history, platform, resume, session_chat, sessions
from .services import Services
from .settings import Settings, is_loopback

_log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._fastapi(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = _Answer(send, _request_id(headers))
        try:
            self._check_host(headers)
            limit = self._limit(scope)
            await self._route(scope)(scope, limited(receive, limit), answer.send)
        except (RequestRefused, *REFUSALS) as exc:
            _note(exc)
            await response_for(exc)(scope, receive, answer.send)
        except asyncio.CancelledError:
            # The server ends and waits no longer; uvicorn would log this as a failure of ours.
            # The connection is gone by then, so nobody misses an answer.
            _log.debug("request %s was cancelled", answer.request_id)
        except Exception as exc:
            # The last resort: a traceback for the log, a sentence for the caller.
            _log.exception("request %s failed", answer.request_id)
            if not answer.has_begun:
                await response_for(exc)(scope, receive, answer.send)

    def _route(self, scope: Scope) -> ASGIApp:
        if scope["path"] == completions.PATH:
            return self._completions
        if session_chat.is_here(scope["path"]):
            return self._session_chat
        return self._resume if resume.is_here(scope["path"]) else self._fastapi

    def _limit(self, scope: Scope) -> int:
        settings = self.services.settings
        if not sessions.takes_files(scope["path"]):
            return settings.max_body_bytes
        return max(settings.max_body_bytes, settings.max_file_bytes + sessions.MOST_AROUND)

    def _check_host(self, headers: Headers) -> None:
        # A page on the web may point a name of its own at this machine and ask in its visitor's
        # browser; the Host header still tells that name.
        host = re.sub(r":\d+$", "", headers.get("host", ""))
        if self.services.settings.dev and not is_loopback(host):
            raise RequestRefused(403, "in development mode, ask for localhost")


class _Answer:
    """Adds to an answer's headers what every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            headers["X-Chatserver"] = __version__
            headers["X-Request-Id"] = self.request_id
        await self._send(message)


def _request_id(headers: Headers) -> str:
    """The caller's own, where it can stand in a header and a log; else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _fastapi(services: Services) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.chat.start()
        yield
        await services.chat.close()

    app = FastAPI(
        title="chatserver",
        version=__version__,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    for protocol in (catalogue, history, platform, sessions):
        app.include_router(protocol.router)
    app.include_router(sessions.old_router)
    app.add_exception_handler(HTTPException, _http_refusal)
    app.add_exception_handler(RequestValidationError, _validation_refusal)
    # Exception: what is nobody's gets the common shape too, and is raised on for the log.
    for kind in (*REFUSALS, Exception):
        app.add_exception_handler(kind, _refusal)
    add_completions(app)
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
