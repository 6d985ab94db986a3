"""Every step of the migrations, on every database, over tables that hold rows already.

The steps are those in the folder: a new one is walked without being named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgres_server import Databases
from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    create_engine,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.types import Boolean, Integer, String

from chatserver_sdk.storage import migration, open_store, tables
from chatserver_sdk.storage.engines import writing_engine
from chatserver_sdk.storage.location import url_of

FOLDER = Path(migration.__file__).parent / "migrations"
STEPS = [script.revision for script in reversed([*ScriptDirectory(str(FOLDER)).walk_revisions()])]


@pytest.fixture
def engine(location: str) -> Iterator[Engine]:
    """The writer's engine over a database without tables."""
    engine = writing_engine(url_of(location))
    yield engine
    engine.dispose()


def fill(connection: Connection, number: int) -> dict[str, int]:
    """One more row in every table that there is; how many each has then."""
    metadata = MetaData()
    metadata.reflect(connection)
    rows: dict[str, dict[str, Any]] = {}
    counts = {}
    for table in metadata.sorted_tables:
        if table.name == "alembic_version":
            continue
        row = {column.name: _value(column, number, rows) for column in table.columns}
        rows[table.name] = row
        connection.execute(insert(table), row)
        counts[table.name] = connection.scalar(select(func.count()).select_from(table)) or 0
    return counts


def _value(column: Any, number: int, rows: dict[str, dict[str, Any]]) -> Any:
    for key in column.foreign_keys:
        # A table that points to itself gets nothing there.
        referred = rows.get(key.column.table.name)
        return None if referred is None else referred[key.column.name]
    if isinstance(column.type, JSON):
        return {"row": number}
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, (Integer, BigInteger)):
        return number
    if isinstance(column.type, LargeBinary):
        return b"%d" % number
    assert isinstance(column.type, String), f"no value for {column!r}"
    return f"row {number}"[: column.type.length]


def test_the_head_is_the_last_step() -> None:
    """One line of steps, and the module's HEAD is its end."""
    assert STEPS[-1] == migration.HEAD and len(STEPS) == len(set(STEPS))
    files = [path.name[:4] for path in (FOLDER / "versions").glob("0*.py")]
    assert sorted(files) == sorted(STEPS)


def test_every_step_keeps_what_is_there(engine: Engine) -> None:
    """Before each step every table gets a row; after the last one all of them are there still."""
    counts: dict[str, int] = {}
    for number, step in enumerate(STEPS, 1):
        with engine.begin() as connection:
            migration.upgrade(connection, step)
            assert migration.current(connection) == step
        with engine.begin() as connection:
            found = fill(connection, number)
        assert all(found[name] == counts[name] + 1 for name in counts)
        counts = found
    with engine.connect() as connection:
        assert differences(connection) == []
    open_store(engine.url.render_as_string(hide_password=False)).close()


def differences(connection: Connection) -> list[Any]:
    """What Alembic would still change."""
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, tables.metadata))


def test_the_steps_make_the_tables(engine: Engine, other: Engine) -> None:
    """What they create is what the tables' module describes: to the last index, foreign key,
    constraint and condition, which Alembic's comparison skips in part."""
    with engine.begin() as connection:
        migration.upgrade(connection)
        assert differences(connection) == []
        made = shape(connection)
    with other.begin() as connection:
        tables.metadata.create_all(connection)
        assert made == shape(connection)


@pytest.fixture
def other(engine: Engine, postgres_or_none: Databases | None) -> Iterator[Engine]:
    """A second database of the same kind."""
    url = URL.create("sqlite")
    if postgres_or_none is not None:
        url = url_of(postgres_or_none.new(with_tables=False))
    other = create_engine(url)
    yield other
    other.dispose()


@pytest.fixture
def postgres_or_none(engine: Engine, request: pytest.FixtureRequest) -> Databases | None:
    """The server, where the test runs on one."""
    is_sqlite = engine.dialect.name == "sqlite"
    return None if is_sqlite else request.getfixturevalue("postgres")


def shape(connection: Connection) -> dict[str, Any]:
    """All that the database itself says of our tables."""
    found = inspect(connection)
    return {
        table: (
            sorted(
                f"{column['name']} {column['type']} {column['nullable']}"
                for column in found.get_columns(table)
            ),
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(
                f"{key['constrained_columns']} {key['referred_table']} {key['options']}"
                for key in found.get_foreign_keys(table)
            ),
            sorted(str(one["column_names"]) for one in found.get_unique_constraints(table)),
            sorted(str(one["sqltext"]) for one in found.get_check_constraints(table)),
            sorted(
                f"{index['name']} {index['column_names']} {bool(index['unique'])}"
                f" {[str(part) for part in index.get('dialect_options', {}).values()]}"
                for index in found.get_indexes(table)
            ),
        )
        for table in sorted(tables.metadata.tables)
    }
