"""Answers as instances: the schema that asks for a class, and the text that becomes one."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import InitVar, dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import (
    Annotated,
    Any,
    Dict,
    Final,
    Generic,
    List,
    Literal,
    NewType,
    Optional,
    Tuple,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel
from typing_extensions import NotRequired, Required, TypeAliasType

from chatserver_sdk._wire.structured import read_instance, response_format_for
from chatserver_sdk.exceptions import BadRequestError, DecodeError

T = TypeVar("T")

UserId = NewType("UserId", str)
Price = TypeAliasType("Price", float)
# What `type Endless = list[Endless]` says in Python 3.12.
Endless = NewType("Endless", int)
setattr(Endless, "__supertype__", list[Endless])

SECRET = "s3cret"


class Color(Enum):
    """Text values, and one name more for one of them."""

    RED = "red"
    GREEN = "green"
    ROT = "red"


class Level(IntEnum):
    """Whole numbers."""

    LOW = 1
    HIGH = 2


class Mixed(Enum):
    """Both kinds of values."""

    ONE = 1
    TWO = "two"


Long = Enum("Long", {f"member_{i}": f"value number {i}" for i in range(40)})  # type: ignore[misc]
Empty = Enum("Empty", {})  # type: ignore[misc]
Odd = Enum("Odd", {"HALF": 0.5})


@dataclass(frozen=True)
class Point:
    """A place on
    a map.
    """

    x: int
    y: int = 0


@dataclass
class Item:
    price: float
    name: str = "?"


@dataclass
class Node:
    """A tree."""

    label: str
    children: list[Node] = field(default_factory=list)
    parent: Node | None = None


class Movie(TypedDict):
    title: str
    year: NotRequired[int]
    note: Annotated[NotRequired[str], "short"]


class Partial(Movie, total=False):
    stars: float
    seen: Required[bool]
    heard: Annotated[bool, "or not"]


@dataclass
class Left:
    kind: Literal["left"]
    size: int


@dataclass
class Right:
    kind: Literal["right"]
    size: str


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


def holder(hint: Any) -> type[Any]:
    """A dataclass whose only field `it` has this type."""
    return make_dataclass("Holder", [("it", hint)])


def schema_of(into: Any) -> dict[str, Any]:
    """The schema alone."""
    return dict(response_format_for(into)["json_schema"]["schema"])


def said(hint: Any) -> Any:
    """The schema of a field of this type."""
    return schema_of(holder(hint))["properties"]["it"]


def read(hint: Any, value: Any) -> Any:
    """What a field of this type becomes when the answer says this value."""
    return read_instance(holder(hint), json.dumps({"it": value})).it


def is_strict(into: Any) -> bool:
    """Whether strict mode is asked for."""
    return bool(response_format_for(into)["json_schema"]["strict"])


def problem(into: Any, text: str) -> str:
    """What the DecodeError for this text says."""
    with pytest.raises(DecodeError) as caught:
        read_instance(into, text)
    assert SECRET not in str(caught.value)
    return caught.value.message


def refusal(into: Any) -> str:
    """What the error for a class that cannot be asked for says."""
    with pytest.raises(BadRequestError) as caught:
        response_format_for(into)
    assert caught.value.param == "into"
    return caught.value.message


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and every schema in it."""
    yield schema
    for word in ("properties", "$defs"):
        for one in schema.get(word, {}).values():
            yield from parts(one)
    for one in [*schema.get("anyOf", []), *schema.get("prefixItems", [])]:
        yield from parts(one)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from parts(schema[word])


WORDS = set("type properties required additionalProperties items anyOf enum $ref $defs".split())
WORDS |= set("description title format pattern minItems maxItems minimum const".split())


