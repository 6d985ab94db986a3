"""Reading JSON: by orjson where it is installed (the extra `fast`), else by the standard library.

What comes out is the same, but for whole numbers of more than 64 bits, which orjson rounds.
"""

from __future__ import annotations

import json
from typing import Any

try:
    from orjson import loads as _fast_loads
except ImportError:
    _fast_loads = None

_raw_decode = json.JSONDecoder().raw_decode


def loads(text: str | bytes) -> Any:
    """The value. Raises ValueError for what is no JSON, RecursionError for what is too deep."""
    try:
        if _fast_loads is not None:  # pragma: no cover - an environment of its own
            return _fast_loads(text)
        if isinstance(text, str):
            # json.loads without the search for blanks around the value, a fifth of its time.
            value, end = _raw_decode(text)
            if end == len(text):
                return value
    except ValueError:
        # Whatever is odd, the standard library has the last word about it.
        pass
    return json.loads(text)


# The compact text of a value. One encoder: json.dumps() would make a new one each time.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
