"""Shapes of JSON values: how each is said in a schema, and how a value of it is read.

Schemas are written in the words of OpenAI's strict mode; a shape that has none there says so.
https://platform.openai.com/docs/guides/structured-outputs
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

# What the unions of one reading made of their lists and objects, by the identity of these.
Outcomes = dict[tuple["Either", int], Any]

_LONGEST_LIST = 200
_LONGEST_NAME = 64

_KINDS = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "list",
    dict: "object",
}
CHOICE_TYPES = {str: "string", int: "integer", bool: "boolean", type(None): "null"}


class Misfit(Exception):
    """A value that its shape does not take. `path` grows from the inside out.

    It never holds the value: that may be private.
    """

    def __init__(self, text: str, *path: str | int | None, cause: Exception | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.path = list(path)
        self.cause = cause

    def __str__(self) -> str:
        place = path_text(reversed(self.path))
        return f"{place}: {self.text}" if place else self.text

    def again(self) -> Misfit:
        """The same, to be raised at another time."""
        return Misfit(self.text, *self.path, cause=self.cause)


class Definitions:
    """What a schema keeps under `$defs`, and whether all of it fits strict mode."""

    def __init__(self) -> None:
        self.is_strict = True
        self.written: dict[str, Schema] = {}
        self._names: dict[Object, str] = {}

    def reference(self, shape: Object) -> Schema:
        """A reference to the object's definition, which is written at the first of them."""
        if shape not in self._names:
            self._names[shape] = name = self._free_name(shape.name)
            self.written[name] = {}
            self.written[name] = shape.definition(self)
        return {"$ref": f"#/$defs/{self._names[shape]}"}

    def _free_name(self, wanted: str) -> str:
        name, count = schema_name(wanted), 1
        while name in self.written:
            count += 1
            name = f"{schema_name(wanted)[:_LONGEST_NAME - 8]}_{count}"
        return name


class Shape(ABC):
    """What values of one type look like in JSON."""

    expected: str
    # The kinds of JSON values that it takes some of.
    takes: tuple[str, ...] = ()
    is_hashable: bool = True
    # Whether a union tries it before the others: it takes a few values only.
    goes_first: bool = False

    @abstractmethod
    def schema(self, definitions: Definitions) -> Schema:
        """Its JSON schema."""

    @abstractmethod
    def read(self, value: Any, outcomes: Outcomes) -> Any:
        """The Python value. outcomes: empty at first. Raises Misfit."""

    def wrong(self, value: Any) -> Misfit:
        """What to say of a value that is none of its own."""
        kind = _KINDS[type(value)]
        article = "another" if kind in self.takes else "an" if kind == "object" else "a"
        got = kind if kind == "null" else f"{article} {kind}"
        return Misfit(f"expected {self.expected}, not {got}")


class Anything(Shape):
    """Any JSON value, taken as it is."""

    expected = "any value"

    def schema(self, definitions: Definitions) -> Schema:
        definitions.is_strict = False
        return {}

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        return value


class Plain(Shape):
    """A value without parts; `convert` raises ValueError or ArithmeticError for any other."""

    def __init__(self, expected: str, said: Schema, convert: Callable[[Any], Any]) -> None:
        self.expected = expected
        self.takes = ("number",) if said["type"] == "integer" else (said["type"],)
        self.goes_first = said["type"] == "null"
        self._said = said
        self._convert = convert

    def schema(self, definitions: Definitions) -> Schema:
        return dict(self._said)

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        try:
            return self._convert(value)
        except (ValueError, ArithmeticError):
            # Python's own words quote the value.
            raise self.wrong(value) from None


class Choice(Shape):
    """One of a few values. choices: each JSON value and what it stands for."""

    def __init__(self, choices: Sequence[tuple[Any, Any]], goes_first: bool = False) -> None:
        self._said = [said for said, _ in choices]
        self._meant = {self._key(said): meant for said, meant in choices}
        self.goes_first = goes_first
        self.takes = tuple(_KINDS[type(said)] for said in self._said)
        listed = ", ".join(json.dumps(said, ensure_ascii=False) for said in self._said)
        is_short = len(listed) <= _LONGEST_LIST
        self.expected = f"one of {listed if is_short else f'{len(choices)} known values'}"

    def schema(self, definitions: Definitions) -> Schema:
        kinds = list(dict.fromkeys(CHOICE_TYPES[type(said)] for said in self._said))
        return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(self._said)}

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        if isinstance(value, (list, dict)) or self._key(value) not in self._meant:
            raise self.wrong(value)
        return self._meant[self._key(value)]

    @staticmethod
    def _key(value: Any) -> tuple[bool, Any]:
        # To a dict of Python's, True is the key 1.
        return isinstance(value, bool), value


class Items(Shape):
    """A list of any length, made into what `build` makes of it."""

    expected = "a list"

    def __init__(self, item: Shape, build: Callable[[list[Any]], Any]) -> None:
        self._item = item
        self._build = build
        self.is_hashable = build is frozenset or (build is tuple and item.is_hashable)

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "array", "items": self._item.schema(definitions)}

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        if not isinstance(value, list):
            raise self.wrong(value)
        items = [_read_at(place, self._item, item, outcomes) for place, item in enumerate(value)]
        try:
            return self._build(items)
        except TypeError as exc:
            raise Misfit("its items cannot be in a set", cause=exc) from exc


