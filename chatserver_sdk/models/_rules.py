"""Rules that are written beside a field and held at the server's door.

They speak pydantic's protocol for annotations (`__get_pydantic_core_schema__`, which
https://docs.pydantic.dev/latest/concepts/types describes) without importing it: the client has
the models and not pydantic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._base import Model
from ._plans import plan_of

Handler = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, both included."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Handler) -> dict[str, Any]:
        return {**handler(source), "ge": self.low, "le": self.high}


@dataclass(frozen=True)
class Length:
    """A text of so many characters, or a list of so many items."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Handler) -> dict[str, Any]:
        return {**handler(source), "min_length": self.low, "max_length": self.high}


@dataclass(frozen=True)
class Known:
    """A value that the enum lists; the others, which an OpenEnum would keep, are refused."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Handler) -> dict[str, Any]:
        listed = {"type": "literal", "expected": [member.value for member in source]}
        convert = {"type": "no-info", "function": source}
        return {"type": "function-after", "function": convert, "schema": listed}


@dataclass(frozen=True)
class Open:
    """A model whose unknown keys are kept, as `from_dict` keeps them, where they would be lost."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(source))
        arguments = {**schema["schema"], "extra_behavior": "allow"}
        # Without its name: under it there may be the same model with what is unknown left out.
        opened = {key: schema[key] for key in schema if key != "ref"} | {"schema": arguments}
        # Into its __dict__ in one piece: set one by one, a key named `raw` or `__class__` would
        # be no key but the attribute.
        opened["slots"] = False
        convert = {"type": "no-info", "function": _set_aside}
        return {"type": "function-after", "function": convert, "schema": opened}


def _set_aside(made: Model) -> Model:
    plan = plan_of(type(made))
    if len(made.__dict__) > len(plan.fields):
        plan.set_aside(made.__dict__)
    return made
