"""ChatServerClient: one method a call, lenient input. What goes over the wire is not known here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload
from uuid import UUID, uuid4

from . import models
from ._transport import DEFAULT_BASE_URL, DEFAULT_TIMEOUT, Transport, path_segment
from ._wire import openai
from .exceptions import BadRequestError, DecodeError
from .streaming import CompletionStream

if TYPE_CHECKING:
    import requests

    from .models import (
        AdminListResponse,
        AdminResponse,
        AuditLogResponse,
        ChatCompletionResponse,
        ChatSessionDetailResponse,
        ChatSessionListResponse,
        Message,
        ModelsResponse,
        PlatformStats,
    )

    OneMessage = Message | Mapping[str, Any] | str
    Messages = OneMessage | Iterable[OneMessage]

_COMPLETIONS = "/v1/chat/completions"
_ADMINS = "/api/v1/platform/admins"


class ChatServerClient:
    """A client of one chat server; also of any other server that speaks OpenAI's protocol.

    Use it as a context manager, or close it. It may be shared by threads.

    api_key: else CHATSERVER_API_KEY from the environment. base_url: else CHATSERVER_BASE_URL; a
    trailing `/` or `/v1` is fine. timeout: seconds, for connecting (at most 10 of them), for an
    answer, and for the silence between two pieces of a stream; left alone, a stream may be silent
    for 300 s. None waits for ever. session: a requests session of your own, which stays yours to
    close.

    Every method raises what `chatserver_sdk.exceptions` lists and nothing else.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float | None = DEFAULT_TIMEOUT,
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
            model=_text(model, "model"),
            messages=_read_messages(messages),
            temperature=_number(temperature, "temperature"),
            max_tokens=_number(max_tokens, "max_tokens"),
            top_p=_number(top_p, "top_p"),
            stream=bool(stream),
            user=_optional_id(user, "user"),
            system_prompt=_optional_text(system_prompt, "system_prompt"),
        )
        explicit = {
            "session_id": _optional_id(session_id, "session_id"),
            "organization_id": _optional_id(organization_id, "organization_id"),
            "workflow": _optional_text(workflow, "workflow"),
            "variables": variables,
            "allowed_tools": allowed_tools,
            "setting_sources": setting_sources,
            "mcp_servers": mcp_servers,
        }
        request.metadata = _metadata(metadata, explicit, request.user)
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
        query = {"user_id": _id(user_id, "user_id"), "page": page, "page_size": page_size}
        answer = self._transport.call("GET", "/atoms/chat/sessions", query=query)
        return models.ChatSessionListResponse.from_dict(answer)

    def get_session(self, session_id: str, *, user_id: str) -> ChatSessionDetailResponse:
        """A session with its transcript. NotFoundError also for another user's session."""
        path = f"/atoms/chat/sessions/{path_segment(_id(session_id, 'session_id'), 'session_id')}"
        answer = self._transport.call("GET", path, query={"user_id": _id(user_id, "user_id")})
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
            workos_id=_text(workos_id, "workos_id"),
            email=_text(email, "email"),
            name=_optional_text(name, "name") or None,
        )
        answer = self._transport.call("POST", _ADMINS, body=request)
        return models.AdminResponse.from_dict(answer)

    def remove_admin(self, email: str) -> AdminResponse:
        """Take the role away again. For administrators; the last one cannot be removed."""
        path = f"{_ADMINS}/{path_segment(_text(email, 'email'), 'email')}"
        return models.AdminResponse.from_dict(self._transport.call("DELETE", path))

    def get_audit_log(self, limit: int = 50, offset: int = 0) -> AuditLogResponse:
        """A page of the audit log, newest first; limit is 1 to 200. For administrators."""
        query = {"limit": limit, "offset": offset}
        answer = self._transport.call("GET", "/api/v1/platform/audit", query=query)
        return models.AuditLogResponse.from_dict(answer)


def create_client(
    api_key: str | None = None,
    base_url: str = DEFAULT_BASE_URL,
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    session: requests.Session | None = None,
) -> ChatServerClient:
    """A ChatServerClient; the arguments are its own."""
    return ChatServerClient(api_key, base_url, timeout, session=session)


def _metadata(
    given: Mapping[str, Any] | None, explicit: Mapping[str, Any], user: str | None
) -> dict[str, Any] | None:
    if given is not None and not isinstance(given, Mapping):
        raise BadRequestError("metadata must be an object", param="metadata")
    metadata = dict(given or {})
    metadata.update({key: value for key, value in explicit.items() if value is not None})
    if user is not None:
        metadata["user_id"] = user
        # Servers whose own fingerprints are no UUIDs need one from us to record the history.
        if metadata.get("session_id") is None:
            metadata["session_id"] = str(uuid4())
    return metadata or None


def _read_messages(given: Messages) -> list[Message]:
    if isinstance(given, (str, models.Message, Mapping)):
        given = [given]
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise _wrong("messages", "a list of messages", given)
    messages = [_read_message(one, f"messages[{index}]") for index, one in enumerate(given)]
    if not messages:
        raise BadRequestError("messages must not be empty", param="messages")
    return messages


def _read_message(given: OneMessage, param: str) -> Message:
    if isinstance(given, str):
        return models.Message(models.MessageRole.USER, given)
    if isinstance(given, Mapping):
        role = _text(given.get("role"), f"{param}.role")
        # Content first: what is wrong with it is named as the caller wrote it.
        _check_content(given, given.get("content"), f"{param}.content")
        try:
            return models.Message.from_dict({**given, "role": role})
        except DecodeError as exc:
            raise BadRequestError(f"{param}: {exc.message}", param=param) from exc
    if not isinstance(given, models.Message):
        raise _wrong(param, "a Message, a dict or a string", given)
    _text(given.role, f"{param}.role")
    _check_content({"tool_calls": given.tool_calls}, given.content, f"{param}.content")
    return given


def _check_content(rest: Mapping[str, Any], content: object, param: str) -> None:
    if content is None and rest.get("tool_calls"):
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _wrong(param, "a string or a list of parts", content)
    for index, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise _wrong(f"{param}[{index}]", 'an object with a "type"', part)


def _text(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise _wrong(param, "a string", value)
    if not value.strip():
        raise BadRequestError(f"{param} must not be empty", param=param)
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise BadRequestError(f"{param} holds what UTF-8 cannot write", param=param) from exc
    return str(value)


def _optional_text(value: str | None, param: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _wrong(param, "a string", value)
    return value


def _id(value: object, param: str) -> str:
    return _text(str(value) if isinstance(value, UUID) else value, param)


def _optional_id(value: object, param: str) -> str | None:
    return None if value is None else _id(value, param)


def _number(value: Any, param: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise _wrong(param, "a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequestError(f"{param} must be a finite number", param=param)
    return value


def _wrong(param: str, expected: str, value: object) -> BadRequestError:
    # The value's type and not the value: it may be a prompt.
    got = "nothing" if value is None else type(value).__name__
    return BadRequestError(f"{param} must be {expected}, not {got}", param=param)
