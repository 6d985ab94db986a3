"""ChatServerClient: one method a call, lenient input. What goes over the wire is not known here."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import models
from ._completions import Completions
from ._records import Records
from ._sessions import Sessions
from ._transport import (
    DEFAULT_BASE_URL,
    DEFAULT_TIMEOUT,
    RetryPolicy,
    Settings,
    Timeout,
    Transport,
    path_of,
    path_segment,
)
from ._lazy import Later
from .raw import RawResponse

if TYPE_CHECKING:
    from . import _arguments as arguments, paging
    from datetime import datetime

    import requests
    from typing_extensions import Self, Unpack

    from ._transport import CallOptions, tracing
    from ._transport.settings import Key
    from .models import (
        AdminListResponse,
        AdminResponse,
        ApiKeyCreated,
        ApiKeyInfo,
        ApiKeyListResponse,
        AuditEntry,
        AuditLogResponse,
        ChatSessionDetailResponse,
        ChatSessionListResponse,
        ChatSessionSummary,
        ModelsResponse,
        PlatformStats,
        Role,
    )
else:
    arguments = Later("chatserver_sdk._arguments")
    paging = Later("chatserver_sdk.paging")
    tracing = Later("chatserver_sdk._transport.tracing")

_SESSIONS = "/atoms/chat/sessions"
_AUDIT = "/api/v1/platform/audit"
_ADMINS = "/api/v1/platform/admins"
_KEYS = "/api/v1/platform/keys"
# How a trace names what differs from call to call.
_ONE_SESSION = f"{_SESSIONS}/{{session_id}}"
_ONE_ADMIN = f"{_ADMINS}/{{email}}"
_ONE_KEY = f"{_KEYS}/{{key_id}}"


class ChatServerClient(Completions, Sessions, Records):
    """A client of one chat server; also of any other server that speaks OpenAI's protocol.

    Use it as a context manager, or close it. It may be shared by threads.

    api_key: else CHATSERVER_API_KEY from the environment; a function is asked before each
    request, for keys that change. base_url: else CHATSERVER_BASE_URL; a trailing `/` or `/v1` is
    fine. timeout: seconds, for connecting (at most 10 of them), for an answer, and for the silence
    between two pieces of a stream; left alone, a stream may be silent for 300 s. A Timeout says
    each by itself, and a total; None waits for ever. max_retries: how often a call that failed
    is sent again, where that is safe; or a RetryPolicy. session: a requests session of your own,
    which stays yours to close.

    Every method takes `extra_headers`, `extra_query`, `extra_body`, `timeout` and `max_retries`
    for that call alone, and raises what `chatserver_sdk.exceptions` lists and nothing else.
    A client that is pickled or deep-copied holds the key, and opens connections of its own; so
    does the child of a fork. A shallow copy is the same client.
    """

    def __init__(
        self,
        api_key: Key | None = None,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float | Timeout | None = DEFAULT_TIMEOUT,
        *,
        max_retries: int | RetryPolicy = 2,
        session: requests.Session | None = None,
    ) -> None:
        self._transport = Transport(Settings.of(base_url, api_key, timeout, max_retries), session)

    @property
    def session(self) -> requests.Session:
        """The requests session that everything goes through."""
        return self._transport.session

    @property
    def base_url(self) -> str:
        """Where the server is, without a trailing `/` or `/v1`."""
        return self._transport.settings.base_url

    def with_options(self, **options: Unpack[CallOptions]) -> Self:
        """The same client with other settings, over the same connections.

        Closing it closes the streams that were opened with it, and nothing of this one.
        """
        other = copy.copy(self)
        other._transport = self._transport.with_options(options)
        return other

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **options: Unpack[CallOptions],
    ) -> RawResponse:
        """The server's answer on a route that has no method here.

        path: from the base URL on, for example "/api/v1/news". body: sent as JSON.
        Raises BadRequestError for a path that cannot be, and what the server answers.
        """
        verb = arguments.method(method)
        return self._transport.request(
            verb,
            path_of(path),
            query=query,
            body=body,
            options=options,
            subject=tracing.Subject(""),
        )

    def close(self) -> None:
        """Close every connection, those of streams that are still open included."""
        self._transport.close()

    def __enter__(self) -> ChatServerClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ChatServerClient {self._transport.settings.shown_url}>"

    def list_models(self, **options: Unpack[CallOptions]) -> ModelsResponse:
        """The models that the server offers."""
        return self._transport.ask(
            models.ModelsResponse.from_decoded, "GET", "/v1/models", options=options
        )

    def list_sessions(
        self, user_id: str, page: int = 1, page_size: int = 20, **options: Unpack[CallOptions]
    ) -> ChatSessionListResponse:
        """A page of a user's recorded sessions, the latest first; page_size is 1 to 100."""
        query = {
            "user_id": arguments.identifier(user_id, "user_id"),
            "page": arguments.integer(page, "page"),
            "page_size": arguments.integer(page_size, "page_size"),
        }
        read = models.ChatSessionListResponse.from_decoded
        return self._transport.ask(read, "GET", _SESSIONS, query=query, options=options)

    def iter_sessions(
        self, user_id: str, **options: Unpack[CallOptions]
    ) -> Iterator[ChatSessionSummary]:
        """All recorded sessions of a user, each once, fetched page by page as they are asked for.

        On a server of ours the latest created come first, and none is lost or repeated whatever
        happens meanwhile. Other servers order them, and repeat none; a session in which something
        is said while you read may be missed there.

        Raises BadRequestError at once; what list_sessions raises, and DecodeError for a list
        without an end, when an item is asked for. Behind an error begin anew.
        """
        query = {
            "user_id": arguments.identifier(user_id, "user_id"),
            "page_size": paging.SESSIONS_PAGE,
        }
        transport = self._transport.with_options(options)

        def fetch(page: int, cursor: str | None) -> ChatSessionListResponse:
            read = models.ChatSessionListResponse.from_decoded
            asked = {**query, "page": page, "cursor": cursor}
            return transport.ask(read, "GET", _SESSIONS, query=asked)

        return paging.iter_sessions(fetch)

    def get_session(
        self, session_id: str, *, user_id: str, **options: Unpack[CallOptions]
    ) -> ChatSessionDetailResponse:
        """A session with its transcript. NotFoundError also for another user's session."""
        session_id = arguments.identifier(session_id, "session_id")
        path = f"{_SESSIONS}/{path_segment(session_id, 'session_id')}"
        query = {"user_id": arguments.identifier(user_id, "user_id")}
        read = models.ChatSessionDetailResponse.from_decoded
        return self._transport.ask(
            read, "GET", path, query=query, options=options, subject=tracing.Subject(_ONE_SESSION)
        )

    def get_platform_stats(self, **options: Unpack[CallOptions]) -> PlatformStats:
        """Figures of the whole server. For administrators; others get ForbiddenError."""
        read = models.PlatformStats.from_decoded
        return self._transport.ask(read, "GET", "/api/v1/platform/stats", options=options)

    def list_admins(self, **options: Unpack[CallOptions]) -> AdminListResponse:
        """The administrators; `["admins"]` and `["count"]` work as well. For administrators."""
        return self._transport.ask(
            models.AdminListResponse.from_decoded, "GET", _ADMINS, options=options
        )

    def add_admin(
        self, workos_id: str, email: str, name: str = "", **options: Unpack[CallOptions]
    ) -> AdminResponse:
        """Make somebody an administrator. For administrators; ConflictError if they are one."""
        request = models.AdminRequest(
            workos_id=arguments.text(workos_id, "workos_id"),
            email=arguments.text(email, "email"),
            name=arguments.optional_text(name, "name") or None,
        )
        read = models.AdminResponse.from_decoded
        return self._transport.ask(read, "POST", _ADMINS, body=request, options=options)

    def remove_admin(self, email: str, **options: Unpack[CallOptions]) -> AdminResponse:
        """Take the role away again. For administrators; the last one cannot be removed."""
        path = f"{_ADMINS}/{path_segment(arguments.text(email, 'email'), 'email')}"
        read = models.AdminResponse.from_decoded
        return self._transport.ask(
            read, "DELETE", path, options=options, subject=tracing.Subject(_ONE_ADMIN)
        )

    def list_keys(
        self, limit: int = 50, cursor: str | None = None, **options: Unpack[CallOptions]
    ) -> ApiKeyListResponse:
        """A page of the API keys, the newest first, revoked ones too; never a key itself.

        limit is 1 to 200. cursor: next_cursor of the page before. For administrators.
        """
        query = {
            "limit": arguments.integer(limit, "limit"),
            "cursor": arguments.optional_text(cursor, "cursor"),
        }
        read = models.ApiKeyListResponse.from_decoded
        return self._transport.ask(read, "GET", _KEYS, query=query, options=options)

    def create_key(
        self,
        name: str,
        role: Role | str = "user",
        *,
        user_id: str | None = None,
        email: str | None = None,
        workos_id: str | None = None,
        principal_id: str | None = None,
        expires_at: datetime | str | None = None,
        **options: Unpack[CallOptions],
    ) -> ApiKeyCreated:
        """A new API key, in `.key`: keep it, nobody can show it again. For administrators.

        role: user (of user_id, and for nobody else), service (for any user), expert, or admin (of
        an administrator). email, workos_id, principal_id: whom it belongs to. expires_at: ISO text
        or a datetime, naive is UTC. ConflictError for an admin key of somebody who is none, and
        where an answer was lost and the key must be made anew.
        """
        owner = {
            "user_id": user_id,
            "email": email,
            "workos_id": workos_id,
            "principal_id": principal_id,
        }
        request = models.ApiKeyRequest(
            name=arguments.text(name, "name"),
            role=models.Role(arguments.text(role, "role")),
            expires_at=arguments.moment(expires_at, "expires_at"),
            **{key: arguments.optional_identifier(owner[key], key) for key in owner},
        )
        read = models.ApiKeyCreated.from_decoded
        return self._transport.ask(read, "POST", _KEYS, body=request, options=options)

    def revoke_key(self, key_id: str, **options: Unpack[CallOptions]) -> ApiKeyInfo:
        """Take an API key out of use, at once. For administrators; ConflictError for the last
        key of the role admin."""
        key_id = arguments.identifier(key_id, "key_id")
        path = f"{_KEYS}/{path_segment(key_id, 'key_id')}"
        read = models.ApiKeyInfo.from_decoded
        return self._transport.ask(
            read, "DELETE", path, options=options, subject=tracing.Subject(_ONE_KEY)
        )

    def get_audit_log(
        self,
        limit: int = 50,
        offset: int = 0,
        *,
        action: str | None = None,
        user_id: str | None = None,
        org_id: str | None = None,
        resource: str | None = None,
        resource_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        after: int | str | None = None,
        **options: Unpack[CallOptions],
    ) -> AuditLogResponse:
        """A page of the audit log, newest first; limit is 1 to 200. For administrators.

        The filters are those of iter_audit_log; servers that do not know them leave them out.
        after: an entry's id; only what came after it, oldest first and whatever offset is. The
        last one's id is the next `after`; "0" begins with the oldest.
        """
        times = arguments.moment(since, "since"), arguments.moment(until, "until")
        given = {
            "action": action,
            "user_id": user_id,
            "org_id": org_id,
            "resource": resource,
            "resource_id": resource_id,
            "after": str(after) if isinstance(after, int) else after,
        }
        query = {
            "limit": arguments.integer(limit, "limit"),
            "offset": arguments.integer(offset, "offset"),
            **{name: time and time.isoformat() for name, time in zip(("since", "until"), times)},
            **{name: arguments.optional_identifier(given[name], name) for name in given},
        }
        read = models.AuditLogResponse.from_decoded
        return self._transport.ask(read, "GET", _AUDIT, query=query, options=options)

    def iter_audit_log(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        action: str | None = None,
        *,
        user_id: str | None = None,
        org_id: str | None = None,
        resource: str | None = None,
        resource_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Iterator[AuditEntry]:
        """The audit log, newest first, each entry once, fetched page by page as it is asked for.

        since, until: from this time on and before that one; ISO text or a datetime, naive is UTC.
        action: one, or a pattern such as "admin.*", where `*` is any text. The others: exactly
        this one. Whatever arrives meanwhile, nothing is lost or repeated; on servers without
        cursors some of that may come too, out of order. Servers that do not know the filters are
        read through, up to the first page that is older than `since`.

        For administrators. Raises BadRequestError at once; what get_audit_log raises, and
        DecodeError for a log without an end, when an item is asked for. Behind an error begin anew.
        """
        begin, end = arguments.moment(since, "since"), arguments.moment(until, "until")
        given = {
            "action": action,
            "user_id": user_id,
            "org_id": org_id,
            "resource": resource,
            "resource_id": resource_id,
        }
        chosen = {name: arguments.optional_identifier(given[name], name) for name in given}
        times = {"since": begin and begin.isoformat(), "until": end and end.isoformat()}
        query = {**times, **chosen, "limit": paging.AUDIT_PAGE}
        transport = self._transport.with_options(options)

        def fetch(offset: int, cursor: str | None) -> AuditLogResponse:
            read = models.AuditLogResponse.from_decoded
            asked = {**query, "offset": offset, "cursor": cursor}
            return transport.ask(read, "GET", _AUDIT, query=asked)

        return paging.iter_audit_log(fetch, paging.AuditFilter(begin, end, **chosen))


def create_client(
    api_key: Key | None = None,
    base_url: str = DEFAULT_BASE_URL,
    timeout: float | Timeout | None = DEFAULT_TIMEOUT,
    *,
    max_retries: int | RetryPolicy = 2,
    session: requests.Session | None = None,
) -> ChatServerClient:
    """A ChatServerClient; the arguments are its own."""
    return ChatServerClient(api_key, base_url, timeout, max_retries=max_retries, session=session)
