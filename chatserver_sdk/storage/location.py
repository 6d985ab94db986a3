"""Where a store is: a file, a database in memory, or a PostgreSQL server's database."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from .errors import StoreUnavailable

MEMORY = ":memory:"

_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = ("postgresql", "postgresql+psycopg")


def url_of(location: str) -> URL:
    """The location as SQLAlchemy knows it. Raises StoreUnavailable for what is no location."""
    if location == MEMORY:
        return URL.create("sqlite")
    if "://" in location:
        return _parsed(location)
    # Not by way of a URL's text, in which "%" and "?" mean something.
    return URL.create("sqlite", database=_expanded(location))


def is_postgres(url: URL) -> bool:
    """Whether it is a database of a PostgreSQL server."""
    return url.get_backend_name() == "postgresql"


def name_of(location: str) -> str:
    """What people may read of a location: no password, and no option, which may hold one."""
    if "://" not in location:
        return location
    try:
        url = _parsed(location)
    except StoreUnavailable:
        return "at this URL"
    if not is_postgres(url):
        return location
    shown = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
    return shown.render_as_string()


def file_of(location: str) -> Path | None:
    """The file of the store at a location, made or not; None where it has none of its own.

    Raises StoreUnavailable for what is no location.
    """
    url = url_of(location)
    if is_postgres(url) or url.database is None:
        return None
    return Path(url.database).absolute()


def make_folder(path: Path) -> None:
    """See to it that a store's file has a folder. Raises StoreUnavailable."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise _cannot_be_opened(path, exc) from exc


def make_private(path: Path) -> None:
    """See to it that the file is there. A conversation is nobody else's business: a new one is
    its owner's alone. Raises StoreUnavailable."""
    make_folder(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except (OSError, ValueError) as exc:
        raise _cannot_be_opened(path, exc) from exc


def _parsed(location: str) -> URL:
    try:
        url = make_url(location)
    except (ArgumentError, ValueError):
        # Not with its cause, which may repeat the URL and the password in it.
        raise StoreUnavailable("the database's URL cannot be read") from None
    if url.drivername in _POSTGRES:
        return _checked_postgres(url)
    # No host, no options, no driver of its own.
    is_plain = url == URL.create(url.drivername, database=url.database)
    if not is_plain or url.drivername not in _SQLITE or url.database in (None, "", MEMORY):
        raise StoreUnavailable(
            "the database must be a file's path, sqlite:///PATH, postgresql://USER@HOST/NAME or"
            " :memory:"
        )
    return url


def _checked_postgres(url: URL) -> URL:
    # The rest of a password that was cut at its first "@"; errors would show it as the host.
    if "@" in (url.host or ""):
        raise StoreUnavailable(
            "the database's URL cannot be read: in a user's name or password write @ as %40"
        )
    if not url.database:
        raise StoreUnavailable("the database's URL names no database: postgresql://HOST/NAME")
    return url.set(drivername="postgresql+psycopg")


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as exc:
        raise StoreUnavailable(f"the database {path} cannot be opened: {exc}") from exc


def _cannot_be_opened(path: Path, exc: OSError | ValueError) -> StoreUnavailable:
    reason = getattr(exc, "strerror", None) or exc
    return StoreUnavailable(f"the database {path} cannot be opened: {reason}")
