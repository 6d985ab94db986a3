"""JSON read by orjson, the extra `fast`, is what the standard library reads."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from chatserver_sdk import _json

HOME = Path(_json.__file__)
TEXTS = [
    '{"a": [1, 2.5, -0.0, 1e300, true, false, null, "\\u00e4\\n", {}]}',
    ' \n{"a": 1}\t ',
    '{"a": 1, "a": 2}',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    "NaN",
    "[Infinity, -Infinity]",
    "9007199254740993",
    "[" * 200 + "]" * 200,
    *("", " ", "{", '{"a": 1}x', "[1,]", "tru", "'a'", "\ufeff1", "01", '"\x01"'),
]
SCRIPT = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("_json", {str(HOME)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert module._fast_loads is not None, "orjson is not there"
for text in json.load(sys.stdin):
    for given in (text, text.encode("utf-8", "surrogatepass")):
        try:
            print(ascii(module.loads(given)))
        except ValueError:
            print("no JSON")
"""


def plainly(text: str) -> str:
    """What the standard library reads, as the script prints it."""
    try:
        return ascii(json.loads(text))
    except ValueError:
        return "no JSON"


def test_orjson_changes_nothing(interop_python: Path) -> None:
    """Values, oddities and refusals are the same, from text and from bytes."""
    command = [str(interop_python), "-c", SCRIPT]
    given = json.dumps(TEXTS)
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    texts, from_bytes = ran.stdout.splitlines()[::2], ran.stdout.splitlines()[1::2]
    assert texts == [plainly(text) for text in TEXTS]
    assert from_bytes == [
        plainly(text) if text != "\ufeff1" else ascii(json.loads(text.encode())) for text in TEXTS
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_the_plain_way_changes_nothing(text: str) -> None:
    """Without orjson as well."""
    try:
        found = ascii(_json.loads(text))
    except ValueError:
        found = "no JSON"
    assert found == plainly(text)
