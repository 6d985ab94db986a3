"""Plans: how the values of one class of models are read and written, worked out once a class."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from datetime import date, datetime
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from chatserver_sdk.exceptions import DecodeError

from ._values import JSON_NAMES, OpenEnum, format_timestamp, kind_of, parse_timestamp

if TYPE_CHECKING:
    from ._base import Model

M = TypeVar("M", bound="Model")
Convert = Callable[[Any], Any]


def _is_model(hint: Any) -> bool:
    # By what it can do: the base class of the models is built on this module.
    return isinstance(hint, type) and hasattr(hint, "from_decoded")


@dataclass(frozen=True)
class _Field:
    name: str
    read: Convert
    write: Convert
    make_default: Callable[[], Any] | None
    nullable: bool
    exclude: Callable[[Any], bool] | None
    alias: str | None
    plain: tuple[type[Any], ...]


# Where values that a field does not take wait to be set aside; no JSON has such a key.
_ODD: Any = object()

_new = object.__new__


class _Work(NamedTuple):
    """What objects of one shape need: values to be read, fields to be filled, others set aside."""

    reads: list[tuple[str, Convert]]
    fills: list[str]
    has_others: bool


# A server that sends ever new keys must not fill the memory.
_MOST_SHAPES = 256


class Plan:
    """How one class is read and written, worked out once.

    Most values of an answer are right as they are, and are taken over in one go. What is missing,
    null or of another type is looked at more closely; where it is depends on an object's shape (its
    keys and the types of their values) alone, and the objects of a list have few shapes.
    """

    def __init__(self, cls: type[Any], *, owns: bool) -> None:
        hints = get_type_hints(cls)
        self.fields = {f.name: _plan_field(f, hints[f.name], owns) for f in dataclasses.fields(cls)}
        self.to_write = [(f.name, f.exclude, f.write) for f in self.fields.values()]
        self.plain = {f.name: f.plain for f in self.fields.values()}
        # Any other that is not there has its default as an attribute of the class.
        self.to_fill = [
            f.name
            for f in dataclasses.fields(cls)
            if f.default is MISSING or self.fields[f.name].alias
        ]
        self.shapes: dict[tuple[Any, ...], _Work] = {}
        self.aliases = [f.alias for f in self.fields.values() if f.alias]
        self.other_names = [
            (f.name, f.metadata["other_name"], self.fields[f.name].plain)
            for f in dataclasses.fields(cls)
            if f.metadata.get("other_name")
        ]
        self.minor = {f.name for f in dataclasses.fields(cls) if f.metadata.get("minor")}
        self.finish: Callable[[Any], None] | None = getattr(cls, "__post_init__", None)

    def read(self, cls: type[M], values: dict[str, Any]) -> M:
        """The model that these values become; they are its own from here on."""
        shape = (*values, *map(type, values.values()))
        work = self.shapes.get(shape)
        if work is None:
            work = self._look_at(values)
            if len(self.shapes) < _MOST_SHAPES:
                self.shapes[shape] = work
        reads, fills, has_others = work
        for name, read in reads:
            try:
                values[name] = read(values[name])
            except (TypeError, ValueError, OverflowError, DecodeError) as exc:
                has_others = self._put_aside(cls, name, values, exc)
        if fills:
            has_others |= self._fill(cls, fills, values)
        if has_others:
            self.set_aside(values)
        made = _new(cls)
        made.__dict__ = values
        if self.finish is not None:
            self.finish(made)
        return made

    def _look_at(self, raw: dict[str, Any]) -> _Work:
        """What is to be done about objects of this shape."""
        odd = [name for name, value in raw.items() if type(value) not in self.plain.get(name, ())]
        known = [name for name in odd if name in self.fields]
        return _Work(
            [(name, self.fields[name].read) for name in known if raw[name] is not None],
            [name for name in self.to_fill if name not in raw]
            + [name for name in known if raw[name] is None],
            len(known) < len(odd),
        )

    def _fill(self, cls: type[Any], names: list[str], values: dict[str, Any]) -> bool:
        """Put in what is null or not there; whether something odd is to be set aside."""
        is_odd = False
        for name in names:
            try:
                values[name] = _filling(self.fields[name], values)
            except (TypeError, ValueError, OverflowError, DecodeError) as exc:
                is_odd = self._put_aside(cls, name, values, exc)
        return is_odd

    def _put_aside(self, cls: type[Any], name: str, values: dict[str, Any], exc: Exception) -> bool:
        """True, or raises DecodeError for a field that is not a minor one."""
        if name not in self.minor:
            # DecodeErrors of inner objects carry their own path already.
            if isinstance(exc, DecodeError):
                raise exc
            raise DecodeError(f"{cls.__name__}.{name}: {exc}") from exc
        values.setdefault(_ODD, {})[name] = values.get(name)
        values[name] = None
        return True

    def set_aside(self, values: dict[str, Any]) -> None:
        """Keep what the class does not know apart from what it does."""
        odd = values.pop(_ODD, {})
        others = [key for key in values if key not in self.fields]
        unknown = {key: values.pop(key) for key in others}
        for alias in self.aliases:
            unknown.pop(alias, None)
        for name, other, plain in self.other_names:
            if not values.get(name) and unknown.get(other) and type(unknown[other]) in plain:
                values[name] = unknown[other]
        if unknown or odd:
            values["_extra"] = {**unknown, **odd}

    def write(self, model: Model) -> dict[str, Any]:
        values = model.__dict__
        written: dict[str, Any] = {}
        for name, exclude, write in self.to_write:
            # A default that nobody has changed stays with the class.
            value = values[name] if name in values else getattr(model, name)
            if exclude is None or not exclude(value):
                written[name] = None if value is None else write(value)
        extra = values.get("_extra", {})
        for name, other, _ in self.other_names:
            if other in extra and extra[other] == written.get(name):
                written.pop(name, None)
        for key, value in extra.items():
            written.setdefault(key, value)
        return written


def plan_of(cls: type[Any]) -> Plan:
    """The class's plan; made at its first use, when every name it refers to exists."""
    plan: Plan | None = cls._plan
    if plan is None:
        plan = cls._plan = Plan(cls, owns=False)
    return plan


