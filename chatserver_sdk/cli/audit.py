"""`chatserver audit`: look after the audit log of a store. The heavy parts load when they run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .stores import on_store, with_store

if TYPE_CHECKING:
    from chatserver_sdk.storage import Store


@click.group()
def audit() -> None:
    """Verify, anchor and trim the audit log of a store, also beside a server that runs."""


@audit.command()
@on_store
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

    with_store(db, work)


@audit.command("head")
@on_store
def show_head(db: str | None) -> None:
    """Show the last entry's number and hash, to be kept where nobody can change it."""
    from chatserver_sdk.engine import auditing

    async def work(store: Store) -> None:
        click.echo((await auditing.get_head(store)).head)

    with_store(db, work)


@audit.command()
@on_store
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

    with_store(db, work)
