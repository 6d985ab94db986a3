"""The peers that we measure against, each in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_OPENAI = "openai==3.52.*"
_AIOSQLITE = ("aiosqlite>=0.20,<1", "greenlet>=3,<4")


def python_with_openai() -> str:
    """The interpreter of an environment that has the published openai client."""
    return _python(".venv-benchmark", _OPENAI)


def python_with_accelerator() -> str:
    """The interpreter of an environment that has our client with the extra `fast`."""
    return _python(".venv-benchmark-fast", "-e", f"{_ROOT}[fast]")


def python_with_aiosqlite() -> str:
    """The interpreter of an environment that has our store's tables and aiosqlite."""
    return _python(".venv-benchmark-aiosqlite", *_AIOSQLITE, "-e", f"{_ROOT}[server]")


def _python(name: str, *requirements: str) -> str:
    """Made at the first need, and used again after that."""
    home = _ROOT / name
    python = home / "bin" / "python"
    stamp = home / "requirements"
    wanted = " ".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {wanted} ...", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        stamp.write_text(wanted)
    return str(python)
