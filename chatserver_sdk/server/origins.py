"""CORS: which pages may call this server from a browser. None, unless the settings say so."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id")
_SHOWN = (
    "X-Request-Id",
    "X-Session-Id",
    "X-Turn-Id",
    "X-Chatserver",
    "Retry-After",
    "Content-Disposition",
)


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The application, for pages of these origins as well.

    Never with credentials: the key is sent by the page's own code, and no cookie counts here.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=_HEADERS,
        expose_headers=_SHOWN,
        allow_credentials=False,
    )
