"""One statement for many rows, without what SQLAlchemy does for each of them.

A row costs SQLAlchemy several times what it costs SQLite. Here a statement is compiled once for a
kind of database; what is left for a row is to put its values in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Table, insert
from sqlalchemy.sql.dml import UpdateBase

Row = Mapping[str, Any]
Convert = Callable[[Any], Any]


class _Compiled(NamedTuple):
    """converted: the places of the values that the driver does not take as they are. names: of the
    values, where the driver wants names."""

    sql: str
    values_of: Callable[[Row], tuple[Any, ...]]
    converted: list[tuple[int, Convert]]
    names: Sequence[str] | None

    def parameters(self, rows: Iterable[Row]) -> list[Any]:
        found = [list(self.values_of(row)) for row in rows]
        for values in found:
            for place, convert in self.converted:
                values[place] = convert(values[place])
        if self.names is None:
            return [tuple(values) for values in found]
        return [dict(zip(self.names, values)) for values in found]


class ForRows:
    """A Core statement whose parameters are named; each row is a mapping with all of the names."""

    def __init__(self, statement: UpdateBase) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    @classmethod
    def inserting(cls, table: Table) -> ForRows:
        """One that inserts rows with every column of the table."""
        return cls(insert(table))

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for each of the rows; nothing where there are none."""
        if not rows:
            return
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._statement, dialect)
        connection.exec_driver_sql(compiled.sql, compiled.parameters(rows))


def _compile(statement: UpdateBase, dialect: Dialect) -> _Compiled:
    compiled: Any = statement.compile(dialect=dialect)
    names: Sequence[str] = compiled.positiontup if compiled.positional else list(compiled.binds)
    converters = [_converter(compiled.binds[name].type, dialect) for name in names]
    converted = [(place, made) for place, made in enumerate(converters) if made is not None]
    named = None if compiled.positional else names
    return _Compiled(compiled.string, itemgetter(*names), converted, named)


def _converter(kind: Any, dialect: Dialect) -> Convert | None:
    """What makes of a value what the driver takes; None where it takes the value as it is."""
    convert: Convert | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return convert
