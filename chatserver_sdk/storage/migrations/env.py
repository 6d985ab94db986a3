"""What Alembic runs: the steps, on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from chatserver_sdk.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things in place; batch mode rebuilds the table instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
