"""What documents name is there: routes, events, the client's methods with their arguments."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from chatserver_sdk import ChatServerClient
from chatserver_sdk._wire.session_chat import Heading, event_bodies
from chatserver_sdk.models import ChatMessageRecord, UsageInfo
from chatserver_sdk.models.events import Event, MessageStored
from chatserver_sdk.server import Settings, create_app
from chatserver_sdk.storage import open_store

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = (ROOT / "examples" / "operating" / "README.md").read_text("utf-8")

_METHOD = "(?:GET|POST|PATCH|DELETE)"


def documented_routes() -> list[tuple[str, str]]:
    """Methods and paths, as in `GET /v1/models`; of several with one path, each."""
    found = re.findall(rf"({_METHOD}(?:`, `{_METHOD})*) (/[^`?\s]*)", README + GUIDE)
    return sorted({(one, path) for methods, path in found for one in methods.split("`, `")})


def documented_calls() -> list[tuple[str, str]]:
    """Names and arguments in the headings of the client's reference."""
    headings = re.findall(r"(?m)^#### (`\w.*)$", README)
    return [call for each in headings for call in re.findall(r"`(\w+)\((.*?)\)`", each)]


def names_of_events() -> set[str]:
    """What events are called on the wire, and what stands behind the last."""
    heading = Heading("t", "s", "m")
    bodies = [body for kind in Event.__subclasses__() for body in event_bodies(heading, _one(kind))]
    return {body["type"] for body in bodies}


def _one(kind: type[Event]) -> Event:
    if kind is MessageStored:
        now = datetime.now(timezone.utc)
        return MessageStored(ChatMessageRecord("i", 0, "user", created_at=now))
    needed = [
        name
        for name, each in inspect.signature(kind).parameters.items()
        if each.default is inspect.Parameter.empty
    ]
    return kind(**{name: UsageInfo() if name == "usage" else "x" for name in needed})


def _template(path: str) -> str:
    return re.sub(r"\{.*?\}", "{}", path)


@pytest.mark.parametrize(("method", "path"), documented_routes())
def test_a_route_is_there(method: str, path: str) -> None:
    """With this method."""
    store = open_store(":memory:")
    doors = {(door.method, _template(door.path)) for door in create_app(store, Settings()).doors}
    store.close()
    assert (method, _template(path)) in doors


def test_the_table_of_events() -> None:
    """It has them all, and no other."""
    table = README.partition("| event | what it says |")[2].partition("\n\n")[0]
    cells = re.findall(r"(?m)^\| (`.*?) \|", table)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == names_of_events()


@pytest.mark.parametrize(("name", "arguments"), documented_calls())
def test_a_call_is_as_the_reference_says(name: str, arguments: str) -> None:
    """Each argument has its place and its default; `...` is any others."""
    target = ChatServerClient if name == "ChatServerClient" else getattr(ChatServerClient, name)
    actual = inspect.signature(target).parameters
    written = ast.parse(f"def f({arguments.replace(', ...', '')}): ...").body[0]
    assert isinstance(written, ast.FunctionDef)
    placed = [each.arg for each in written.args.args]
    assert [each for each in actual if each != "self"][: len(placed)] == placed
    defaults = dict(zip(reversed(placed), reversed(written.args.defaults)))
    keywords = zip((each.arg for each in written.args.kwonlyargs), written.args.kw_defaults)
    for argument, default in [*defaults.items(), *keywords]:
        expected = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        assert actual[argument].default == expected, argument


def test_every_call_is_in_the_reference() -> None:
    """What the client can do and nobody reads of is not done."""
    public = {name for name, _ in inspect.getmembers(ChatServerClient, inspect.isfunction)}
    assert {name for name in public if name[0] != "_"} - {"with_options"} <= {
        name for name, _ in documented_calls()
    }
