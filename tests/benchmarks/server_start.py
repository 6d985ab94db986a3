"""Measures how long a server takes to be ready, and what it holds when idle, beside bare FastAPI.

`python tests/benchmarks/server_start.py`; with --short one start each, as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
_MUST = {"seconds": 1.2, "MiB": 110.0}


def memory(pid: int) -> float:
    """What a process holds, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def start(command: list[str], path: str) -> tuple[float, float]:
    """Seconds until it answers, and MiB when it has."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = ""
        while not url:
            line = process.stdout.readline()
            assert line, "it did not start"
            url = line.split()[-1] if "http://" in line else ""
        _wait_for(url + path)
        return time.perf_counter() - begun, memory(process.pid)
    finally:
        process.terminate()
        process.communicate()


def _wait_for(url: str) -> None:
    give_up_at = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60):
                return
        except ConnectionError:
            assert time.monotonic() < give_up_at


def main(short: bool) -> None:
    """Measure, and print."""
    os.environ["CHATSERVER_BOOTSTRAP_KEY"] = "the-key-of-the-benchmark"
    found: dict[str, float] = {}
    for name in ("bare FastAPI", "chatserver serve"):
        runs = [_start(name) for _ in range(1 if short else 7)]
        found[f"{name}, seconds"] = statistics.median(seconds for seconds, _ in runs)
        found[f"{name}, MiB"] = statistics.median(held for _, held in runs)
    if short:
        print(json.dumps(found))
        return
    for name, value in found.items():
        must = _MUST[name.rpartition(" ")[2]] if "serve" in name else None
        print(f"{name}: {value:.2f}" + (f" (must be at most {must})" if must else ""))


def _start(name: str) -> tuple[float, float]:
    if name == "bare FastAPI":
        return start([sys.executable, str(HERE / "served.py"), "fastapi"], "/health")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "chatserver_sdk.cli", "serve", "--port", "0"]
        return start([*command, "--db", f"{folder}/chat.db"], "/health/ready")


if __name__ == "__main__":
    main("--short" in sys.argv)
