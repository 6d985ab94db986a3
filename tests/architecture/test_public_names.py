"""What the packages export: sorted, complete, and the same to Python and to a type checker."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

import chatserver_sdk
from chatserver_sdk import exceptions, models, testing

PACKAGES = [chatserver_sdk, models, testing]
each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)

# chatserver-sdk.md names them; programs written by it import them from the root.
DOCUMENTED = """ChatServerClient Message MessageRole ChatCompletionRequest ChatCompletionResponse
ChatCompletionChoice UsageInfo ModelInfo ModelsResponse ChatSessionSummary ChatMessageRecord
ChatSessionListResponse ChatSessionDetailResponse PlatformStats AdminResponse AuditEntry
AuditLogResponse ChatServerError BadRequestError UnauthorizedError ForbiddenError NotFoundError
InternalServerError""".split()


def names_for_type_checkers(package: ModuleType) -> Iterator[tuple[str, str]]:
    """What a package imports where only type checkers look: each name and its module."""
    for node in ast.parse(inspect.getsource(package)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom) and statement.level == 1
                for alias in statement.names:
                    assert alias.asname == alias.name, "only `X as X` is exported to mypy"
                    yield alias.name, f"{package.__name__}.{statement.module}"


@each_package
def test_exports_are_sorted_and_once(package: ModuleType) -> None:
    """__all__ is a list to read, and dir() shows it."""
    assert package.__all__ == sorted(set(package.__all__))
    assert dir(package) == package.__all__


@each_package
def test_type_checkers_see_what_python_gives(package: ModuleType) -> None:
    """The names in the TYPE_CHECKING block are those of the lazy table, from the same modules."""
    seen = dict(names_for_type_checkers(package))
    assert set(seen) == set(package.__all__) - {"__version__"}
    for name, module in seen.items():
        assert getattr(package, name) is getattr(import_module(module), name)


@each_package
def test_a_wrong_name_is_an_attribute_error(package: ModuleType) -> None:
    """With the name of the package, as Python says it."""
    with pytest.raises(AttributeError, match=f"^module '{package.__name__}' has no attribute 'x'"):
        package.x


@each_package
def test_a_star_imports_them_all(package: ModuleType) -> None:
    """Whoever likes that."""
    namespace: dict[str, object] = {}
    exec(f"from {package.__name__} import *", namespace)
    assert set(package.__all__) <= set(namespace)


def test_every_exception_is_exported() -> None:
    """The exceptions' module lists all that are public, and the root gives them all."""
    public = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__ and name[0] != "_"
    }
    assert exceptions.__all__ == sorted(public)
    assert public <= set(chatserver_sdk.__all__)


def test_every_documented_name_is_in_the_root() -> None:
    """`from chatserver_sdk import X` works for each of them."""
    assert set(DOCUMENTED) <= set(chatserver_sdk.__all__)


def test_the_version() -> None:
    """The root has it."""
    assert chatserver_sdk.__version__.count(".") == 2
