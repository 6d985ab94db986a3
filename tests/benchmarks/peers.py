"""The peers that we measure against, each in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_OPENAI = "openai==3.52.*"


def python_with_openai() -> str:
    """The interpreter of an environment that has the published openai client, made if need be."""
    home = _ROOT / ".venv-benchmark"
    python = home / "bin" / "python"
    stamp = home / "requirements"
    if not stamp.exists() or stamp.read_text() != _OPENAI:
        print(f"installing {_OPENAI} ...", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", _OPENAI], check=True)
        stamp.write_text(_OPENAI)
    return str(python)