def owning_plan_of(cls: type[Any]) -> Plan:
    """The same for JSON that becomes the model, what is inside it included."""
    plan: Plan | None = cls._owning_plan
    if plan is None:
        plan = cls._owning_plan = Plan(cls, owns=True)
    return plan


def _plan_field(f: dataclasses.Field[Any], hint: Any, owns: bool) -> _Field:
    options = f.metadata.get("dataclasses_json", {})
    # What a field may be worth without is kept as it came where it cannot be read.
    read, write = _converters(hint, owns and not f.metadata.get("minor"))
    return _Field(
        name=f.name,
        read=read,
        write=write,
        make_default=_default_of(f),
        nullable=_accepts_none(hint),
        exclude=options.get("exclude"),
        alias=f.metadata.get("alias"),
        # A field that may come by another name is always looked at.
        plain=() if "alias" in f.metadata else _plain_types(hint),
    )


def _plain_types(hint: Any) -> tuple[type[Any], ...]:
    """The types of values that can stay as they are."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [get_origin(option) or option for option in options]
    return tuple(kind for kind in kinds if kind in (str, int, float, bool, dict, type(None)))


def _default_of(f: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if f.default_factory is not MISSING:
        return f.default_factory
    if f.default is not MISSING:
        return lambda: f.default
    return None


def _filling(f: _Field, raw: Mapping[str, Any]) -> Any:
    """What stands in a field that is null or not there."""
    if f.alias is not None and raw.get(f.alias) is not None:
        return f.read(raw[f.alias])
    if f.nullable and (f.name in raw or f.make_default is None):
        return None
    if f.make_default is None:
        raise ValueError("is missing" if f.name not in raw else "is null")
    return f.make_default()


def _accepts_none(hint: Any) -> bool:
    return hint is Any or type(None) in get_args(hint)


def _converters(hint: Any, owns: bool) -> tuple[Convert, Convert]:
    """The pair of functions that read and write a value of this type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        chosen = [a for a in args if a is not type(None)]
        return _converters(chosen[0], owns) if len(chosen) == 1 else (_one_of(chosen), _write_any)
    if origin is list:
        read, write = _converters(args[0], owns)
        is_model = owns and _is_model(args[0])
        return (
            _models_of(args[0]) if is_model else _list_of(read),
            lambda values: [write(value) for value in values],
        )
    if origin is dict:
        return _exactly(dict), _write_any
    if hint is datetime:
        return parse_timestamp, format_timestamp
    if _is_model(hint):
        return hint.from_decoded if owns else hint.from_dict, _write_model
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return _Members(hint).__getitem__, str
    if hint is float:
        return _read_float, _same
    return (_exactly(hint) if hint in (str, int, bool) else _same), _write_any


# What is written as it is; most values are.
_PLAIN = frozenset((str, int, float, bool))


def _same(value: Any) -> Any:
    return value


def _write_any(value: Any) -> Any:
    """What a caller put into a free field, as plain JSON values."""
    if type(value) in _PLAIN:
        return value
    if _is_model(type(value)):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _write_any(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_write_any(item) for item in value]
    return value


def _write_model(value: Any) -> Any:
    return value.to_dict() if _is_model(type(value)) else _write_any(value)


def _exactly(kind: type[Any]) -> Convert:
    def read(value: Any) -> Any:
        # bool is an int to Python and not to JSON.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        raise TypeError(f"expected {JSON_NAMES[kind]}, got {kind_of(value)}")

    return read


def _read_float(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"expected a number, got {kind_of(value)}")


def _list_of(read: Convert) -> Convert:
    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, got {kind_of(value)}")
        return [read(item) for item in value]

    return read_list


def _models_of(model: type[Any]) -> Convert:
    """The same for thousands of records, without a call each that only looks at the type."""

    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, got {kind_of(value)}")
        read = owning_plan_of(model).read
        return [
            read(model, item) if type(item) is dict else model.from_decoded(item) for item in value
        ]

    return read_list


class _Members(dict[Any, Any]):
    """The members of an enum by their values; reading one costs a look-up."""

    def __init__(self, enum: type[OpenEnum]) -> None:
        super().__init__({member.value: member for member in enum})
        self._enum = enum

    def __missing__(self, value: Any) -> OpenEnum:
        if not isinstance(value, str):
            raise TypeError(f"expected a string, got {kind_of(value)}")
        return self._enum(value)


def _one_of(hints: list[Any]) -> Convert:
    """A union is read as the first of its types that takes the value."""
    # A failed attempt must leave the value as it is.
    readers = [_converters(hint, owns=False)[0] for hint in hints]

    def read(value: Any) -> Any:
        for reader in readers:
            try:
                return reader(value)
            except (TypeError, ValueError, DecodeError):
                continue
        raise TypeError(f"{kind_of(value)} is not what can stand here")

    return read