def check(response_format: dict[str, Any]) -> None:
    """Everything that OpenAI's strict mode asks of a schema; less where it is not strict."""
    assert response_format["type"] == "json_schema"
    inner = response_format["json_schema"]
    assert inner.keys() == {"name", "schema", "strict"}
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", inner["name"])
    root = inner["schema"]
    assert root["type"] == "object"
    assert json.loads(json.dumps(root)) == root
    for one in parts(root):
        if "$ref" in one:
            assert one.keys() == {"$ref"}
            assert one["$ref"].removeprefix("#/$defs/") in root["$defs"]
        if "properties" in one:
            assert one["required"] == list(one["properties"])
            assert one["additionalProperties"] is False
        if inner["strict"]:
            assert one.keys() <= WORDS
            assert one.keys() & {"type", "anyOf", "$ref"}
            assert one.get("type") != "array" or "items" in one
            assert one.get("type") != "object" or "properties" in one


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
NULL = {"type": "null"}
STRINGS = {"type": "array", "items": STRING}
UUID_TEXT = "12345678-1234-5678-1234-567812345678"
NOON = datetime(2024, 2, 3, 12, tzinfo=timezone.utc)
HALF = datetime(2024, 2, 3, 12, 0, 0, 500_000)

# The type, its schema, and pairs of a JSON value and what it becomes.
FITS: list[tuple[Any, Any, list[tuple[Any, Any]]]] = [
    (str, STRING, [("a", "a"), ("", "")]),
    (int, INTEGER, [(3, 3), (3.0, 3), (2**70, 2**70)]),
    (float, NUMBER, [(1.5, 1.5), (3, 3.0)]),
    (bool, {"type": "boolean"}, [(True, True), (False, False)]),
    (None, NULL, [(None, None)]),
    (type(None), NULL, [(None, None)]),
    (Any, {}, [(None, None), ([1, {"a": 2}], [1, {"a": 2}])]),
    (object, {}, [("x", "x")]),
    (list[str], STRINGS, [([], []), (["a", "b"], ["a", "b"])]),
    (List[str], STRINGS, [(["a"], ["a"])]),
    (Sequence[str], STRINGS, [(["a"], ["a"])]),
    (Collection[str], STRINGS, [(["a"], ["a"])]),
    (list, {"type": "array", "items": {}}, [([1, "a"], [1, "a"])]),
    (tuple[str, ...], STRINGS, [(["a"], ("a",))]),
    (Tuple[str, ...], STRINGS, [(["a"], ("a",))]),
    (tuple, {"type": "array", "items": {}}, [([1], (1,))]),
    (
        tuple[int, int],
        {"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 2},
        [([1, 2], (1, 2))],
    ),
    (
        tuple[int, str],
        {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2},
        [([1, "a"], (1, "a"))],
    ),
    (set[str], STRINGS, [(["a", "b", "a"], {"a", "b"})]),
    (AbstractSet[str], STRINGS, [(["a"], {"a"})]),
    (frozenset[str], STRINGS, [(["a"], frozenset("a"))]),
    (set[tuple[int, ...]], {"type": "array", "items": {"type": "array", "items": INTEGER}}, []),
    (dict[str, int], {"type": "object", "additionalProperties": INTEGER}, [({"a": 1}, {"a": 1})]),
    (Dict[str, int], {"type": "object", "additionalProperties": INTEGER}, [({}, {})]),
    (dict[UserId, int], {"type": "object", "additionalProperties": INTEGER}, [({}, {})]),
    (Mapping[str, Any], {"type": "object", "additionalProperties": {}}, [({"a": []}, {"a": []})]),
    (dict, {"type": "object", "additionalProperties": {}}, [({"a": 1}, {"a": 1})]),
    (Optional[str], {"anyOf": [STRING, NULL]}, [("a", "a"), (None, None)]),
    (int | None, {"anyOf": [INTEGER, NULL]}, [(1, 1), (None, None)]),
    (Union[int, str], {"anyOf": [INTEGER, STRING]}, [(1, 1), ("1", "1")]),
    (list[str] | set[str], {"anyOf": [STRINGS]}, [(["a"], ["a"])]),
    (int | bool, {"anyOf": [INTEGER, {"type": "boolean"}]}, [(True, True), (1, 1)]),
    (
        str | Literal["a", 1],
        {"anyOf": [STRING, {"type": ["string", "integer"], "enum": ["a", 1]}]},
        [("a", "a"), ("b", "b"), (1, 1)],
    ),
    (Any | None, {"anyOf": [{}, NULL]}, [(None, None), (1, 1)]),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, [("b", "b")]),
    (Literal[Color.RED, Level.LOW], {"type": ["string", "integer"], "enum": ["red", 1]}, []),
    (Literal[Color.RED], {"type": "string", "enum": ["red"]}, [("red", Color.RED)]),
    (
        Literal[True, 2, None],
        {"type": ["boolean", "integer", "null"], "enum": [True, 2, None]},
        [(True, True), (2, 2), (2.0, 2), (None, None)],
    ),
    (Color, {"type": "string", "enum": ["red", "green"]}, [("red", Color.RED)]),
    (Level, {"type": "integer", "enum": [1, 2]}, [(2, Level.HIGH), (2.0, Level.HIGH)]),
    (Mixed, {"type": ["integer", "string"], "enum": [1, "two"]}, [("two", Mixed.TWO)]),
    (
        datetime,
        {"type": "string", "format": "date-time"},
        [
            ("2024-02-03T12:00:00Z", NOON),
            ("2024-02-03T12:00:00z", NOON),
            ("2024-02-03T14:00:00+02:00", NOON),
            ("2024-02-03T12:00:00.5", HALF),
            ("2024-02-03T12:00:00.5000001", HALF),
        ],
    ),
    (date, {"type": "string", "format": "date"}, [("2024-02-03", date(2024, 2, 3))]),
    (
        time,
        {"type": "string", "format": "time"},
        [("12:30:00", time(12, 30)), ("12:30:00.25Z", time(12, 30, 0, 250_000, timezone.utc))],
    ),
    (UUID, {"type": "string", "format": "uuid"}, [(UUID_TEXT, UUID(UUID_TEXT))]),
    (
        Decimal,
        {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
        [("-1.50", Decimal("-1.50")), ("1E-9", Decimal("1E-9"))],
    ),
    (UserId, STRING, [("u", "u")]),
    (Price, NUMBER, [(1, 1.0)]),
    (Final[int], INTEGER, [(1, 1)]),
    (Annotated[int, "how many", 5], {**INTEGER, "description": "how many"}, [(1, 1)]),
    (Annotated[int, [5]], INTEGER, [(1, 1)]),
    (
        list[Annotated[Optional[str], "x"]],
        {"type": "array", "items": {"anyOf": [STRING, NULL], "description": "x"}},
        [([None, "a"], [None, "a"])],
    ),
    (Point, {"$ref": "#/$defs/Point"}, [({"x": 1, "y": 2, "z": 3}, Point(1, 2))]),
    (set[Point], {"type": "array", "items": {"$ref": "#/$defs/Point"}}, []),
    (
        Annotated[Point, "where"],
        {"anyOf": [{"$ref": "#/$defs/Point"}], "description": "where"},
        [({"x": 1}, Point(1))],
    ),
    (
        Left | Right,
        {"anyOf": [{"$ref": "#/$defs/Left"}, {"$ref": "#/$defs/Right"}]},
        [({"kind": "right", "size": "a"}, Right("right", "a"))],
    ),
    (Movie, {"$ref": "#/$defs/Movie"}, [({"title": "M", "other": 1}, {"title": "M"})]),
]
each_type = pytest.mark.parametrize(
    ("hint", "schema", "pairs"), FITS, ids=[str(fit[0]) for fit in FITS]
)


@each_type
def test_every_type_has_its_schema(hint: Any, schema: Any, pairs: Any) -> None:
    """As it stands in the table, within a whole that strict mode takes."""
    assert said(hint) == schema
    check(response_format_for(holder(hint)))


@each_type
def test_every_type_reads_its_values(hint: Any, schema: Any, pairs: list[tuple[Any, Any]]) -> None:
    """Each becomes a value of the type itself, also where two types compare equal."""
    for value, expected in pairs:
        got = read(hint, value)
        assert (got, type(got)) == (expected, type(expected))


LOOSE = [Any, object, list, dict, dict[str, int], tuple[int, str], Any | None, tuple]


@each_type
def test_strict_mode_is_asked_for_where_it_can_say_the_type(
    hint: Any, schema: Any, pairs: Any
) -> None:
    """Free values, free keys and tuples of unlike items are what it cannot say."""
    loose = hint in LOOSE or "prefixItems" in schema or "additionalProperties" in schema
    assert is_strict(holder(hint)) is not loose


MISFITS: list[tuple[Any, Any, str]] = [
    (str, 1, "it: expected a string, not a number"),
    (str, None, "it: expected a string, not null"),
    (int, True, "it: expected a whole number, not a boolean"),
    (int, 1.5, "it: expected a whole number, not another number"),
    (int, SECRET, "it: expected a whole number, not a string"),
    (int, [], "it: expected a whole number, not a list"),
    (float, False, "it: expected a number, not a boolean"),
    (float, 10**400, "it: expected a number, not another number"),
    (float, {}, "it: expected a number, not an object"),
    (bool, 1, "it: expected a boolean, not a number"),
    (None, 0, "it: expected null, not a number"),
    (list[int], {}, "it: expected a list, not an object"),
    (list[int], [1, SECRET], "it[1]: expected a whole number, not a string"),
    (list[list[int]], [[], [1, None]], "it[1][1]: expected a whole number, not null"),
    (tuple[int, int], [1], "it: expected a list of 2, not another list"),
    (tuple[int, int], SECRET, "it: expected a list of 2, not a string"),
    (tuple[int, int], [1, SECRET], "it[1]: expected a whole number, not a string"),
    (set[Any], [[]], "it: its items cannot be in a set"),
    (dict[str, int], [], "it: expected an object, not a list"),
    (dict[str, int], {SECRET: None}, "it[*]: expected a whole number, not null"),
    (Optional[int], SECRET, "it: expected a whole number or null, not a string"),
    (Optional[str], 1, "it: expected a string or null, not a number"),
    (int | str, 1.5, "it: expected a whole number or a string, not another number"),
    (Optional[Item], {"price": SECRET}, "it.price: expected a number, not a string"),
    (list[Item], [{"price": 1}, {}], "it[1].price: the field is missing"),
    (Point, [], "it: expected an object, not a list"),
    (Left | Right, {"kind": "left", "size": SECRET}, "it.size: expected a whole number, not a"),
    (Literal["a", "b"], SECRET, 'it: expected one of "a", "b", not another string'),
    (Literal[1], True, "it: expected one of 1, not a boolean"),
    (Literal["a"], ["a"], 'it: expected one of "a", not a list'),
    (Color, SECRET, 'it: expected one of "red", "green", not another string'),
    (Color, {}, 'it: expected one of "red", "green", not an object'),
    (Long, SECRET, "it: expected one of 40 known values, not another string"),
    (datetime, SECRET, "it: expected a date and time in ISO 8601, not another string"),
    (datetime, 5, "it: expected a date and time in ISO 8601, not a number"),
    (date, "2024-02-03T00:00:00", "it: expected a date in ISO 8601, not another string"),
    (time, SECRET, "it: expected a time in ISO 8601, not another string"),
    (UUID, SECRET, "it: expected a UUID, not another string"),
    (Decimal, "NaN", "it: expected a decimal number in a string, not another string"),
    (Decimal, "1e9999999999999999999", "it: expected a decimal number in a string, not another"),
    (Decimal, 1.5, "it: expected a decimal number in a string, not a number"),
    (Movie, {}, "it.title: the field is missing"),
    (Even, {"number": 33333}, "it: Even refuses these values (ValueError)"),
    (Optional[Even], {"number": 33333}, "it: Even refuses these values (ValueError)"),
]


@pytest.mark.parametrize(("hint", "value", "words"), MISFITS, ids=[m[2] for m in MISFITS])
def test_what_does_not_fit_is_named_by_its_place(hint: Any, value: Any, words: str) -> None:
    """The sentence says where and what was expected, and never the value."""
    message = problem(holder(hint), json.dumps({"it": value}))
    assert message.startswith(f"the answer does not fit Holder: {words}")
    assert "33333" not in message


INEXPRESSIBLE: list[tuple[Any, str]] = [
    (Callable[[int], str], "Holder.it: collections.abc.Callable[[int], str] has no form in JSON"),
    (complex, "Holder.it: complex has no form in JSON"),
    (bytes, "Holder.it: bytes has no form in JSON"),
    (list[dict[str, bytes]], "Holder.it[][*]: bytes has no form"),
    (tuple[int, bytes], "Holder.it[1]: bytes has no form"),
    (Optional[bytes], "Holder.it: bytes has no form"),
    (T, "Holder.it: ~T has no form"),
    ([int], "Holder.it: [<class 'int'>] has no form"),
    (type[int], "Holder.it: type[int] has no form"),
    (Literal[b"a"], "Holder.it: typing.Literal[b'a'] has no form"),
    (dict[int, str], "Holder.it: dict[int, str] cannot be, the keys of JSON are strings"),
    (set[list[int]], "Holder.it: set[list[int]] cannot be, its items have no hash"),
    (frozenset[Optional[Item]], "Holder.it: frozenset[typing.Optional["),
    (set[tuple[int, dict[str, int]]], "Holder.it: set[tuple[int, dict[str, int]]] cannot be"),
    (set[Annotated[Movie, "x"]], "Holder.it: set["),
    (Empty, "Holder.it: the values of Empty must be strings or whole numbers"),
    (Odd, "Holder.it: the values of Odd must be strings or whole numbers"),
    (InitVar[int], "Holder.it: "),
    (Endless, "Holder holds a type that never ends"),
    ("Nowhere", "Holder: the annotations of Holder do not name types that can be found (name"),
    ("1 +", "Holder: the annotations of Holder do not name types"),
    (BaseModel, "Holder.it: BaseModel has no form in JSON"),
]


@pytest.mark.parametrize(("hint", "words"), INEXPRESSIBLE, ids=[i[1] for i in INEXPRESSIBLE])
def test_what_has_no_json_is_refused_before_anything_is_sent(hint: Any, words: str) -> None:
    """The sentence names the field and the type; reading says the same as asking."""
    into = holder(hint)
    assert refusal(into).startswith(words)
    with pytest.raises(BadRequestError, match=re.escape(words)):
        read_instance(into, "{}")


@pytest.mark.parametrize("into", [str, int, dict, Color, list, type(None), BadRequestError])
def test_only_classes_with_fields_can_be_asked_for(into: Any) -> None:
    """What a model answers is an object."""
    assert into.__name__ in refusal(into)


@pytest.mark.parametrize("into", [Point(41, 42), list[int], None, "Point", Optional[Point]])
def test_a_value_is_not_a_class(into: Any) -> None:
    """The sentence says what it is, and not what is in it."""
    message = refusal(into)
    assert message.startswith("into must be a")
    assert "41" not in message


def test_a_class_says_itself() -> None:
    """Its docstring, its fields' descriptions, all of its fields and no others."""

    @dataclass
    class City:
        """Where people live.

        Many of them.
        """

        name: Annotated[str, "overruled"] = field(metadata={"description": "as on signs"})
        centre: Point = field(default=Point(0), metadata={"description": ""})
        mayor: str = field(default="", metadata={"description": 5})
        size: int = field(init=False, default=5)

    response_format = response_format_for(City)
    check(response_format)
    assert response_format == {
        "type": "json_schema",
        "json_schema": {
            "name": "City",
            "strict": True,
            "schema": {
                "type": "object",
                "description": "Where people live.\n\nMany of them.",
                "properties": {
                    "name": {"type": "string", "description": "as on signs"},
                    "centre": {"$ref": "#/$defs/Point"},
                    "mayor": {"type": "string"},
                },
                "required": ["name", "centre", "mayor"],
                "additionalProperties": False,
                "$defs": {
                    "Point": {
                        "type": "object",
                        "description": "A place on\na map.",
                        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                        "required": ["x", "y"],
                        "additionalProperties": False,
                    }
                },
            },
        },
    }
    assert read_instance(City, '{"name": "Ulm", "size": 9}') == City("Ulm")


def test_a_generated_docstring_is_no_description() -> None:
    """dataclass writes the signature where there is none."""
    assert Item.__doc__ is not None
    assert "description" not in schema_of(Item)


def test_recursive_classes_refer_to_themselves() -> None:
    """The root is an object all the same, and a tree is read to its leaves."""
    schema = schema_of(Node)
    check(response_format_for(Node))
    assert schema["properties"]["children"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Node"},
    }
    assert {**schema, "$defs": None} == {**schema["$defs"]["Node"], "$defs": None}
    text = '{"label": "a", "children": [{"label": "b", "parent": {"label": "c"}}]}'
    assert read_instance(Node, text) == Node("a", [Node("b", [], Node("c"))])


def test_a_class_in_a_function_may_name_itself() -> None:
    """Its module does not know it."""

    @dataclass
    class Link:
        next: Link | None = None

    check(response_format_for(Link))
    assert read_instance(Link, '{"next": {"next": null}}') == Link(Link())


def test_classes_of_one_name_are_kept_apart() -> None:
    """Each has a definition of its own, with a name that OpenAI takes."""
    long = "Größe des Dings " * 9
    kinds = [make_dataclass(long, [("x", kind)]) for kind in (int, str, bool)]
    into = make_dataclass(long, [(f"f{i}", kind) for i, kind in enumerate(kinds)])
    check(response_format_for(into))
    names = list(schema_of(into)["$defs"])
    assert len(set(names)) == 3
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)


