"""The store that a command works on: the one that `chatserver serve` would use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from chatserver_sdk.storage import Store

R = TypeVar("R")
Command = TypeVar("Command", bound=Callable[..., Any])

_CONFIG = "chatserver.config"


def on_store(command: Command) -> Command:
    """Give a command the options --db, which is its parameter `db`, and --config."""
    config = click.option(
        "--config",
        metavar="PATH",
        envvar="CHATSERVER_CONFIG",
        expose_value=False,
        callback=_keep,
        help="A file of settings (TOML).",
    )
    db = click.option("--db", metavar="PATH|URL", help="The store. [default: as with serve]")
    return db(config(command))


def location_of(db: str | None) -> str:
    """Where the store is: the flag beats CHATSERVER_DB, that the file. Raises ClickException."""
    from chatserver_sdk.exceptions import ConfigurationError
    from chatserver_sdk.server import configuration

    config = click.get_current_context().meta.get(_CONFIG)
    try:
        return configuration.load(config, os.environ, {"db": db}).database
    except ConfigurationError as exc:
        raise click.ClickException(str(exc)) from exc


def with_store(
    db: str | None, work: Callable[[Store], Coroutine[Any, Any, R]], *, may_make: bool = False
) -> R:
    """What the work gives, with the store open. may_make: a SQLite file that is not there is made.

    Raises ClickException.
    """
    from chatserver_sdk.engine import EngineError
    from chatserver_sdk.storage import StoreError, open_store
    from chatserver_sdk.storage.location import file_of, name_of

    location = location_of(db)
    try:
        path = file_of(location)
        # To open a store is to make it; of one that is not there nothing can be said.
        if not may_make and path is not None and not path.exists():
            raise click.ClickException(f"there is no store at {name_of(location)}")
        store = open_store(location)
        try:
            return asyncio.run(work(store))
        finally:
            store.close()
    except (EngineError, StoreError) as exc:
        raise click.ClickException(str(exc)) from exc


def _keep(context: click.Context, _: click.Parameter, path: str | None) -> None:
    context.meta[_CONFIG] = path
