"""Answers as instances of a class: what asks for them, and how their text is read.

A class is a dataclass, a TypedDict or a pydantic model; pydantic is never imported, its models
are known by their methods.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

from chatserver_sdk.exceptions import BadRequestError, DecodeError

from .json_schema import Definitions, Misfit, Schema, describe, schema_name
from .json_types import shape_of

T = TypeVar("T")

_CLASSES_KEPT = 256

# What OpenAI's strict mode takes.
_STRICT_WORDS = frozenset(
    """type properties required additionalProperties items anyOf enum const $ref $defs title
    description pattern format minLength maxLength multipleOf minimum maximum exclusiveMinimum
    exclusiveMaximum minItems maxItems""".split()
)
_STRICT_FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())
_TYPE_WORDS = frozenset({"type", "anyOf", "enum", "const", "$ref"})


def response_format_for(into: type[Any]) -> dict[str, Any]:
    """The `response_format` that asks for JSON which fits the class; the caller's own copy.

    `strict` is False where the class holds what strict mode cannot say: dicts, Any, tuples of
    unlike items. Raises BadRequestError, with the field, for a type that has no form in JSON.
    """
    reader = _reader_for(into)
    return {
        "type": "json_schema",
        "json_schema": {
            "name": schema_name(into.__name__),
            "schema": copy.deepcopy(reader.schema),
            "strict": reader.is_strict,
        },
    }


def read_instance(into: type[T], text: str) -> T:
    """The instance that an answer's text says, with or without a fence around it.

    Unknown fields are ignored. Raises DecodeError with the place and never the value, and
    BadRequestError as `response_format_for` does.
    """
    return cast(T, _reader_for(into).read(text))


class _Reader(Protocol):
    """What is worked out once for a class."""

    schema: Schema
    is_strict: bool

    def read(self, text: str) -> Any:
        """The instance. Raises DecodeError."""


class _OwnReader:
    def __init__(self, into: type[Any]) -> None:
        definitions = Definitions()
        self._shape = shape_of(into)
        self.schema = self._shape.root(definitions)
        self.is_strict = definitions.is_strict

    def read(self, text: str) -> Any:
        try:
            return self._shape.read(_decode(text), {})
        except Misfit as exc:
            raise _misfit(self._shape.name, str(exc)) from exc.cause
        except RecursionError as exc:
            raise _misfit(self._shape.name, "it is nested too deeply") from exc


class _PydanticReader:
    def __init__(self, into: Any) -> None:
        try:
            said = into.model_json_schema()
        except (RuntimeError, NameError, TypeError, ValueError) as exc:
            text = f"{into.__name__}: pydantic has no JSON schema for it ({type(exc).__name__})"
            raise BadRequestError(text, param="into") from exc
        tightened = _Tightened(said)
        if tightened.schema.get("type") != "object":
            text = f"{into.__name__}: its JSON must be an object, for a model to be asked for it"
            raise BadRequestError(text, param="into")
        self.schema = tightened.schema
        self.is_strict = tightened.is_strict
        self._into = into
        self._names = frozenset(_names_in(said))

    def read(self, text: str) -> Any:
        try:
            return self._into.model_validate_json(_bare(text))
        except (ValueError, TypeError) as exc:
            raise self._problem(text, exc) from exc

    def _problem(self, text: str, exc: Exception) -> DecodeError:
        list_problems = getattr(exc, "errors", None)
        problems = list_problems() if callable(list_problems) else []
        if not problems:
            return _misfit(self._into.__name__, f"the class refuses it ({type(exc).__name__})")
        first = problems[0]
        if first["type"] == "json_invalid":
            return _not_json(text)
        # Pydantic's sentences may quote the value, and its places the keys of dicts.
        places = [p if isinstance(p, int) or p in self._names else None for p in first["loc"]]
        return _misfit(self._into.__name__, str(Misfit(_said(first["type"]), *places[::-1])))


class _Tightened:
    """Pydantic's schema in the words of strict mode."""

    def __init__(self, said: Schema) -> None:
        self.is_strict = True
        root = self._schema(said)
        definitions = root.get("$defs", {})
        # The root of a recursive model is a reference; strict mode wants the object itself.
        target = definitions.get(root.get("$ref", "").rpartition("/")[2], {})
        self.schema: Schema = {**target, "$defs": definitions} if target else root

    def _schema(self, said: Schema) -> Schema:
        if "$ref" in said and "$defs" not in said:
            return describe({"$ref": said["$ref"]}, said.get("description", ""))
        written = {
            ("anyOf" if word == "oneOf" else word): self._inside(word, value)
            for word, value in said.items()
            if word not in ("default", "discriminator", "examples")
        }
        if "properties" in written:
            written["required"] = list(written["properties"])
            written.setdefault("additionalProperties", False)
        self.is_strict = self.is_strict and _is_strict(written)
        return written

    def _inside(self, word: str, value: Any) -> Any:
        if word in ("properties", "$defs"):
            return {name: self._schema(one) for name, one in value.items()}
        if word in ("items", "additionalProperties") and isinstance(value, dict):
            return self._schema(value)
        if word in ("anyOf", "oneOf", "allOf", "prefixItems"):
            return [self._schema(one) for one in value]
        return value


def _is_strict(said: Schema) -> bool:
    """Whether strict mode takes the schema, its inner ones aside."""
    kind = said.get("type")
    return (
        said.keys() <= _STRICT_WORDS
        and not said.keys().isdisjoint(_TYPE_WORDS)
        and (kind != "object" or said.get("additionalProperties") is False)
        and (kind != "array" or "items" in said)
        and str(said.get("format", "date")) in _STRICT_FORMATS
        and "(?" not in str(said.get("pattern", ""))
    )


def _reader_for(into: Any) -> _Reader:
    if not isinstance(into, type):
        text = f"into must be a class and not a value (of the type {type(into).__name__})"
        raise BadRequestError(text, param="into")
    return _reader_of(into)


@lru_cache(maxsize=_CLASSES_KEPT)
def _reader_of(into: type[Any]) -> _Reader:
    is_pydantic = hasattr(into, "model_json_schema") and hasattr(into, "model_validate_json")
    return _PydanticReader(into) if is_pydantic else _OwnReader(into)


def _bare(text: str) -> str:
    """The text without white space and without the fence that models like to put around."""
    bare = text.strip(" \t\r\n\ufeff")
    if not (bare.startswith("```") and bare.endswith("```") and len(bare) >= 6):
        return bare
    return re.sub(r"\A\w*", "", bare[3:-3]).strip()


def _decode(text: str) -> Any:
    try:
        return json.loads(_bare(text), parse_constant=_refuse_constant)
    except ValueError as exc:
        raise _not_json(text) from exc


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _not_json(text: str) -> DecodeError:
    return DecodeError(f"the answer is not JSON (its text has {len(text)} characters)")


def _misfit(name: str, problem: str) -> DecodeError:
    return DecodeError(f"the answer does not fit {name}: {problem}")


def _said(problem: str) -> str:
    return "the field is missing" if problem == "missing" else f"pydantic says {problem}"


def _names_in(said: Any) -> Iterator[str]:
    """The names of every property in a schema."""
    inner = list(said.values()) if isinstance(said, Mapping) else said
    if isinstance(said, Mapping):
        yield from said.get("properties", {})
    for one in inner if isinstance(inner, list) else ():
        yield from _names_in(one)
