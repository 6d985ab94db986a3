"""`chatserver serve`: a server in the foreground."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.server import Settings, Started, process, serve
from chatserver_sdk.server.settings import MEMORY
from chatserver_sdk.storage import StoreError

_SHORT_KEY = 16


def run(
    *,
    host: str,
    port: int,
    db: str | None,
    aliases: Mapping[str, str],
    dev: bool,
    bootstrap_key: str | None,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises ClickException with what is in the way."""
    try:
        settings = Settings(
            host=host, port=port, db=db, dev=dev, aliases=aliases, bootstrap_key=bootstrap_key
        )
        with _KeyFile(settings) as key_file:
            keep_key = None if sys.stdout.isatty() else key_file.keep
            process.run(serve(settings, _announce(settings, key_file), keep_key=keep_key))
    except (ConfigurationError, StoreError) as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        # Between two steps of the start there is no handler yet; there is nothing to end either.
        return


class _KeyFile:
    """Where the first key is kept if nobody looks on; gone with a store that is gone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.path: Path | None = None

    def __enter__(self) -> _KeyFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.path is not None and self._settings.database == MEMORY:
            self.path.unlink(missing_ok=True)

    def keep(self, key: str) -> Callable[[], None]:
        """Write the file; what is returned removes it again."""
        self.path = path = process.write_key_file(self._settings, key)
        return lambda: path.unlink(missing_ok=True)


def _announce(settings: Settings, key_file: _KeyFile) -> Callable[[Started], None]:
    def announce(started: Started) -> None:
        if settings.dev:
            click.secho(
                "DEVELOPMENT MODE: any API key is the administrator's. Never expose this server.",
                fg="yellow",
                bold=True,
                err=True,
            )
        key = settings.bootstrap_key
        if key is not None and len(key) < _SHORT_KEY and not settings.dev:
            click.secho("CHATSERVER_BOOTSTRAP_KEY is short; others may guess it.", err=True)
        if started.key is not None and key_file.path is not None:
            click.echo(f"the administrator's API key is in {key_file.path}")
        elif started.key is not None:
            click.echo("The administrator's API key, shown this once (only its hash is stored):")
            click.secho(f"\n    {started.key}\n", bold=True)
        click.echo(f"chatserver ready at {started.url}")
        sys.stdout.flush()

    return announce
