"""What was found out not long ago, by the hash of a secret: so many at most, the latest used."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values that are given back until their time has come, or until everything is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def find(self, name: str, now: float) -> V | None:
        """The value, if it is remembered and its time has not come."""
        known = self._values.get(name)
        if known is None:
            return None
        until, value = known
        if until <= now:
            del self._values[name]
            return None
        self._values.move_to_end(name)
        return value

    def put(self, name: str, value: V, until: float) -> None:
        """Remember a value until a time; the one that was used longest ago makes room."""
        self._values[name] = until, value
        self._values.move_to_end(name)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)
