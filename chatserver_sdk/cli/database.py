"""`chatserver db`: what an operator does to a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from chatserver_sdk.storage import StoreError, upkeep
from chatserver_sdk.storage.check import MOST

from .stores import location_of


def upgrade(db: str | None) -> None:
    """Bring the store up to date and say what was done. Raises ClickException."""
    with _in_our_words():
        done = upkeep.upgrade(location_of(db))
    if done.before == done.after:
        click.echo(f"the database is at revision {done.after} already")
        return
    if done.backup is not None:
        click.echo(f"a copy of the database as it was is in {done.backup}")
    click.echo(f"the database went from revision {done.before or 'none'} to {done.after}")


def current(db: str | None) -> None:
    """Say which revision the store has. Raises ClickException."""
    with _in_our_words():
        revision, is_head = upkeep.current(location_of(db))
    click.echo(f"{revision or 'none'} ({'head' if is_head else 'not head'})")


def check(db: str | None, *, repair: bool) -> None:
    """Say what differs from what is stored; exit with 1 where something does and is not mended.

    Raises ClickException.
    """
    with _in_our_words():
        location = location_of(db)
        found = upkeep.repair(location) if repair else upkeep.find_differences(location)
    for difference in found:
        click.echo(str(difference))
    if len(found) == MOST:
        click.echo("... and perhaps more")
    if not found:
        click.echo("every figure is what the stored rows come to")
    elif repair:
        click.echo("mended")
    else:
        sys.exit(1)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except StoreError as exc:
        raise click.ClickException(str(exc)) from exc
