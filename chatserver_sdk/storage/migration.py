"""Bringing a database up to date, with Alembic. The steps are in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

HEAD = "0007"

_SCRIPTS = Path(__file__).parent / "migrations"


class Unsuitable(Exception):
    """The database cannot be brought up to date; its text says why."""


def current(connection: Connection) -> str | None:
    """The revision that the database is at; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, target: str = HEAD) -> None:
    """Apply every step that is missing, up to one, inside the connection's transaction.

    Raises Unsuitable where the database is ahead of this code, or cannot hold every character.
    """
    _check_encoding(connection)
    revision = current(connection)
    # Alembic takes 0.2 s to import; a database that is up to date does not need it.
    if revision == target:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise Unsuitable(
            f"it is at revision {revision}, which this version of chatserver-sdk does not know;"
            " install a newer one"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def _check_encoding(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise Unsuitable(f"its encoding is {encoding}; create it with ENCODING 'UTF8'")