class Fixed(Shape):
    """A tuple of so many items, each with a shape of its own."""

    takes = ("list",)

    def __init__(self, items: Sequence[Shape]) -> None:
        self._items = items
        self.expected = f"a list of {len(items)}"
        self.is_hashable = all(item.is_hashable for item in items)

    def schema(self, definitions: Definitions) -> Schema:
        said = [item.schema(definitions) for item in self._items]
        length = {"minItems": len(said), "maxItems": len(said)}
        if all(one == said[0] for one in said):
            return {"type": "array", "items": said[0], **length}
        # Strict mode knows no prefixItems and refuses a list without items.
        definitions.is_strict = False
        return {"type": "array", "prefixItems": said, **length}

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        if not isinstance(value, list) or len(value) != len(self._items):
            raise self.wrong(value)
        pairs = enumerate(zip(self._items, value, strict=True))
        return tuple(_read_at(place, item, one, outcomes) for place, (item, one) in pairs)


class Map(Shape):
    """An object with keys of its own and values of one shape."""

    expected = "an object"
    is_hashable = False

    def __init__(self, item: Shape) -> None:
        self._item = item

    def schema(self, definitions: Definitions) -> Schema:
        definitions.is_strict = False
        return {"type": "object", "additionalProperties": self._item.schema(definitions)}

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        if not isinstance(value, dict):
            raise self.wrong(value)
        # A key is as private as a value: the path does not name it.
        return {key: _read_at(None, self._item, item, outcomes) for key, item in value.items()}


class Either(Shape):
    """A union: the first of its shapes that takes the value, literals and null before others."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = shapes
        self._tried = sorted(shapes, key=lambda shape: not shape.goes_first)
        self.expected = " or ".join(dict.fromkeys(shape.expected for shape in shapes))
        self.takes = tuple(kind for shape in shapes for kind in shape.takes)
        self.is_hashable = all(shape.is_hashable for shape in shapes)

    def schema(self, definitions: Definitions) -> Schema:
        said: list[Schema] = []
        for shape in self._shapes:
            one = shape.schema(definitions)
            said += [one] if one not in said else []
        return {"anyOf": said}

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        if not isinstance(value, (list, dict)):
            return self._first(value, outcomes)
        # Each shape of a union reads the unions inside again, and their shapes those inside them.
        key = (self, id(value))
        if key not in outcomes:
            try:
                outcomes[key] = self._first(value, outcomes)
            except Misfit as misfit:
                outcomes[key] = misfit.again()
        outcome = outcomes[key]
        if isinstance(outcome, Misfit):
            raise outcome.again()
        return outcome

    def _first(self, value: Any, outcomes: Outcomes) -> Any:
        misfits = []
        for shape in self._tried:
            try:
                return shape.read(value, outcomes)
            except Misfit as misfit:
                misfits.append(misfit)
        # The shape that came furthest is the one that was meant.
        furthest = max(misfits, key=_distance)
        raise furthest if _distance(furthest) > (0, False) else self.wrong(value)


class Described(Shape):
    """A shape with words about it."""

    def __init__(self, shape: Shape, text: str) -> None:
        self._shape = shape
        self._text = text
        self.expected = shape.expected
        self.takes = shape.takes
        self.is_hashable = shape.is_hashable
        self.goes_first = shape.goes_first

    def schema(self, definitions: Definitions) -> Schema:
        return describe(self._shape.schema(definitions), self._text)

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        return self._shape.read(value, outcomes)


@dataclass(frozen=True)
class Member:
    """A field of an object."""

    shape: Shape
    is_required: bool


class Object(Shape):
    """An object with known fields. Its members are filled in later: classes name each other.

    make: what is called with the fields that are there, by name.
    """

    expected = "an object"

    def __init__(
        self, name: str, make: Callable[..., Any], description: str, is_hashable: bool
    ) -> None:
        self.name = name
        self.is_hashable = is_hashable
        self.members: dict[str, Member] = {}
        self._make = make
        self._description = description

    def schema(self, definitions: Definitions) -> Schema:
        return definitions.reference(self)

    def definition(self, definitions: Definitions) -> Schema:
        """The schema itself; strict mode wants every property required and no others."""
        said = {name: member.shape.schema(definitions) for name, member in self.members.items()}
        closed = {"required": list(said), "additionalProperties": False}
        return describe({"type": "object", "properties": said, **closed}, self._description)

    def root(self, definitions: Definitions) -> Schema:
        """The whole schema: strict mode wants an object at the root, not a reference to one."""
        written = self.definition(definitions)
        return {**written, "$defs": definitions.written} if definitions.written else written

    def read(self, value: Any, outcomes: Outcomes) -> Any:
        if not isinstance(value, dict):
            raise self.wrong(value)
        values = {}
        for name, member in self.members.items():
            if name in value:
                values[name] = _read_at(name, member.shape, value[name], outcomes)
            elif member.is_required:
                raise Misfit("the field is missing", name)
        try:
            return self._make(**values)
        except (ValueError, TypeError) as exc:
            # Its own words may quote a value.
            text = f"{self.name} refuses these values ({type(exc).__name__})"
            raise Misfit(text, cause=exc) from exc


def describe(said: Schema, text: str) -> Schema:
    """The schema with a description, which strict mode does not want beside a `$ref`."""
    if not text:
        return said
    return {**({"anyOf": [said]} if "$ref" in said else said), "description": text}


def schema_name(name: str) -> str:
    """The name in the letters that OpenAI takes."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_LONGEST_NAME] or "_"


def path_text(path: Iterable[str | int | None]) -> str:
    """A place as people write it: items[2].price; None is a key that is not named."""
    places = (f".{p}" if isinstance(p, str) else f"[{'*' if p is None else p}]" for p in path)
    return "".join(places).removeprefix(".")


def _read_at(place: str | int | None, shape: Shape, value: Any, outcomes: Outcomes) -> Any:
    try:
        return shape.read(value, outcomes)
    except Misfit as misfit:
        misfit.path.append(place)
        raise


def _distance(misfit: Misfit) -> tuple[int, bool]:
    return len(misfit.path), misfit.cause is not None
