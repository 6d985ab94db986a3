"""Values as JSON has them: words of an open list, points in time, and what each kind is called."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Any, TypeVar

from dateutil import parser as dateparser

E = TypeVar("E", bound="OpenEnum")


class OpenEnum(str, Enum):
    """An enum that other servers may know more values of.

    An unknown value is kept: it becomes a member that compares equal to its text.
    """

    @classmethod
    def _missing_(cls: type[E], value: object) -> E | None:
        if not isinstance(value, str):
            return None
        # Not registered with the class: a server must not be able to grow it without end.
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # By value: some versions of Python do it by name, which an unknown value does not have.
        return type(self), (self._value_,)

    def __str__(self) -> str:
        return str(self.value)


def parse_timestamp(value: Any) -> datetime:
    """An aware datetime from ISO 8601 text; naive means UTC. Raises ValueError, TypeError."""
    # fromisoformat is 30 times as fast as dateutil, and until Python 3.11 it knew neither "Z"
    # nor fractions of any length; dateutil takes what it refuses.
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = dateparser.isoparse(value)
    except TypeError:
        if not isinstance(value, datetime):
            raise TypeError(f"expected a timestamp, got {kind_of(value)}") from None
        moment = value
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def format_timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, with `Z`."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except OverflowError:
        # An hour before the year 1, an hour after 9999: "for ever" in somebody's time zone.
        return moment.isoformat()


JSON_NAMES: dict[type[Any], str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """What a value is in JSON's words."""
    return JSON_NAMES.get(type(value), type(value).__name__)
