"""From a request to a plan: who asks, in whose name, in which session. Nothing is stored here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from chatserver_sdk._ids import new_id
from chatserver_sdk.agents import Agent, InvalidQuestion, Question
from chatserver_sdk.models import (
    ChatCompletionRequest,
    ChatSessionSummary,
    Message,
    MessageRole,
    Principal,
    Role,
)
from chatserver_sdk.storage import session_metadata
from chatserver_sdk.storage.idempotency import Claim
from chatserver_sdk.storage.turns import TurnPlan

from .errors import Forbidden, InvalidRequest, metadata_too_long
from .turn import Turn

# Keys of a request's metadata that have a meaning; the others are kept with the session.
_MEANT = {
    "session_id",
    "user_id",
    "organization_id",
    "variables",
    "allowed_tools",
    "setting_sources",
    "mcp_servers",
    "on_disconnect",
}
CONTINUE = "continue"
CANCEL = "cancel"
_PASSED_ON = (
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
)
_LONGEST_TITLE = 80


@dataclass(frozen=True)
class Asked:
    """A request that may be carried out. user_id None: it is not to be stored.

    opens: whether a session that is not known is made. on_disconnect: what becomes of the turn
    when nobody reads it any more; None: as the server does.
    """

    request: ChatCompletionRequest
    principal: Principal
    agent: Agent
    user_id: str | None
    session_id: str
    names_session: bool
    question: Question
    opens: bool = True
    on_disconnect: str | None = None


def resolve(request: ChatCompletionRequest, principal: Principal, agent: Agent) -> Asked:
    """What the request comes to. Raises InvalidRequest with the field, Forbidden."""
    metadata = request.metadata or {}
    user_id = _user_of(request, principal, metadata)
    given = _session_id(metadata)
    session_id = given or new_id()
    question = Question(
        messages=request.messages,
        model=request.model,
        session_id=session_id,
        user_id=user_id,
        system_prompt=request.system_prompt,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        top_p=request.top_p,
        variables=_object(metadata, "variables"),
        metadata=metadata,
        **_options(request),
    )
    _check(agent, question)
    _text(metadata, "organization_id")
    wanted = on_disconnect_of(metadata)
    asked = Asked(request, principal, agent, user_id, session_id, given is not None, question)
    return asked if wanted is None else replace(asked, on_disconnect=wanted)


def _check(agent: Agent, question: Question) -> None:
    try:
        agent.check(question)
    except InvalidQuestion as exc:
        raise InvalidRequest(str(exc), "invalid_variable", f"metadata.{exc.param}") from exc


def reader_of(principal: Principal, user_id: str | None) -> str:
    """In whose name a history is read: a user's key means its own user where none is given.

    Raises Forbidden, and InvalidRequest where a user must be named.
    """
    if user_id is None:
        if principal.role not in (Role.USER, Role.EXPERT) or principal.user_id is None:
            raise InvalidRequest(
                "user_id is missing: this API key is bound to no user", "missing", "user_id"
            )
        return principal.user_id
    if not principal.may_act_for(user_id):
        raise Forbidden("this API key may not read another user's history", "wrong_user")
    return user_id


def check_lengths(request: ChatCompletionRequest, longest: int) -> None:
    """Raises InvalidRequest for a message whose text is too long."""
    for index, message in enumerate(request.messages):
        if len(message.text) > longest:
            param = f"messages[{index}].content"
            sentence = f"{param} is longer than {longest} characters"
            raise InvalidRequest(sentence, "message_too_long", param)


def again(asked: Asked, failed: Turn) -> Asked:
    """The same, in the session in which it was asked before."""
    question = replace(asked.question, session_id=failed.session_id)
    return replace(asked, session_id=failed.session_id, question=question)


def plan(asked: Asked, turn: Turn, context_size: int, claim: Claim | None = None) -> TurnPlan:
    """What is to be stored of it before the agent runs. Raises InvalidRequest."""
    assert asked.user_id is not None
    now = turn.started_at
    metadata = asked.request.metadata or {}
    session = ChatSessionSummary(
        id=asked.session_id,
        user_id=asked.user_id,
        organization_id=_text(metadata, "organization_id"),
        title=_title(asked.request.messages),
        model=asked.request.model,
        agent_type=asked.agent.name,
        created_at=now,
        updated_at=now,
        last_message_at=now,
        metadata=_kept(asked, metadata),
    )
    return TurnPlan(
        turn_id=turn.id,
        session=session,
        principal_id=asked.principal.id,
        sent=asked.request.messages,
        context_size=context_size,
        now=now,
        claim=claim,
        opens=asked.opens,
    )


def _kept(asked: Asked, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the session keeps of it; what is said to one that was opened by itself is no
    description of that."""
    kept = {k: v for k, v in metadata.items() if k not in _MEANT} if asked.opens else {}
    try:
        if kept:
            session_metadata.check_length(kept)
    except session_metadata.MetadataTooLong as exc:
        raise metadata_too_long(exc) from exc
    return kept


def on_disconnect_of(metadata: Mapping[str, Any]) -> str | None:
    """What becomes of a turn that nobody reads; None: not said. Raises InvalidRequest."""
    wanted = metadata.get("on_disconnect")
    if wanted not in (None, CONTINUE, CANCEL):
        raise InvalidRequest(
            f"on_disconnect must be {CONTINUE} or {CANCEL}",
            "invalid_value",
            "metadata.on_disconnect",
        )
    return wanted


def _options(request: ChatCompletionRequest) -> dict[str, Any]:
    """What agents that ask a model pass on to it."""
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    passed = {name: getattr(request, name) for name in _PASSED_ON}
    return {**passed, "tools": request.tools or (), "stop": stop or ()}


def _user_of(
    request: ChatCompletionRequest, principal: Principal, metadata: Mapping[str, Any]
) -> str | None:
    user_id = request.user or _text(metadata, "user_id")
    if user_id is None and principal.role in (Role.USER, Role.EXPERT):
        user_id = principal.user_id
    if user_id is not None and not principal.may_act_for(user_id):
        raise Forbidden("this API key may not act for another user", "wrong_user", "user")
    return user_id


def _session_id(metadata: Mapping[str, Any]) -> str | None:
    given = _text(metadata, "session_id")
    if given is None:
        return None
    try:
        return str(UUID(given))
    except ValueError:
        raise InvalidRequest(
            "session_id must be a UUID: the system_fingerprint of an earlier answer, or a new one",
            "invalid_session_id",
            "metadata.session_id",
        ) from None


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 256:
        raise InvalidRequest(
            f"{key} must be a text of 1 to 256 characters", "invalid_value", f"metadata.{key}"
        )
    return value


def _object(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = metadata.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequest(f"{key} must be an object", "invalid_value", f"metadata.{key}")
    return value or {}


def _title(messages: list[Message]) -> str | None:
    """The start of the first thing that the user says."""
    for message in messages:
        if message.role == MessageRole.USER and (words := message.text.split()):
            title = " ".join(words)
            return title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE - 1]}…"
    return None
