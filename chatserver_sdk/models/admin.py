"""What administrators see: figures, administrators, the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from ._base import MappingModel, Model, omitted
from ._rules import Length


@dataclass
class SystemHealth(MappingModel):
    """How the server is.

    status: healthy or what is wrong. circuit_breaker_status: of a server that has one.
    active_agents: the agents that can answer.
    """

    status: str = "unknown"
    circuit_breaker_status: str | None = None
    active_agents: list[str] = field(default_factory=list)


@dataclass
class PlatformStats(Model):
    """Figures of the whole server.

    total_users: users with a history. active_users: those of them who asked something in the
    last 24 hours. total_organizations: distinct organization ids. total_requests,
    requests_today: completions (a day is a UTC day). total_tokens, tokens_today: read and
    written. total_mcp_servers: those configured. system_health: how the server is.
    """

    total_users: int
    active_users: int = 0
    total_organizations: int = 0
    total_requests: int = 0
    requests_today: int = 0
    total_tokens: int = 0
    tokens_today: int = 0
    total_mcp_servers: int = 0
    system_health: SystemHealth = field(default_factory=SystemHealth)


@dataclass
class AdminInfo(MappingModel):
    """An administrator.

    id, email, name: who they are. created_at: since when. created_by: the e-mail of who made them
    one (None: the server).
    """

    id: str
    email: str
    created_at: datetime | None = None
    name: str | None = None
    created_by: str | None = None


@dataclass
class AdminListResponse(MappingModel):
    """The administrators. Works as a dict too: `admins["count"]`.

    admins: all of them. count: how many.
    """

    admins: list[AdminInfo]
    count: int = 0


@dataclass
class AdminRequest(Model):
    """Whom to make an administrator.

    workos_id: their id with the provider of identities. email, name: who they are.
    """

    workos_id: Annotated[str, Length(1, 256)]
    email: Annotated[str, Length(3, 254)]
    name: Annotated[str, Length(0, 256)] | None = None


@dataclass
class AdminResponse(MappingModel):
    """What was done about an administrator.

    status: what was done. email: about whom.
    """

    status: str
    email: str = ""


@dataclass
class AuditEntry(Model):
    """One thing that happened.

    id: its id. timestamp: an aware time. user_id: who did it. org_id: the organization's label.
    action: what, for example admin.added. resource, resource_id: to which kind of thing, and
    which one. metadata: particulars. hash: of the entry and all before it, on servers that chain
    their log.
    """

    id: str
    timestamp: datetime
    action: str
    user_id: str | None = None
    org_id: str | None = None
    resource: str | None = None
    resource_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    hash: str | None = omitted()


@dataclass
class AuditLogResponse(Model):
    """A page of the audit log, newest first; with `after`, oldest first.

    entries: the page. count: how long it is, not a total. limit, offset: as asked. next_cursor:
    what gives the next page, where a cursor was sent.
    """

    entries: list[AuditEntry]
    count: int = 0
    limit: int = 50
    offset: int = 0
    next_cursor: str | None = omitted()


@dataclass
class AuditHead(Model):
    """The last entry of the audit log, which stands for all before it; keep it elsewhere.

    head: what verify_audit_log takes, `number:hash`. seq: the entry's number; 0 is an empty log.
    hash: its hash.
    """

    head: str
    seq: int = 0
    hash: str = ""


@dataclass
class AuditFault(MappingModel):
    """What is wrong with the audit log.

    seq: the number of the entry. reason: changed, missing, unexpected, reordered, truncated,
    rewritten (it is not the one that a head kept elsewhere stands for), trimmed (that head is too
    old to prove anything) or checkpoint. detail: a sentence.
    """

    seq: int
    reason: str
    detail: str = ""


@dataclass
class AuditVerification(Model):
    """What walking the audit log from end to end has shown.

    ok: every entry is as it was written. entries: how many were found good, up to the first bad
    one. head: the last of them, as `number:hash`. first_bad: what is wrong, where something is.
    """

    ok: bool
    entries: int = 0
    head: str = ""
    first_bad: AuditFault | None = None


@dataclass
class UserDeletion(MappingModel):
    """What was deleted of a user.

    user_id: whose. sessions, messages: how many there were.
    """

    user_id: str
    sessions: int = 0
    messages: int = 0
