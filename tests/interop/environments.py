"""Environments of their own for other people's programs: their pins fight ours."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

_HERE = Path(__file__).parent

# As it was before a test changed it: pip may need the proxies that the tests do without.
_ENVIRONMENT = dict(os.environ)


def python_with(name: str) -> Path:
    """The interpreter of an environment that has what NAME.txt requires; made at the first need,
    and used again after that. Skips the test where it cannot be made, and fails it in CI."""
    requirements = _HERE / f"{name}.txt"
    folder = _HERE.parents[1] / f".venv-{name}"
    stamp = folder / "stamp"
    with requirements.open() as file:
        # Two runs of the tests must not make it at the same time.
        fcntl.flock(file, fcntl.LOCK_EX)
        wanted = f"{sys.version}\n{file.read()}"
        if not stamp.exists() or stamp.read_text() != wanted:
            _make(folder, requirements)
            stamp.write_text(wanted)
    return _python(folder)


def _make(folder: Path, requirements: Path) -> None:
    venv.create(folder, clear=True, with_pip=True)
    command = [str(_python(folder)), "-m", "pip", "install", "-q", "-r", str(requirements)]
    installed = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True)
    if installed.returncode != 0:
        reason = f"{requirements.name} cannot be installed: {installed.stderr.strip()}"
        # Without a network a laptop goes on; what nobody looks at must not.
        (pytest.fail if _ENVIRONMENT.get("CI") else pytest.skip)(reason)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
