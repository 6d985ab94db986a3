"""An environment of their own for other people's clients: their pins fight ours."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

_REQUIREMENTS = Path(__file__).parent / "requirements.txt"
_FOLDER = Path(__file__).parents[2] / ".venv-interop"
_STAMP = _FOLDER / "stamp"

# As it was before a test changed it: pip may need the proxies that the tests do without.
_ENVIRONMENT = dict(os.environ)


@pytest.fixture(scope="session")
def interop_python() -> Path:
    """The interpreter that has the clients; made at the first need, and used again after that."""
    with _REQUIREMENTS.open() as requirements:
        # Two runs of the tests must not make it at the same time.
        fcntl.flock(requirements, fcntl.LOCK_EX)
        wanted = f"{sys.version}\n{requirements.read()}"
        if not _STAMP.exists() or _STAMP.read_text() != wanted:
            _make()
            _STAMP.write_text(wanted)
    return _python()


def _make() -> None:
    venv.create(_FOLDER, clear=True, with_pip=True)
    command = [str(_python()), "-m", "pip", "install", "-q", "-r", str(_REQUIREMENTS)]
    installed = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True)
    if installed.returncode != 0:
        reason = f"{_REQUIREMENTS.name} cannot be installed: {installed.stderr.strip()}"
        # Without a network a laptop goes on; what nobody looks at must not.
        (pytest.fail if _ENVIRONMENT.get("CI") else pytest.skip)(reason)


def _python() -> Path:
    return _FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
