"""The commands and their options. What a command does is imported when it runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from chatserver_sdk._version import __version__

from .audit import audit
from .stores import on_store

# What a shell reports of a command that Ctrl-C has ended.
_INTERRUPTED = 130


class _Serve(click.Command):
    """Has a flag for every setting; they are known once somebody asks for them."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if len(self.params) == 1:
            from .flags import options

            self.params += options()
        return super().get_params(ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chatserver")
def chatserver() -> None:
    """Run a chat server, try one out, administer one."""


chatserver.add_command(audit)


@chatserver.command(cls=_Serve)
@click.option(
    "--config", metavar="PATH", envvar="CHATSERVER_CONFIG", help="A file of settings (TOML)."
)
def serve(config: str | None, **flags: Any) -> None:
    """Run a chat server.

    What flags do not say the environment does, then the file, then the default. The first start
    creates the administrator's API key and shows it once; where the output is no terminal the
    key goes into a file instead. CHATSERVER_BOOTSTRAP_KEY in the environment sets that key.
    """
    try:
        from .serve import run

        run(config=config or None, flags=flags)
    except KeyboardInterrupt:
        # A server that runs ends without one: it has a handler. Before that there is nothing to
        # end.
        return


@chatserver.command()
def demo() -> None:
    """See everything at work: a server with a throw-away store, and a client that uses it."""
    try:
        from .demo import run

        run()
    except KeyboardInterrupt:
        click.secho("\nstopped", dim=True)
        sys.exit(_INTERRUPTED)


@chatserver.group()
def db() -> None:
    """Look after a store: bring it up to date, check its figures."""


@db.command("upgrade")
@on_store
def db_upgrade(db: str | None) -> None:
    """Bring a store up to date, while no server uses it.

    A SQLite file is copied beside itself first. A server does the same at its start, without the
    copy.
    """
    from .database import upgrade

    upgrade(db)


@db.command("current")
@on_store
def db_current(db: str | None) -> None:
    """Say which revision a store has, and whether it is the newest."""
    from .database import current

    current(db)


@db.command("check")
@on_store
@click.option("--repair", is_flag=True, help="Mend what differs, while no server uses the store.")
def db_check(db: str | None, repair: bool) -> None:
    """Compare the figures that are kept with the rows that they come from.

    Prints each difference and exits with 1 where there is one. A day's figures also count what is
    not stored, so they are wrong only where the stored turns come to more.
    """
    from .database import check

    check(db, repair=repair)


@chatserver.group()
def keys() -> None:
    """Make, list and revoke API keys, beside a running server or without one."""


@keys.command("create")
@on_store
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--role",
    type=click.Choice(["user", "service", "expert", "admin"]),
    default="user",
    show_default=True,
    help="user: for one user; service: for any; admin: of an administrator.",
)
@click.option("--user", "user_id", metavar="ID", help="Whose it is, of the role user.")
@click.option("--email", help="Whom it belongs to.")
@click.option("--workos-id", help="Whom it belongs to, by the provider of identities.")
@click.option("--expires", metavar="SPAN|TIME", help="90d, 12h, 30m, or a time in ISO 8601.")
def keys_create(db: str | None, **fields: str | None) -> None:
    """Make an API key and show it once. The output is the key and nothing else."""
    from .keys import create

    create(db, **fields)  # type: ignore[arg-type]


@keys.command("list")
@on_store
def keys_list(db: str | None) -> None:
    """List the API keys, the newest first; never a key itself."""
    from .keys import show

    show(db)


@keys.command("revoke")
@on_store
@click.argument("key_id")
def keys_revoke(db: str | None, key_id: str) -> None:
    """Revoke the API key with this id. A running server refuses it at once."""
    from .keys import revoke

    revoke(db, key_id)
