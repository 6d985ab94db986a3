"""What users read in their editor: every public thing says what it is."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import chatserver_sdk
from chatserver_sdk import models, testing

PACKAGES = [chatserver_sdk, models, testing]
PUBLIC = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in PACKAGES
    for name in package.__all__
}
MODELS = {
    name: kind
    for name, kind in PUBLIC.items()
    if dataclasses.is_dataclass(kind) and name.startswith("chatserver_sdk.models.")
}


@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS)
def test_a_model_names_each_of_its_fields(kind: Any) -> None:
    """Its docstring is the documentation of its fields."""
    named = set(re.findall(r"\w+", inspect.getdoc(kind) or ""))
    assert {field.name for field in dataclasses.fields(kind)} <= named


def methods(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class of ours defines."""
    for name, value in vars(kind).items():
        function = value.fget if isinstance(value, property) else inspect.unwrap(value, stop=None)
        function = getattr(function, "__func__", function)
        if name[0] != "_" and inspect.isfunction(function):
            yield name, function


DOCUMENTED = {name: value for name, value in PUBLIC.items() if callable(value)}


@pytest.mark.parametrize("value", DOCUMENTED.values(), ids=DOCUMENTED)
def test_everything_public_has_a_docstring(value: Any) -> None:
    """Classes, their methods and functions; dataclasses' own list of fields is none."""
    doc = value.__doc__ or ""
    assert doc and not doc.startswith(f"{getattr(value, '__name__', '')}(")
    if inspect.isclass(value) and value.__module__.startswith("chatserver_sdk"):
        for name, method in methods(value):
            assert method.__doc__, f"{value.__name__}.{name}"
