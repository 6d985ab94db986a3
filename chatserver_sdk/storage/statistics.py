"""Verbs on the figures of the whole platform."""

from __future__ import annotations

from datetime import datetime, timedelta

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select, update

from chatserver_sdk.models import PlatformStats, UsageInfo

from .prepared import Prepared
from .tables import day_of, organizations, usage_days, users

_ACTIVE_WITHIN = timedelta(hours=24)
_SUMS = (
    func.coalesce(func.sum(usage_days.c.requests), 0).label("requests"),
    func.coalesce(func.sum(usage_days.c.tokens_in + usage_days.c.tokens_out), 0).label("tokens"),
)


_ADDED = Prepared(
    update(usage_days)
    .where(usage_days.c.day == bindparam("more_day"))
    .values(
        requests=usage_days.c.requests + bindparam("more_requests"),
        tokens_in=usage_days.c.tokens_in + bindparam("more_tokens_in"),
        tokens_out=usage_days.c.tokens_out + bindparam("more_tokens_out"),
    )
)


@dataclass
class DayUsage:
    """What was asked on a UTC day (in days since 1970), or a part of it."""

    day: int
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    @classmethod
    def of_turn(cls, ended_at: datetime, usage: UsageInfo) -> DayUsage:
        """One turn's share of its day."""
        return cls(day_of(ended_at), 1, usage.prompt_tokens, usage.completion_tokens)

    def add(self, requests: int, tokens_in: int, tokens_out: int) -> None:
        """Count some more."""
        self.requests += requests
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out


def add_usage(connection: Connection, usage: DayUsage) -> None:
    """Add to the figures of a day."""
    more = {f"more_{name}": value for name, value in vars(usage).items()}
    if _ADDED.run(connection, more) == 0:
        connection.execute(insert(usage_days), vars(usage))


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
