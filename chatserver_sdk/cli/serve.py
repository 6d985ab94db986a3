"""`chatserver serve`: a server in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.server import Settings, Started, configuration, logs, process, serve
from chatserver_sdk.server.settings import MEMORY
from chatserver_sdk.storage import StoreError

_SHORT_KEY = 16


def run(*, config: str | None, flags: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM. Raises ClickException with what is in the way."""
    try:
        settings = configuration.load(config, os.environ, flags)
        logs.configure(settings)
        with _FirstKey(settings) as first_key:
            announce = _announce(settings, first_key)
            process.run(serve(settings, announce, keep_key=first_key.keep))
    except (ConfigurationError, StoreError) as exc:
        raise click.ClickException(str(exc)) from exc


class _FirstKey:
    """The first administrator's key, from its making until somebody has it.

    Where nobody looks on it is kept in a file, which is gone with a store that is gone.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key: str | None = None
        self._file: Path | None = None

    def __enter__(self) -> _FirstKey:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Also of a start that was broken off: a key that is stored and that nobody has would lock
        # everybody out.
        self.show()
        if self._file is not None and self._settings.database == MEMORY:
            self._file.unlink(missing_ok=True)

    def keep(self, key: str) -> Callable[[], None]:
        """Take the key before it counts; what is returned drops it again."""
        if not sys.stdout.isatty():
            self._file = process.write_key_file(self._settings, key)
        self._key = key
        return self._drop

    def show(self) -> None:
        """Say the key, or where it is; once."""
        if self._key is None:
            return
        if self._file is not None:
            self._file = process.settle_key_file(self._file)
            click.echo(f"the administrator's API key is in {self._file}")
        else:
            click.echo("The administrator's API key, shown this once (only its hash is stored):")
            click.secho(f"\n    {self._key}\n", bold=True)
        self._key = None

    def _drop(self) -> None:
        self._key = None
        if self._file is not None:
            self._file.unlink(missing_ok=True)


def _announce(settings: Settings, first_key: _FirstKey) -> Callable[[Started], None]:
    def announce(started: Started) -> None:
        if settings.dev:
            click.secho(
                "DEVELOPMENT MODE: any API key is the administrator's. Never expose this server.",
                fg="yellow",
                bold=True,
                err=True,
            )
        key = settings.bootstrap_key
        if started.ignores_bootstrap_key:
            click.secho(
                "CHATSERVER_BOOTSTRAP_KEY is not used: the store has keys of its own.", err=True
            )
        elif key is not None and len(key) < _SHORT_KEY and not settings.dev:
            click.secho("CHATSERVER_BOOTSTRAP_KEY is short; others may guess it.", err=True)
        first_key.show()
        click.echo(f"chatserver ready at {started.url}")
        sys.stdout.flush()

    return announce