def test_typed_dicts_say_which_keys_they_need() -> None:
    """Also through inheritance, and where annotations are strings; models give them all."""
    check(response_format_for(Partial))
    assert schema_of(Partial)["required"] == ["title", "year", "note", "stars", "seen", "heard"]
    assert read_instance(Partial, '{"title": "M", "seen": true}') == {"title": "M", "seen": True}
    for missing, text in (("title", '{"seen": true}'), ("seen", '{"title": "M"}')):
        assert f"{missing}: the field is missing" in problem(Partial, text)


def test_a_response_format_belongs_to_its_caller() -> None:
    """Changing it changes no other; the work behind it is done once."""
    response_format_for(Point)["json_schema"]["schema"]["properties"].clear()
    assert list(schema_of(Point)["properties"]) == ["x", "y"]


FENCED = ["{}", " \n{}\t", "```json\n{}\n```", "```\n{}\n```\n", "```JSON {}```", "\ufeff{}"]


@pytest.mark.parametrize("frame", FENCED)
def test_a_fence_around_the_answer_is_no_part_of_it(frame: str) -> None:
    """Models put their JSON into Markdown, whatever they are asked for."""
    text = frame.replace("{}", '{"x": 1, "y": 2}')
    assert read_instance(Point, text) == Point(1, 2)
    assert read_instance(Flat, text) == Flat(x=1, y=2)


