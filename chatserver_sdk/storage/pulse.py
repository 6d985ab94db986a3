"""Whether the database answers, at the least cost."""

from __future__ import annotations

from sqlalchemy import Connection


def feel(connection: Connection) -> None:
    """Read a row that every store has. Raises what the database raises."""
    connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
