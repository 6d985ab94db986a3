"""What time it is, for everything that is stored or said."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(timezone.utc)
