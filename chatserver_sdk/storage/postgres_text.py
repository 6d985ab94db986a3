"""Texts with NUL in PostgreSQL, which has none: they are stored in another spelling, and come back.

JSON needs none of it: there NUL is written as an escape already.
"""

from __future__ import annotations

from typing import Any

from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown, TextLoader

# The control character SUBSTITUTE stands before what it stands for; so does one for itself.
_MARK, _NUL, _ITSELF = "\x1a", "\x1a0", "\x1a1"


def lossless(connection: Any) -> None:
    """From now on every text may be stored through the connection, and is read as it was."""
    connection.adapters.register_dumper(str, _Dumper)
    for name in ("text", "varchar"):
        connection.adapters.register_loader(name, _Loader)


class _Dumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        if "\0" in obj or _MARK in obj:
            obj = obj.replace(_MARK, _ITSELF).replace("\0", _NUL)
        return super().dump(obj)


class _Loader(TextLoader):
    def load(self, data: Buffer) -> bytes | str:
        found = super().load(data)
        if isinstance(found, str) and _MARK in found:
            found = found.replace(_NUL, "\0").replace(_ITSELF, _MARK)
        return found
