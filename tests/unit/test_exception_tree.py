"""What a caller may catch: the drawn tree is the real one, and everything pickles and copies."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest

from chatserver_sdk import exceptions
from chatserver_sdk.exceptions import (
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ChatServerError,
    RawResponse,
    StreamError,
    StreamFailedError,
    class_for_status,
    class_for_stream_status,
)


def subclasses(kind: type[ChatServerError]) -> Iterator[type[ChatServerError]]:
    """The class and all below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


EVERY_CLASS = sorted(
    {kind for kind in subclasses(ChatServerError) if kind.__module__ == exceptions.__name__},
    key=lambda kind: kind.__name__,
)
each_class = pytest.mark.parametrize("kind", EVERY_CLASS, ids=lambda kind: kind.__name__)

DRAWN = re.compile(r"^(?P<branches>[│ ]*(?:[├└]─ ))?(?P<name>[A-Z]\w+Error)\b(?P<note>.*)")


def drawn_tree() -> dict[str, tuple[str | None, str]]:
    """The names in the module's docstring, each with the one above it and its note."""
    above: list[str] = []
    tree: dict[str, tuple[str | None, str]] = {}
    for line in (exceptions.__doc__ or "").splitlines():
        if found := DRAWN.match(line):
            depth = len(found["branches"] or "") // 4 + bool(found["branches"])
            del above[depth:]
            tree[found["name"]] = (above[-1] if above else None, found["note"])
            above.append(found["name"])
    return tree


def test_the_drawn_tree_is_the_real_one() -> None:
    """Every public class stands in the docstring, under the class that it extends."""
    public = [kind for kind in EVERY_CLASS if not kind.__name__.startswith("_")]
    tree = drawn_tree()

    assert set(tree) == {kind.__name__ for kind in public}
    for kind in public:
        parent = kind.__bases__[0].__name__ if kind is not ChatServerError else None
        assert tree[kind.__name__][0] == parent, kind


def test_what_a_class_also_is() -> None:
    """The notes of the drawing, such as `also ValueError` and the statuses, are true."""
    noted = 0
    for name, (_, note) in drawn_tree().items():
        kind = getattr(exceptions, name)
        for builtin in re.findall(r"also (\w+Error)", note):
            assert issubclass(kind, getattr(builtins, builtin))
            noted += 1
        for status in re.findall(r"\b[45]\d\d\b", note) if kind is not APIStatusError else ():
            assert class_for_status(int(status)) is kind
            noted += 1
    assert noted == 3 + 8  # ValueError, ConnectionError, TimeoutError; eight statuses


@pytest.mark.parametrize("status", range(400, 600))
def test_a_stream_error_is_also_the_class_of_its_status(status: int) -> None:
    """`except RateLimitError` catches a rate limit wherever the server says it."""
    kind = class_for_stream_status(status)
    assert issubclass(kind, StreamFailedError) and issubclass(kind, class_for_status(status))
    assert kind("x").status_code == class_for_status(status)("x").status_code


def example(kind: type[ChatServerError]) -> ChatServerError:
    """An exception of this class with everything in it that the class knows."""
    given: dict[str, Any] = {
        "status_code": 418,
        "response": RawResponse(418, {"X-Request-Id": "r1"}, b'{"a": 1}'),
    }
    if issubclass(kind, APITimeoutError):
        given["kind"] = "idle"
    if issubclass(kind, APIStatusError):
        given.update(code="c", type="t", param="p", errors=[{"loc": []}], request_id="r1")
        given.update(retry_after=1.5, body={"error": {"message": "no"}})
    if issubclass(kind, StreamError):
        given.update(partial="Hel", metadata={"id": "c1"})
    return kind("no such thing", **given)


@each_class
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_exception_pickles(kind: type[ChatServerError], protocol: int) -> None:
    """Worker pools send exceptions between processes; nothing may be lost on the way."""
    error = example(kind)
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert_same(twin, error)


@each_class
def test_every_exception_copies(kind: type[ChatServerError]) -> None:
    """copy and deepcopy keep every attribute as well."""
    error = example(kind)
    for twin in (copy.copy(error), copy.deepcopy(error)):
        assert_same(twin, error)


def assert_same(twin: ChatServerError, error: ChatServerError) -> None:
    """Two exceptions say the same."""
    assert type(twin) is type(error) and twin is not error
    assert (twin.args, vars(twin)) == (error.args, vars(error))
    assert (str(twin), repr(twin)) == (str(error), repr(error))


@each_class
def test_every_exception_takes_a_message_alone(kind: type[ChatServerError]) -> None:
    """The rest has defaults; the status is the class's own, None where there is none."""
    error = kind("no such thing")
    assert str(error) == error.message == "no such thing"
    assert error.response is None
    if kind not in (APIStatusError, StreamFailedError) and issubclass(kind, APIStatusError):
        expected = kind._status
        assert error.status_code == expected
    else:
        assert error.status_code is None
    with pytest.raises(ChatServerError):
        raise error


def test_the_first_three_arguments_have_places() -> None:
    """(message, status_code, response), as the exceptions of such clients have always had."""
    response = RawResponse(404)
    for kind in EVERY_CLASS:
        error = kind("m", 404, response)
        assert (error.message, error.status_code, error.response) == ("m", 404, response)
        assert str(error) == "m"


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, "the value is wrong"),
        ({"param": "model"}, "the value is wrong (field: model)"),
        ({"param": "value"}, "the value is wrong"),
        ({"request_id": "r1"}, "the value is wrong (request id: r1)"),
        (
            {"param": "model", "request_id": "r1"},
            "the value is wrong (field: model, request id: r1)",
        ),
        ({"code": "c", "type": "t", "body": {"secret": 1}}, "the value is wrong"),
    ],
)
def test_what_an_exception_says(details: dict[str, Any], text: str) -> None:
    """The server's words, the field at fault and the request id; nothing else."""
    assert str(BadRequestError("the value is wrong", **details)) == text


def test_what_the_server_answered() -> None:
    """An RawResponse gives the body as bytes, text and JSON, and does not show it."""
    response = RawResponse(400, {"A": "b"}, b'{"a": "\xc3\xa4"}')
    assert response.json() == {"a": "ä"} and response.text == '{"a": "ä"}'
    assert "content" not in repr(response)
    assert RawResponse(400, content=b"\xff").text == "\ufffd"
    with pytest.raises(ValueError):
        RawResponse(400).json()


def test_lists_and_dicts_of_an_exception_are_its_own() -> None:
    """What is handed to the constructor can be changed afterwards."""
    errors, metadata = [1], {"a": 1}
    failed = StreamFailedError("x", errors=errors, metadata=metadata)
    errors.append(2)
    metadata["b"] = 2
    assert (failed.errors, failed.metadata) == ([1], {"a": 1})
