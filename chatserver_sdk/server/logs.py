"""What the server's process logs: lines of text or of JSON, each with its request's id.

No line holds a key, the values of a query or what people say.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import TextIO

from starlette.types import Scope

from . import visits
from .settings import Settings
from .visits import Visit

_access = logging.getLogger("chatserver_sdk.access")
_FIELDS = ("method", "route", "status", "ms", "principal")


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Have this process log as the settings say, into standard error. For programs of ours:
    a server that runs inside somebody else's leaves their logs alone."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    level = settings.log_level.upper()
    logging.getLogger("chatserver_sdk").setLevel(level)
    # Other people's loggers tell whole URLs, tickets included, and headers below a warning.
    root.setLevel("ERROR" if level == "ERROR" else "WARNING")


def log_access(scope: Scope, route: str, visit: Visit, seconds: float) -> None:
    """The line of one request."""
    if not _access.isEnabledFor(logging.INFO):
        return
    fields = {
        "method": visits.method_of(scope),
        "route": route,
        "status": visit.status,
        "ms": round(seconds * 1000, 2),
        "principal": visit.principal_id,
    }
    sentence = "{method} {route} {status} in {ms} ms".format_map(fields)
    _access.info(sentence, extra=fields)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": _request_id(),
        }
        line.update({name: getattr(record, name) for name in _FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """A line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{_moment(record)} {record.levelname:<7} {record.name}: {text}"
        principal, request_id = getattr(record, "principal", None), _request_id()
        line += f" principal={principal}" if principal else ""
        line += f" request={request_id}" if request_id else ""
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _request_id() -> str | None:
    visit = visits.current.get()
    return visit.request_id if visit is not None else None
