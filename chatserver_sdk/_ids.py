"""Random ids (UUIDs of version 4, RFC 9562), made many at a time.

A server needs several an answer, and each would cost a system call of its own.
"""

from __future__ import annotations

import os

_AT_ONCE = 256
_VARIANT = "89ab"

_ready: list[str] = []


def new_id() -> str:
    """A UUID that nobody has and nobody can guess."""
    try:
        # One step of the interpreter: no two threads get the same one.
        return _ready.pop()
    except IndexError:
        made = _make()
        _ready.extend(made[1:])
        return made[0]


def _make() -> list[str]:
    digits = os.urandom(16 * _AT_ONCE).hex()
    return [_uuid(digits[at : at + 32]) for at in range(0, 32 * _AT_ONCE, 32)]


def _uuid(digits: str) -> str:
    variant = _VARIANT[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


# A forked process would go on with the ids of its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ready.clear)
