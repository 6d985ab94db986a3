"""Verbs that give the figures of the whole platform, from what is stored."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from chatserver_sdk.models import PlatformStats

from .tables import day_of, organizations, usage_days, users

_ACTIVE_WITHIN = timedelta(hours=24)
_SUMS = (
    func.coalesce(func.sum(usage_days.c.requests), 0).label("requests"),
    func.coalesce(func.sum(usage_days.c.tokens_in + usage_days.c.tokens_out), 0).label("tokens"),
)


def platform_stats(connection: Connection, now: datetime) -> PlatformStats:
    """The figures; health, agents and MCP servers are the caller's to fill in."""
    today = day_of(now)
    ever = connection.execute(select(*_SUMS)).one()
    this_day = connection.execute(select(*_SUMS).where(usage_days.c.day == today)).one()
    # Who is called "" stands for sessions that are being deleted.
    known = select(func.count()).select_from(users).where(users.c.id != "")
    seen = users.c.last_seen_at >= now - _ACTIVE_WITHIN
    return PlatformStats(
        total_users=connection.scalar(known) or 0,
        active_users=connection.scalar(known.where(seen)) or 0,
        total_organizations=connection.scalar(select(func.count()).select_from(organizations)) or 0,
        total_requests=int(ever.requests),
        requests_today=int(this_day.requests),
        total_tokens=int(ever.tokens),
        tokens_today=int(this_day.tokens),
    )
