"""Statements on the path of every turn: compiled once, then handed to the driver as they are.

SQLAlchemy takes some 50 µs to build and run a statement that SQLite carries out in two; a turn
has a dozen. What it does for values, rows and errors is done here as well.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Select, Table, Update, insert
from sqlalchemy.exc import DBAPIError

_Process = Callable[[Any], Any]


class _Compiled(NamedTuple):
    sql: str
    # In their order; a value that the statement has itself, and what becomes of a given one.
    binds: list[tuple[str, Any, _Process | None]]
    is_positional: bool
    row: Callable[[Sequence[Any]], Any]

    def values(self, given: Mapping[str, Any]) -> Any:
        """A caller's values as the driver takes them."""
        found = [
            own if name not in given else (process(given[name]) if process else given[name])
            for name, own, process in self.binds
        ]
        if self.is_positional:
            return found
        return {name: value for (name, _, _), value in zip(self.binds, found)}


class Prepared:
    """A statement whose values are bindparams by name."""

    def __init__(
        self, statement: Select[Any] | Insert | Update, columns: Sequence[str] | None = None
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    @classmethod
    def insert(cls, table: Table, *columns: str) -> Prepared:
        """A row for a table, of these columns; of all of them where none are named."""
        return cls(insert(table), columns or [column.name for column in table.columns])

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """What a query finds: named tuples, like SQLAlchemy's rows."""
        compiled = self._for(connection.dialect)
        cursor = self._execute(connection, compiled, compiled.values(values))
        try:
            return [compiled.row(row) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def first(self, connection: Connection, **values: Any) -> Any:
        """The first row that a query finds, or None."""
        return next(iter(self.rows(connection, **values)), None)

    def scalar(self, connection: Connection, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.first(connection, **values)
        return None if row is None else row[0]

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Carry out a change; how many rows it touched."""
        compiled = self._for(connection.dialect)
        cursor = self._execute(connection, compiled, compiled.values(values))
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def run_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Carry out a change for each of the rows."""
        compiled = self._for(connection.dialect)
        values = [compiled.values(row) for row in rows]
        if values:
            self._execute(connection, compiled, values, is_many=True).close()

    def _execute(
        self, connection: Connection, compiled: _Compiled, values: Any, is_many: bool = False
    ) -> Any:
        if not connection.in_transaction():
            connection.begin()
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        dialect: Any = connection.dialect
        try:
            (cursor.executemany if is_many else cursor.execute)(compiled.sql, values)
        except dialect.loaded_dbapi.Error as exc:
            is_lost = dialect.is_disconnect(exc, driver, cursor)
            cursor.close()
            if is_lost:
                connection.invalidate(exc)
            raise DBAPIError.instance(
                compiled.sql,
                None,
                exc,
                dialect.loaded_dbapi.Error,
                hide_parameters=True,
                connection_invalidated=is_lost,
                dialect=dialect,
            ) from exc
        return cursor

    def _for(self, dialect: Dialect) -> _Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = self._compile(dialect)
        return found

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled: Any = self._statement.compile(
            dialect=dialect, column_keys=None if self._columns is None else list(self._columns)
        )
        names = list(compiled.positiontup if compiled.positional else compiled.binds)
        binds = [_bind(name, compiled.binds[name], dialect) for name in names]
        return _Compiled(str(compiled), binds, bool(compiled.positional), self._reader(dialect))

    def _reader(self, dialect: Dialect) -> Callable[[Sequence[Any]], Any]:
        if not isinstance(self._statement, Select):
            return tuple
        columns = list(self._statement.selected_columns)
        names = [
            getattr(column, "name", None) or f"_{place}" for place, column in enumerate(columns)
        ]
        named: Any = namedtuple("Row", names)  # type: ignore[misc]
        processes: list[Any] = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        if not any(processes):
            return named._make

        def read(row: Sequence[Any]) -> Any:
            return named._make(
                process(value) if process else value for process, value in zip(processes, row)
            )

        return read


def _bind(name: str, bind: Any, dialect: Dialect) -> tuple[str, Any, _Process | None]:
    process: _Process | None = bind.type.dialect_impl(dialect).bind_processor(dialect)
    # A column of a new row that is not given is empty.
    own = None if bind.required else bind.effective_value
    return name, own if own is None or process is None else process(own), process