BROKEN = ["", "  ", SECRET, '{"x": 1', "```", "`````", "``````", "{'x': 1}"]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("kind", ["dataclass", "pydantic"])
def test_text_that_is_not_json_is_called_so(text: str, kind: str) -> None:
    """With its length, which tells a refusal in words from an answer that was cut."""
    into = Point if kind == "dataclass" else Flat
    expected = f"the answer is not JSON (its text has {len(text)} characters)"
    assert problem(into, text) == expected


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_json_is_none(constant: str) -> None:
    """These words are not in JSON's grammar."""
    assert "not JSON" in problem(holder(Any), f'{{"it": {constant}}}')


def test_numbers_too_large_for_a_float_are_none() -> None:
    """Python reads them as infinite."""
    assert "it: expected a number, not another" in problem(holder(float), '{"it": 1e999}')


@pytest.mark.parametrize("text", ["[" * 200_000, '{"it":' * 200_000])
@pytest.mark.parametrize("into", [holder(Any), Node], ids=["any", "tree"])
def test_absurd_nesting_is_an_error_like_others(into: type[Any], text: str) -> None:
    """Whether the JSON ends or not."""
    with pytest.raises(DecodeError):
        read_instance(into, text)


def test_a_tree_that_is_too_deep_is_an_error_like_others() -> None:
    """JSON that can still be decoded, and reading it cannot go as deep."""
    depth = 450
    text = '{"label": "", "children": [' * depth + "]}" * depth
    assert problem(Node, text) == "the answer does not fit Node: it is nested too deeply"


