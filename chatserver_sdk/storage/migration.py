"""Bringing a database up to date, with Alembic. The steps are in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

HEAD = "0003"

_SCRIPTS = Path(__file__).parent / "migrations"


class FromTheFuture(Exception):
    """The database was written by a newer version of this package."""


def current(connection: Connection) -> str | None:
    """The revision that the database is at; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection) -> None:
    """Apply every step that is missing, inside the connection's transaction.

    Raises FromTheFuture where the database is ahead of this code.
    """
    revision = current(connection)
    # Alembic takes 0.2 s to import; a database that is up to date does not need it.
    if revision == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise FromTheFuture(
            f"it is at revision {revision}, which this version of chatserver-sdk does not know;"
            " install a newer one"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
