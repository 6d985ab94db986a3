"""The client beside the published openai client, side by side in one run.

    .venv/bin/python tests/benchmarks/client.py [--rounds 3] [--short]

Prints a table of CPU time of the client process (the server is a process of its own), the best
of the rounds. Timings on a busy machine are worth little; the ratios hold better.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import python_with_accelerator, python_with_openai

_TYPED = "typed chunk"
_HERE = Path(__file__).parent
_IMPORT = """
import time
begun = time.process_time()
{code}
print((time.process_time() - begun) * 1e3)
"""
_IMPORTS = {
    "import of the package, ms": ("import openai", "import chatserver_sdk"),
    "import and a client built, ms": (
        "import openai; openai.OpenAI(api_key='k')",
        "import chatserver_sdk; chatserver_sdk.ChatServerClient('k')",
    ),
}


@contextmanager
def load_server() -> Iterator[str]:
    """The port of a server that runs as long as the block."""
    process = subprocess.Popen(
        [sys.executable, _HERE / "load_server.py"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def measured(*command: str | Path) -> dict[str, float]:
    """What a measuring process prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def import_times(python: str, which: int) -> dict[str, float]:
    """CPU milliseconds of importing, in fresh processes."""
    return {
        measure: float(
            subprocess.run(
                [python, "-c", _IMPORT.format(code=codes[which])],
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
        for measure, codes in _IMPORTS.items()
    }


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Each measure's least value."""
    return {measure: min(one[measure] for one in rounds) for measure in rounds[0]}


def main() -> None:
    """Run everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="see that it runs, no more")
    options = parser.parse_args()
    short = ["--short"] if options.short else []
    peer = python_with_openai()
    fast = python_with_accelerator()
    theirs, ours = [], []
    for number in range(1 if options.short else options.rounds):
        print(f"round {number + 1} ...", file=sys.stderr)
        script = _HERE / "measure_client.py"
        with load_server() as port:
            theirs.append(measured(peer, script, "openai", port, *short) | import_times(peer, 0))
            ours.append(
                measured(sys.executable, script, "ours", port, *short)
                | import_times(sys.executable, 1)
                | {"typed chunk, with orjson": measured(fast, script, "ours", port, *short)[_TYPED]}
            )
        theirs[-1]["typed chunk, with orjson"] = theirs[-1][_TYPED]
    print("| measure | openai | chatserver_sdk | ratio |\n|---|---|---|---|")
    their_best, our_best = best(theirs), best(ours)
    for measure, value in our_best.items():
        reference = their_best[measure]
        ratio = f"{value / reference:.2f}" if reference else "-"
        print(f"| {measure} | {reference:.2f} | {value:.2f} | {ratio} |")
    for measure, value in measured(sys.executable, _HERE / "measure_parts.py", *short).items():
        print(f"| {measure} | - | {value:.2f} | |")


if __name__ == "__main__":
    main()