@dataclass
class Ping:
    inner: Ping | Pong | None
    ping: int


@dataclass
class Pong:
    inner: Ping | Pong | None
    pong: int


def test_unions_in_unions_are_read_once() -> None:
    """Two ways at each of sixty levels would be more than anybody can wait for."""
    text = '{"inner": ' * 60 + "null" + "}" * 60
    path = "inner." * 59 + "ping: the field is missing"
    assert problem(Ping, text) == f"the answer does not fit Ping: {path}"
    whole = '{"pong": 1, "inner": ' * 60 + "null" + "}" * 60
    tower = read_instance(Pong, whole)
    for _ in range(59):
        assert isinstance(tower.inner, Pong)
        tower = tower.inner
    assert tower == Pong(None, 1)


def test_the_cause_is_kept() -> None:
    """A class's own refusal can be read there, and JSON's place of the fault."""
    with pytest.raises(DecodeError) as caught:
        read_instance(Even, '{"number": 3}')
    expected = "the answer does not fit Even: Even refuses these values (ValueError)"
    assert caught.value.message == expected
    assert str(caught.value.__cause__) == "3 is odd"
    with pytest.raises(DecodeError) as caught:
        read_instance(Even, "{")
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_what_the_class_does_wrong_itself_comes_through() -> None:
    """A defect of its own is not a defect of the answer."""

    @dataclass
    class Broken:
        x: int

        def __post_init__(self) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        read_instance(Broken, '{"x": 1}')


