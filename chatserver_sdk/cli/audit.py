"""`chatserver audit`: look after the audit log of a store. The heavy parts load when they run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from chatserver_sdk.storage import Store

R = TypeVar("R")

_db = click.option("--db", metavar="PATH|URL", help="The store. [default: as with serve]")


@click.group()
def audit() -> None:
    """Verify, anchor and trim the audit log of a store, also beside a server that runs."""


@audit.command()
@_db
@click.option("--head", metavar="NUMBER:HASH", help="A head that was kept elsewhere.")
def verify(db: str | None, head: str | None) -> None:
    """Find the first entry that is not as it was written; exit status 1 if there is one.

    Who may write the database can make a whole new log that fits together. Only a head that is
    kept elsewhere (see `chatserver audit head`) shows that.
    """
    from chatserver_sdk.engine import auditing

    async def work(store: Store) -> None:
        said = await auditing.verify(store, auditing.read_head(head))
        if said.first_bad is not None:
            bad = said.first_bad
            click.echo(f"entry {bad.seq} ({bad.reason}): {bad.detail}")
            click.echo(f"{said.entries} entries before it are good", err=True)
            sys.exit(1)
        click.echo(f"{said.entries} entries are as they were written; head {said.head}")

    _run(db, work)


@audit.command("head")
@_db
def show_head(db: str | None) -> None:
    """Show the last entry's number and hash, to be kept where nobody can change it."""
    from chatserver_sdk.engine import auditing

    async def work(store: Store) -> None:
        click.echo((await auditing.get_head(store)).head)

    _run(db, work)


@audit.command()
@_db
@click.option("--before", required=True, metavar="TIME", help="ISO 8601; naive is UTC.")
def trim(db: str | None, before: str) -> None:
    """Delete entries from before a time; a checkpoint says where the log begins from then on.

    What is to be deleted is verified first, and kept where it is not as it was written.
    """
    from chatserver_sdk.engine import auditing
    from chatserver_sdk.models._values import parse_timestamp

    try:
        moment = parse_timestamp(before)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "it must be a time in ISO 8601, such as 2026-03-01", param_hint="--before"
        ) from None

    async def work(store: Store) -> None:
        click.echo(f"{await auditing.trim(store, moment)} entries trimmed")

    _run(db, work)


def _run(db: str | None, work: Callable[[Store], Awaitable[R]]) -> R:
    """What the work gives, with an existing store. Raises ClickException."""
    from chatserver_sdk.engine import EngineError
    from chatserver_sdk.server import Settings
    from chatserver_sdk.storage import StoreError, open_store
    from chatserver_sdk.storage.location import file_of

    async def run() -> R:
        return await work(store)

    try:
        location = Settings(db=db).database
        path = file_of(location) if "://" not in location or "sqlite" in location else None
        # To open a store is to make it; of one that is not there nothing can be said.
        if path is not None and not path.exists():
            raise click.ClickException(f"there is no database {path}")
        store = open_store(location)
        try:
            return asyncio.run(run())
        finally:
            store.close()
    except (StoreError, EngineError) as exc:
        raise click.ClickException(str(exc)) from exc
