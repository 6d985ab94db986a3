"""Importing the package costs next to nothing, and the client never loads an extra."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loaded_by(program: str) -> set[str]:
    """The modules that this program loads in a fresh interpreter, beyond those of starting it."""
    lines = f"import sys\nbefore = set(sys.modules)\n{program}\nprint(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def foreign(modules: set[str]) -> set[str]:
    """The packages among them that are neither Python's nor ours."""
    packages = {module.partition(".")[0] for module in modules}
    return packages - set(sys.stdlib_module_names) - {"chatserver_sdk"}


def names_in(requirements: str) -> set[str]:
    """The distributions that lines of requirements name, our own left out."""
    lines = requirements.splitlines()
    names = {re.split(r"[\[<>=;\s]", line.strip(), maxsplit=1)[0].lower() for line in lines}
    return names - {"", "chatserver-sdk"}


def extras() -> set[str]:
    """The packages that setup.cfg's extras bring and the client does without."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    base = names_in(config["options"]["install_requires"])
    optional = {"pydantic", "pydantic-core", "starlette", "anyio"}
    for requirements in config["options.extras_require"].values():
        optional |= names_in(requirements) - base
    installed = packages_distributions()
    return {p for p, dists in installed.items() if optional & {d.lower() for d in dists}}


def test_importing_the_package_loads_nothing() -> None:
    """Not an extra, not even requests: three small modules of our own and Python's."""
    modules = loaded_by("import chatserver_sdk")
    assert foreign(modules) == set()
    ours = {module for module in modules if module.startswith("chatserver_sdk")}
    assert ours == {"chatserver_sdk", "chatserver_sdk._lazy", "chatserver_sdk._version"}


def test_catching_exceptions_loads_nothing() -> None:
    """A program that only catches what others raise needs no HTTP."""
    assert foreign(loaded_by("from chatserver_sdk.exceptions import NotFoundError")) == set()
    assert foreign(loaded_by("from chatserver_sdk import NotFoundError")) == set()


def test_making_a_client_leaves_the_models_alone() -> None:
    """marshmallow, which comes with the models, is half of what everything costs."""
    loaded = foreign(loaded_by("from chatserver_sdk import create_client; create_client()"))
    assert "requests" in loaded
    assert not loaded & {"dataclasses_json", "marshmallow", "dateutil", "sseclient"}


CALL = """
from chatserver_sdk import ChatServerClient, Message
with ChatServerClient(base_url="http://127.0.0.1:9", timeout=0.01) as client:
    for stream in (False, True):
        try:
            client.create_completion("m", "Hello", stream=stream)
        except Exception:
            pass
from chatserver_sdk import *
"""


@pytest.mark.parametrize("program", [CALL, "import chatserver_sdk.models.events"])
def test_the_client_loads_no_extra(program: str) -> None:
    """Whatever is done with it: it works where only the base dependencies are."""
    forbidden = extras()
    assert {"fastapi", "sqlalchemy", "click", "rich", "pydantic"} <= forbidden
    assert foreign(loaded_by(program)) & forbidden == set()


def test_the_wire_server_loads_nothing() -> None:
    """Python's own modules are enough for a server of raw bytes."""
    program = "from chatserver_sdk.testing import WireServer, delta\nWireServer().close()"
    assert foreign(loaded_by(program)) == set()