@dataclass
class Rich:
    """A field of every kind."""

    text: str
    count: int
    ratio: float
    flag: bool
    nothing: None
    maybe: Optional[int]
    several: int | bool | str | None
    color: Color
    level: Level
    mode: Literal["a", 1, True]
    moment: datetime
    day: date
    hour: time
    identity: UUID
    amount: Decimal
    points: list[Point]
    corner: tuple[Point, str]
    path: tuple[float, ...]
    tags: set[str]
    places: frozenset[Point]
    prices: dict[str, Optional[Decimal]]
    film: Movie
    side: Left | Right
    tree: Node


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
OFFSETS = st.integers(-1400, 1400).map(lambda minutes: timezone(timedelta(minutes=minutes)))
POINTS = st.builds(Point, st.integers(), st.integers())
TREES = st.recursive(
    st.builds(Node, TEXTS),
    lambda inner: st.builds(Node, TEXTS, st.lists(inner, max_size=2), st.none() | inner),
    max_leaves=4,
)
RICH = st.builds(
    Rich,
    text=TEXTS,
    ratio=FLOATS,
    several=st.one_of(st.integers(), st.booleans(), TEXTS, st.none()),
    moment=st.datetimes(timezones=st.none() | OFFSETS),
    hour=st.times(timezones=st.none() | OFFSETS),
    amount=DECIMALS,
    points=st.lists(POINTS, max_size=2),
    corner=st.tuples(POINTS, TEXTS),
    path=st.lists(FLOATS, max_size=2).map(tuple),
    tags=st.sets(TEXTS, max_size=2),
    places=st.frozensets(POINTS, max_size=2),
    prices=st.dictionaries(TEXTS, st.none() | DECIMALS, max_size=2),
    film=st.fixed_dictionaries({"title": TEXTS}, optional={"year": st.integers(), "note": TEXTS}),
    side=st.builds(Left, st.just("left")) | st.builds(Right, st.just("right"), TEXTS),
    tree=TREES,
)


