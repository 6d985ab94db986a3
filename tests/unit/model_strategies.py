"""Hypothesis strategies for every model, drawn from the types of its fields."""

from __future__ import annotations

import dataclasses
import types
from datetime import datetime, timedelta, timezone
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from chatserver_sdk import models
from chatserver_sdk.models import Model, OpenEnum, events

MODELS: list[type[Any]] = [
    kind
    for kind in (getattr(models, name) for name in models.__all__)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
]
EVENTS: list[type[events.Event]] = events.Event.__subclasses__()

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# Free fields are passed on as they are: a few shapes will do, and are drawn much faster.
JSON: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1.5, 2**70, "", "täxt", [1, [None]], {"a": {"b": [{}]}}]
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "", "ä"]), JSON, max_size=2)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(timezones=OFFSETS)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    datetime: TIMES,
    type(None): st.none(),
    Any: JSON,
}


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Objects of a model, every field filled with what its type allows."""
    hints = get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if not _is_never_written(field)]
    return st.builds(kind, **{field.name: _values(field, hints[field.name]) for field in fields})


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as models use them."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of([of_type(arg) for arg in args])
    if origin is list:
        return st.lists(of_type(args[0]), max_size=2)
    if origin is dict:
        return OBJECTS
    if hint in _PLAIN:
        return _PLAIN[hint]
    if issubclass(hint, OpenEnum):
        return st.sampled_from(list(hint)) | TEXTS.map(hint)
    assert issubclass(hint, Model), hint
    return st.deferred(lambda: instances(hint))


def _values(field: dataclasses.Field[Any], hint: Any) -> st.SearchStrategy[Any]:
    omitted = "exclude" in field.metadata.get("dataclasses_json", {})
    if omitted and field.default is not None:
        # None is left out of the JSON there, and what is left out is read as the default.
        return st.one_of([of_type(arg) for arg in get_args(hint) if arg is not type(None)])
    return of_type(hint)


def _is_never_written(field: dataclasses.Field[Any]) -> bool:
    exclude = field.metadata.get("dataclasses_json", {}).get("exclude")
    return exclude is not None and exclude("anything")
