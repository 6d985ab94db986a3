"""A comparison with a pattern in which `*` is any text, as each database writes it."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Boolean, ColumnElement, String, false, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def fits(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether the whole of a column's text fits; "A" is not "a"."""
    if "\0" in pattern:
        # SQLite would read no further. Nothing that patterns are for holds it.
        return false()
    pattern = re.sub(r"\*+", "*", pattern)
    # Of its own wildcards each keeps one.
    as_glob = re.sub(r"[\[?]", r"[\g<0>]", pattern)
    as_like = re.sub(r"[\\%_]", r"\\\g<0>", pattern).replace("*", "%")
    return _Fits(column, literal(as_glob, String), literal(as_like, String))


class _Fits(FunctionElement[bool]):
    """Three parts: the column, the pattern for SQLite, the pattern for others."""

    name = "fits"
    type = Boolean()
    inherit_cache = True


@compiles(_Fits)
def _with_like(element: _Fits, compiler: Any, **options: Any) -> str:
    column, _, pattern = element.clauses
    return f"{compiler.process(column, **options)} LIKE {compiler.process(pattern, **options)}"


@compiles(_Fits, "sqlite")
def _with_glob(element: _Fits, compiler: Any, **options: Any) -> str:
    # LIKE takes "A" for "a" in SQLite.
    column, pattern, _ = element.clauses
    return f"{compiler.process(column, **options)} GLOB {compiler.process(pattern, **options)}"
