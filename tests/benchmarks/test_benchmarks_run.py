"""The benchmarks run; what they measure is a report and no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def measured(script: str, *arguments: str) -> dict[str, float]:
    """What a measuring script prints."""
    command = [sys.executable, HERE / script, *arguments, "--short"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_the_parts_are_measured() -> None:
    """Models, big events and memory, each a number."""
    assert all(isinstance(value, float) for value in measured("measure_parts.py").values())


def test_our_client_is_measured() -> None:
    """Against the load server, in a process of its own; ten streams take one connection."""
    server = subprocess.Popen(
        [sys.executable, HERE / "load_server.py"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = measured("measure_client.py", "ours", server.stdout.readline().strip())
    finally:
        server.kill()
        server.communicate()
    assert found["connections for ten streams"] == 0
    assert found["typed chunk"] > 0


def test_pages_of_the_store_are_measured() -> None:
    """Each list at each depth, over a small number of rows."""
    found: dict[str, Any] = dict(measured("storage_pages.py"))
    assert len(found) == 18 and all(pair["median"] > 0 for pair in found.values())


def test_durable_turns_are_measured() -> None:
    """Our side alone; the other one needs an environment of its own."""
    assert measured("storage_turns.py", "ours")["turns a second"] > 0


def test_the_server_is_measured() -> None:
    """Its start beside bare FastAPI, and its load beside a bare application; each a number."""
    for script in ("server_start.py", "server_load.py"):
        found = measured(script)
        assert found and all(value > 0 for value in found.values())
