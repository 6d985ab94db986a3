"""ChatServerClient: one method a call, lenient input. What goes over the wire is not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _arguments as arguments
from . import models
from ._transport import DEFAULT_BASE_URL, DEFAULT_TIMEOUT, Timeout, Transport, path_segment
from ._wire import openai
from .streaming import CompletionStream

if TYPE_CHECKING:
    import requests

    from ._arguments import Messages
    from .models import (
        AdminListResponse,
        AdminResponse,
        AuditLogResponse,
        ChatCompletionResponse,
        ChatSessionDetailResponse,
        ChatSessionListResponse,
        ModelsResponse,
        PlatformStats,
    )

_COMPLETIONS = "/v1/chat/completions"
_ADMINS = "/api/v1/platform/admins"


class ChatServerClient:
    """A client of one chat server; also of any other server that speaks OpenAI's protocol.

    Use it as a context manager, or close it. It may be shared by threads.

    api_key: else CHATSERVER_API_KEY from the environment. base_url: else CHATSERVER_BASE_URL; a
    trailing `/` or `/v1` is fine. timeout: seconds, for connecting (at most 10 of them), for an
    answer, and for the silence between two pieces of a stream; left alone, a stream may be silent
    for 300 s. A Timeout says each by itself, and a total; None waits for ever. session: a
    requests session of your own, which stays yours to close.

    Every method raises what `chatserver_sdk.exceptions` lists and nothing else.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float | Timeout | None = DEFAULT_TIMEOUT,
        *,
        session: requests.Session | None = None,
    ) -> None:
        self._transport = Transport(base_url, api_key, timeout, session)

    @property
    def session(self) -> requests.Session:
        """The requests session that everything goes through."""
        return self._transport.session

    @property
    def base_url(self) -> str:
        """Where the server is, without a trailing `/` or `/v1`."""
        return self._transport.base_url

    def close(self) -> None:
        """Close every connection, those of streams that are still open included."""
        self._transport.close()

    def __enter__(self) -> ChatServerClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ChatServerClient {self._transport.shown_url}>"

    @overload
    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4000,
        top_p: float | None = 1.0,
        stream: Literal[False] = False,
        user: str | None = None,
        system_prompt: str | None = None,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> ChatCompletionResponse: ...

    @overload
    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4000,
        top_p: float | None = 1.0,
        *,
        stream: Literal[True],
        user: str | None = None,
        system_prompt: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> CompletionStream: ...

    @overload
    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4000,
        top_p: float | None = 1.0,
        stream: bool = False,
        user: str | None = None,
        system_prompt: str | None = None,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> ChatCompletionResponse | CompletionStream: ...

    def create_completion(
        self,
        model: str,
        messages: Messages,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4000,
        top_p: float | None = 1.0,
        stream: bool = False,
        user: str | None = None,
        system_prompt: str | None = None,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        organization_id: str | None = None,
        workflow: str | None = None,
        variables: Mapping[str, Any] | None = None,
        allowed_tools: Sequence[str] | None = None,
        setting_sources: Sequence[str] | None = None,
        mcp_servers: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> ChatCompletionResponse | CompletionStream:
        """The model's answer to the messages: whole, or with stream=True as it arrives.

        messages: Message objects, dicts, strings (said by the user), a mix of them, or one of
        them alone. user: records the conversation in this user's history. session_id: continues
        a recorded one; it is the `system_fingerprint` of an earlier answer. What is None is not
        sent. The arguments behind `metadata` travel inside it and win over its own keys.

        Raises BadRequestError with `param` for arguments that cannot be right (before anything is
        sent: its `response` is None) and what the server answers otherwise.
        """
        request = models.ChatCompletionRequest(
            model=arguments.text(model, "model"),
            messages=arguments.read_messages(messages),
            temperature=arguments.number(temperature, "temperature"),
            max_tokens=arguments.number(max_tokens, "max_tokens"),
            top_p=arguments.number(top_p, "top_p"),
            stream=bool(stream),
            user=arguments.optional_identifier(user, "user"),
            system_prompt=arguments.optional_text(system_prompt, "system_prompt"),
        )
        explicit = {
            "session_id": arguments.optional_identifier(session_id, "session_id"),
            "organization_id": arguments.optional_identifier(organization_id, "organization_id"),
            "workflow": arguments.optional_text(workflow, "workflow"),
            "variables": variables,
            "allowed_tools": allowed_tools,
            "setting_sources": setting_sources,
            "mcp_servers": mcp_servers,
        }
        request.metadata = arguments.metadata_of(metadata, explicit, request.user)
        if stream:
            return CompletionStream(self._transport.open_stream(_COMPLETIONS, request))
        answer = self._transport.call("POST", _COMPLETIONS, body=request)
        return openai.read_completion(answer)

    def list_models(self) -> ModelsResponse:
        """The models that the server offers."""
        return models.ModelsResponse.from_dict(self._transport.call("GET", "/v1/models"))

    def list_sessions(
        self, user_id: str, page: int = 1, page_size: int = 20
    ) -> ChatSessionListResponse:
        """A page of a user's recorded sessions, the latest first; page_size is 1 to 100."""
        query = {
            "user_id": arguments.identifier(user_id, "user_id"),
            "page": arguments.integer(page, "page"),
            "page_size": arguments.integer(page_size, "page_size"),
        }
        answer = self._transport.call("GET", "/atoms/chat/sessions", query=query)
        return models.ChatSessionListResponse.from_dict(answer)

    def get_session(self, session_id: str, *, user_id: str) -> ChatSessionDetailResponse:
        """A session with its transcript. NotFoundError also for another user's session."""
        session_id = arguments.identifier(session_id, "session_id")
        path = f"/atoms/chat/sessions/{path_segment(session_id, 'session_id')}"
        query = {"user_id": arguments.identifier(user_id, "user_id")}
        answer = self._transport.call("GET", path, query=query)
        return models.ChatSessionDetailResponse.from_dict(answer)

    def get_platform_stats(self) -> PlatformStats:
        """Figures of the whole server. For administrators; others get ForbiddenError."""
        return models.PlatformStats.from_dict(self._transport.call("GET", "/api/v1/platform/stats"))

    def list_admins(self) -> AdminListResponse:
        """The administrators; `["admins"]` and `["count"]` work as well. For administrators."""
        return models.AdminListResponse.from_dict(self._transport.call("GET", _ADMINS))

    def add_admin(self, workos_id: str, email: str, name: str = "") -> AdminResponse:
        """Make somebody an administrator. For administrators; ConflictError if they are one."""
        request = models.AdminRequest(
            workos_id=arguments.text(workos_id, "workos_id"),
            email=arguments.text(email, "email"),
            name=arguments.optional_text(name, "name") or None,
        )
        answer = self._transport.call("POST", _ADMINS, body=request)
        return models.AdminResponse.from_dict(answer)

    def remove_admin(self, email: str) -> AdminResponse:
        """Take the role away again. For administrators; the last one cannot be removed."""
        path = f"{_ADMINS}/{path_segment(arguments.text(email, 'email'), 'email')}"
        return models.AdminResponse.from_dict(self._transport.call("DELETE", path))

    def get_audit_log(self, limit: int = 50, offset: int = 0) -> AuditLogResponse:
        """A page of the audit log, newest first; limit is 1 to 200. For administrators."""
        query = {
            "limit": arguments.integer(limit, "limit"),
            "offset": arguments.integer(offset, "offset"),
        }
        answer = self._transport.call("GET", "/api/v1/platform/audit", query=query)
        return models.AuditLogResponse.from_dict(answer)


def create_client(
    api_key: str | None = None,
    base_url: str = DEFAULT_BASE_URL,
    timeout: float | Timeout | None = DEFAULT_TIMEOUT,
    *,
    session: requests.Session | None = None,
) -> ChatServerClient:
    """A ChatServerClient; the arguments are its own."""
    return ChatServerClient(api_key, base_url, timeout, session=session)
