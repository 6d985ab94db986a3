"""From Python's types to the shapes of their JSON, for classes that answers are read into."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, InitVar
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from chatserver_sdk.exceptions import BadRequestError

from .json_schema import (
    CHOICE_TYPES,
    Anything,
    Choice,
    Described,
    Either,
    Fixed,
    Items,
    Map,
    Member,
    Object,
    Plain,
    Shape,
)

_LONGEST_TYPE = 200

# datetime.fromisoformat of Python 3.10 takes three digits or six and no others.
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d+)")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?([Ee][+-]?\d+)?", re.ASCII)


def shape_of(into: type[Any]) -> Object:
    """The shape of a dataclass or a TypedDict.

    Raises BadRequestError, with the field, for what has no form in JSON.
    """
    try:
        shape = _Shapes().of(into, into.__name__)
    except RecursionError as exc:
        raise _refused(f"{into.__name__} holds a type that never ends", exc) from exc
    if not isinstance(shape, Object):
        raise _refused(
            f"into must be a dataclass, a TypedDict or a pydantic model class, not {into.__name__}"
        )
    return shape


class _Shapes:
    """The shapes of one class and of all that it refers to; paths are for messages only."""

    def __init__(self) -> None:
        self._objects: dict[type[Any], Object] = {}

    def of(self, kind: Any, path: str) -> Shape:
        origin, args = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self._annotated(kind, path)
        if origin in (Union, types.UnionType):
            return Either([self.of(arg, path) for arg in args])
        if origin is Literal:
            return _literal(kind, path)
        if _word(origin) in _TRANSPARENT:
            return self.of(args[0], path)
        if origin is not None:
            return self._container(kind, origin, args, path)
        return self._simple(kind, path)

    def _annotated(self, kind: Any, path: str) -> Shape:
        inner, *notes = get_args(kind)
        shape = self.of(inner, path)
        text = next((note for note in notes if isinstance(note, str)), "")
        return Described(shape, text) if text else shape

    def _container(self, kind: Any, origin: Any, args: tuple[Any, ...], path: str) -> Shape:
        if origin is tuple and args and args[-1] is not Ellipsis:
            return Fixed([self.of(arg, f"{path}[{place}]") for place, arg in enumerate(args)])
        if origin in _MAPS:
            return self._map(kind, args or (str, Any), path)
        if origin not in _LISTS:
            raise _inexpressible(path, kind)
        item = self.of(args[0] if args else Any, f"{path}[]")
        build = _LISTS[origin]
        if build in (set, frozenset) and not item.is_hashable:
            raise _refused(f"{path}: {_name(kind)} cannot be, its items have no hash")
        return Items(item, build)

    def _map(self, kind: Any, args: tuple[Any, ...], path: str) -> Shape:
        if self.of(args[0], path) not in (_PLAIN[str], _ANYTHING):
            raise _refused(f"{path}: {_name(kind)} cannot be, the keys of JSON are strings")
        return Map(self.of(args[1], f"{path}[*]"))

    def _simple(self, kind: Any, path: str) -> Shape:
        if type(kind).__name__ == "TypeAliasType":
            return self.of(kind.__value__, path)
        if not isinstance(kind, abc.Hashable):
            raise _inexpressible(path, kind)
        if kind in _PLAIN:
            return _PLAIN[kind]
        if kind in _LISTS or kind in _MAPS:
            return self._container(kind, kind, (), path)
        if hasattr(kind, "__supertype__"):
            return self.of(kind.__supertype__, path)
        return self._class(kind, path)

    def _class(self, kind: Any, path: str) -> Shape:
        if not isinstance(kind, type):
            raise _inexpressible(path, kind)
        if issubclass(kind, Enum):
            return _enum(kind, path)
        is_dict = issubclass(kind, dict) and hasattr(kind, "__required_keys__")
        if not is_dict and not dataclasses.is_dataclass(kind):
            raise _inexpressible(path, kind)
        if kind not in self._objects:
            self._objects[kind] = shape = _object(kind)
            members = self._keys(kind, path) if is_dict else self._fields(kind, path)
            shape.members.update(members)
        return self._objects[kind]

    def _fields(self, kind: type[Any], path: str) -> Iterator[tuple[str, Member]]:
        hints = _hints(kind, path)
        for name, hint in hints.items():
            if InitVar in (hint, type(hint)):
                raise _inexpressible(f"{path}.{name}", hint)
        for field in dataclasses.fields(kind):
            if field.init:
                shape = self.of(hints[field.name], f"{path}.{field.name}")
                text = field.metadata.get("description")
                is_required = field.default is MISSING and field.default_factory is MISSING
                said = Described(shape, text) if text and isinstance(text, str) else shape
                yield field.name, Member(said, is_required)

    def _keys(self, kind: Any, path: str) -> Iterator[tuple[str, Member]]:
        for name, hint in _hints(kind, path).items():
            is_required = _is_required(hint, name in kind.__required_keys__)
            yield name, Member(self.of(hint, f"{path}.{name}"), is_required)


def _object(kind: type[Any]) -> Object:
    # Where a class has no docstring, dataclass writes its signature there.
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    own = "" if text.startswith(f"{kind.__name__}(") else text
    is_dict = issubclass(kind, dict)
    hashable = not is_dict and kind.__hash__ is not None
    return Object(kind.__name__, dict if is_dict else kind, own, hashable)


def _hints(kind: type[Any], path: str) -> dict[str, Any]:
    try:
        return _resolved(kind)
    except (NameError, AttributeError, TypeError, SyntaxError) as exc:
        raise _refused(
            f"{path}: the annotations of {kind.__name__} do not name types that can be found"
            f" ({exc}); define them in the module, outside functions",
            exc,
        ) from exc


def _resolved(kind: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError:
        # A class inside a function may name itself, which the module does not know.
        return get_type_hints(kind, localns={kind.__name__: kind}, include_extras=True)


def _is_required(hint: Any, otherwise: bool) -> bool:
    """What the key says of itself: strings for annotations hide it from TypedDict."""
    word = _word(get_origin(hint))
    if word in ("Required", "NotRequired"):
        return word == "Required"
    inside = get_origin(hint) is Annotated or word in _TRANSPARENT
    return _is_required(get_args(hint)[0], otherwise) if inside else otherwise


def _word(origin: Any) -> str:
    # By name: on Python 3.10 they come from typing_extensions, which we do not import.
    return str(origin).rpartition(".")[2]


def _literal(kind: Any, path: str) -> Shape:
    members = [(m.value if isinstance(m, Enum) else m, m) for m in get_args(kind)]
    if not all(type(said) in CHOICE_TYPES for said, _ in members):
        raise _inexpressible(path, kind)
    return Choice(members, goes_first=True)


def _enum(kind: type[Enum], path: str) -> Shape:
    members = [(member.value, member) for member in kind]
    if not members or not all(type(said) in (str, int) for said, _ in members):
        raise _refused(f"{path}: the values of {_name(kind)} must be strings or whole numbers")
    return Choice(members)


def _name(kind: Any) -> str:
    is_class = isinstance(kind, type) and get_origin(kind) is None
    return kind.__qualname__ if is_class else repr(kind)[:_LONGEST_TYPE]


def _inexpressible(path: str, kind: Any) -> BadRequestError:
    return _refused(
        f"{path}: {_name(kind)} has no form in JSON that a model could be asked for;"
        " use plain types, enums, dataclasses and lists, dicts or unions of them"
    )


def _refused(text: str, cause: Exception | None = None) -> BadRequestError:
    return BadRequestError(text, param="into")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _whole(value: Any) -> int:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if type(number) is not int:
        raise ValueError
    return number


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _exactly(kind: type[Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return read


def _decimal(value: Any) -> Decimal:
    if not _DECIMAL.fullmatch(_text(value)):
        raise ValueError
    return Decimal(value)


def _uuid(value: Any) -> UUID:
    return UUID(_text(value))


def _date(value: Any) -> date:
    return date.fromisoformat(_text(value))


def _datetime(value: Any) -> datetime:
    return datetime.fromisoformat(_iso(value))


def _time(value: Any) -> time:
    return time.fromisoformat(_iso(value))


def _iso(value: Any) -> str:
    """The time as Python 3.10 reads it: an offset for Z, six digits of a second."""
    text = re.sub("[Zz]$", "+00:00", _text(value))
    return _FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", text)


def _string(expected: str, convert: Callable[[Any], Any], **said: str) -> Plain:
    return Plain(expected, {"type": "string", **said}, convert)


_TRANSPARENT = ("Required", "NotRequired", "ReadOnly", "Final")

_ANYTHING = Anything()

_PLAIN: Mapping[Any, Shape] = {
    Any: _ANYTHING,
    object: _ANYTHING,
    str: _string("a string", _text),
    int: Plain("a whole number", {"type": "integer"}, _whole),
    float: Plain("a number", {"type": "number"}, _number),
    bool: Plain("a boolean", {"type": "boolean"}, _exactly(bool)),
    type(None): Plain("null", {"type": "null"}, _exactly(type(None))),
    None: Plain("null", {"type": "null"}, _exactly(type(None))),
    datetime: _string("a date and time in ISO 8601", _datetime, format="date-time"),
    date: _string("a date in ISO 8601", _date, format="date"),
    time: _string("a time in ISO 8601", _time, format="time"),
    UUID: _string("a UUID", _uuid, format="uuid"),
    # Strict mode has no format for decimals, and refuses those that it does not know.
    Decimal: _string("a decimal number in a string", _decimal, pattern=r"^-?[0-9]+(\.[0-9]+)?$"),
}

_LISTS: Mapping[Any, Callable[[list[Any]], Any]] = {
    list: list,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Collection: list,
    abc.Iterable: list,
    tuple: tuple,
    set: set,
    abc.Set: set,
    abc.MutableSet: set,
    frozenset: frozenset,
}

_MAPS = (dict, abc.Mapping, abc.MutableMapping)
