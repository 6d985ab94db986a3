"""The dataclasses that client, server, agents and store speak.

Names are loaded when they are first used: dataclasses_json brings marshmallow along, which is
half of the time that importing the whole client takes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._base import MappingModel as MappingModel, Model as Model, OpenEnum as OpenEnum
    from .admin import (
        AdminInfo as AdminInfo,
        AdminListResponse as AdminListResponse,
        AdminRequest as AdminRequest,
        AdminResponse as AdminResponse,
        AuditEntry as AuditEntry,
        AuditLogResponse as AuditLogResponse,
        PlatformStats as PlatformStats,
        SystemHealth as SystemHealth,
    )
    from .completions import (
        ChatCompletionChoice as ChatCompletionChoice,
        ChatCompletionChunk as ChatCompletionChunk,
        ChatCompletionRequest as ChatCompletionRequest,
        ChatCompletionResponse as ChatCompletionResponse,
        ChoiceDelta as ChoiceDelta,
        ChunkChoice as ChunkChoice,
        Message as Message,
        MessageRole as MessageRole,
        ModelInfo as ModelInfo,
        ModelsResponse as ModelsResponse,
        UsageInfo as UsageInfo,
        text_of as text_of,
    )
    from .principal import Principal as Principal, Role as Role
    from .sessions import (
        ChatMessageRecord as ChatMessageRecord,
        ChatSessionDetailResponse as ChatSessionDetailResponse,
        ChatSessionListResponse as ChatSessionListResponse,
        ChatSessionSummary as ChatSessionSummary,
    )

_HOMES = {
    "_base": "MappingModel Model OpenEnum",
    "admin": "AdminInfo AdminListResponse AdminRequest AdminResponse AuditEntry AuditLogResponse"
    " PlatformStats SystemHealth",
    "completions": "ChatCompletionChoice ChatCompletionChunk ChatCompletionRequest"
    " ChatCompletionResponse ChoiceDelta ChunkChoice Message MessageRole ModelInfo ModelsResponse"
    " UsageInfo text_of",
    "principal": "Principal Role",
    "sessions": "ChatMessageRecord ChatSessionDetailResponse ChatSessionListResponse"
    " ChatSessionSummary",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value
