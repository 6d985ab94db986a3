"""Statements on the path of every turn: compiled once, then handed to the driver as they are.

SQLAlchemy takes some 50 µs to build and run a statement that SQLite carries out in two; a turn
has a dozen. What it does for values, rows and errors is done here as well.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
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
        return self._named(found)

    def values_of_all(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The same for rows with all of the values: several times as fast."""
        pick = itemgetter(*(name for name, _, _ in self.binds))
        found = [list(pick(row)) for row in rows]
        for place, (_, _, process) in enumerate(self.binds):
            if process is not None:
                for values in found:
                    values[place] = process(values[place])
        return [self._named(values) for values in found] if not self.is_positional else found

    def _named(self, values: list[Any]) -> Any:
        if self.is_positional:
            return values
        return {name: value for (name, _, _), value in zip(self.binds, values)}


class Prepared:
    """A statement whose values are bindparams by name."""

    def __init__(
        self, statement: Select[Any] | Insert | Update, columns: Sequence[str] | None = None
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[tuple[str, tuple[str, ...]], _Compiled] = {}

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

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Carry out a change for each of the rows, which have the same keys; what is inserted has
        these columns, and the others are empty. How many rows it touched."""
        if not rows:
            return 0
        compiled = self._for(connection.dialect, tuple(rows[0]))
        values = compiled.values_of_all(rows)
        cursor = self._execute(connection, compiled, values, is_many=True)
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

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

    def _for(self, dialect: Dialect, columns: tuple[str, ...] = ()) -> _Compiled:
        place = dialect.name, columns
        found = self._compiled.get(place)
        if found is None:
            found = self._compiled[place] = self._compile(dialect, columns or self._columns)
        return found

    def _compile(self, dialect: Dialect, columns: Sequence[str] | None) -> _Compiled:
        # Only an insertion has columns of its own.
        keys = list(columns) if columns and isinstance(self._statement, Insert) else None
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=keys)
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
        processes = [
            (place, process)
            for place, column in enumerate(columns)
            if (process := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

        def read(row: Sequence[Any]) -> Any:
            values = list(row)
            for place, process in processes:
                values[place] = process(values[place])
            return named._make(values)

        return read if processes else named._make


def _bind(name: str, bind: Any, dialect: Dialect) -> tuple[str, Any, _Process | None]:
    process: _Process | None = bind.type.dialect_impl(dialect).bind_processor(dialect)
    # A column of a new row that is not given is empty.
    own = None if bind.required else bind.effective_value
    return name, own if own is None or process is None else process(own), process