def written(value: Any) -> Any:
    """The JSON that says a value, written as anybody would."""
    if dataclasses.is_dataclass(value):
        return {f.name: written(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [written(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, (UUID, Decimal)) else value


@given(RICH)
def test_what_is_written_is_read_again(instance: Rich) -> None:
    """Any instance, through its JSON, is itself again."""
    assert read_instance(Rich, json.dumps(written(instance))) == instance


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["label", "children", "parent"]), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_an_instance_or_a_decode_error(value: Any) -> None:
    """Nothing else is ever raised."""
    try:
        assert isinstance(read_instance(Node, json.dumps(value)), Node)
    except DecodeError as exc:
        assert exc.message.startswith("the answer ")


@given(TEXTS)
def test_any_text_is_an_instance_or_a_decode_error(text: str) -> None:
    """The same for text that is hardly ever JSON."""
    with pytest.raises(DecodeError):
        read_instance(Node, text)


class Flat(BaseModel):
    """A point of pydantic's."""

    x: int
    y: int = 5


class Shop(BaseModel):
    """Many things of pydantic's."""

    main: Flat = Field(description="the first", examples=[1])
    others: list[Flat] = []
    color: Color = Color.RED
    label: str = Field(default="", alias="the-label")
    price: float = Field(default=1, ge=0)
    side: Optional[Flat] = None
    either: Annotated[Union[Cat, Dog], Field(discriminator="kind")]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Tree(BaseModel):
    """A tree of pydantic's."""

    children: list[Tree] = []
    scores: list[int] = []


class Bare(BaseModel):
    """A model without fields."""


def one_field(hint: Any, **options: Any) -> type[BaseModel]:
    """A pydantic model whose only field `it` has this type."""
    config: Any = {"arbitrary_types_allowed": True, **options}
    return pydantic.create_model("Model", __config__=config, it=(hint, ...))


@pytest.mark.parametrize("into", [Flat, Shop, Tree, Bare, one_field(int, extra="forbid")])
def test_pydantic_models_are_said_strictly(into: type[BaseModel]) -> None:
    """Every field is required, nothing else may be there, no default is told."""
    response_format = response_format_for(into)
    check(response_format)
    assert response_format["json_schema"]["strict"] is True
    words = response_format["json_schema"]["schema"].get("description")
    assert words == into.__doc__


LOOSE_MODELS = {
    "any": one_field(Any),
    "dict": one_field(dict[str, int]),
    "free dict": one_field(dict[str, Any]),
    "list": one_field(list),
    "tuple": one_field(tuple[int, Flat]),
    "set": one_field(set[int]),
    "format": one_field(pydantic.AnyUrl),
    "look-ahead": one_field(Annotated[str, Field(json_schema_extra={"pattern": "^(?!a)"})]),
    "unknown word": one_field(Annotated[str, Field(json_schema_extra={"secret": {"a": 1}})]),
    "extra fields": one_field(int, extra="allow"),
}


@pytest.mark.parametrize("into", LOOSE_MODELS.values(), ids=LOOSE_MODELS)
def test_pydantic_models_beyond_strict_mode_are_not_strict(into: type[BaseModel]) -> None:
    """The schema is sent all the same."""
    assert is_strict(into) is False
    assert list(schema_of(into)["properties"]) == ["it"]


def test_pydantic_reads_its_own_models() -> None:
    """Defaults, aliases and nested models are its business."""
    text = '{"main": {"x": 1}, "the-label": "L", "either": {"kind": "dog"}, "more": 1}'
    shop = read_instance(Shop, text)
    assert (shop.main, shop.label, shop.either) == (Flat(x=1), "L", Dog(kind="dog"))


class Picky(BaseModel):
    """A model with a rule over all of its fields."""

    x: int

    @pydantic.model_validator(mode="after")
    def refuse(self) -> Picky:
        """Take nothing."""
        if self.x == 0:
            raise TypeError(SECRET)
        raise ValueError(SECRET)


PYDANTIC_MISFITS: list[tuple[Any, Any, str]] = [
    (Flat, {}, "Flat: x: the field is missing"),
    (Flat, {"x": SECRET, "y": SECRET}, "Flat: x: pydantic says int_parsing"),
    (Tree, {"children": [{}, {"scores": [1, SECRET]}]}, "Tree: children[1].scores[1]: pydantic"),
    (Shop, {"main": {"x": 1}, "either": {"kind": SECRET}}, "Shop: either: pydantic says union_tag"),
    (one_field(dict[str, int]), {"it": {SECRET: "a"}}, "Model: it[*]: pydantic says int_parsing"),
    (Flat, [], "Flat: pydantic says model_type"),
    (Picky, {"x": 1}, "Picky: pydantic says value_error"),
    (Picky, {"x": 0}, "Picky: the class refuses it (TypeError)"),
]


@pytest.mark.parametrize(("into", "value", "words"), PYDANTIC_MISFITS)
def test_what_pydantic_refuses_is_named_by_its_place(into: Any, value: Any, words: str) -> None:
    """In words that cannot hold the value; pydantic's own are the cause."""
    text = json.dumps(value)
    assert problem(into, text).startswith(f"the answer does not fit {words}")
    with pytest.raises(DecodeError) as caught:
        read_instance(into, text)
    assert isinstance(caught.value.__cause__, (pydantic.ValidationError, TypeError))


def test_pydantic_models_must_be_objects_with_a_schema() -> None:
    """Neither a list at the root nor a type without JSON can be asked for."""
    assert "its JSON must be an object" in refusal(RootModel[list[int]])
    assert "pydantic has no JSON schema for it" in refusal(one_field(Callable[[], int]))


class Box(Generic[T]):
    """A class with methods and no fields."""


def test_a_generic_class_is_refused_by_its_name() -> None:
    """What its parameter stands for is not worked out."""
    assert "Box[int] has no form in JSON" in refusal(holder(Box[int]))
