"""The dataclasses that client, server, agents and store speak.

Names are loaded when they are first used: dataclasses_json brings marshmallow along, which is
half of the time that importing the whole client takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatserver_sdk._lazy import lazy_names

if TYPE_CHECKING:
    from ._base import MappingModel as MappingModel, Model as Model, OpenEnum as OpenEnum
    from .admin import (
        AdminInfo as AdminInfo,
        AdminListResponse as AdminListResponse,
        AdminRequest as AdminRequest,
        AdminResponse as AdminResponse,
        AuditEntry as AuditEntry,
        AuditFault as AuditFault,
        AuditHead as AuditHead,
        AuditLogResponse as AuditLogResponse,
        AuditVerification as AuditVerification,
        PlatformStats as PlatformStats,
        SystemHealth as SystemHealth,
        UserDeletion as UserDeletion,
    )
    from .completions import (
        ChatCompletionChoice as ChatCompletionChoice,
        ChatCompletionChunk as ChatCompletionChunk,
        ChatCompletionRequest as ChatCompletionRequest,
        ChatCompletionResponse as ChatCompletionResponse,
        ChoiceDelta as ChoiceDelta,
        ChoiceLogprobs as ChoiceLogprobs,
        ChunkChoice as ChunkChoice,
        Message as Message,
        MessageRole as MessageRole,
        ModelInfo as ModelInfo,
        ModelsResponse as ModelsResponse,
        TokenLogprob as TokenLogprob,
        TopLogprob as TopLogprob,
        UsageInfo as UsageInfo,
    )
    from .content import (
        audio_part as audio_part,
        content_problem as content_problem,
        file_part as file_part,
        image_part as image_part,
        speaks_otherwise as speaks_otherwise,
        text_of as text_of,
        text_part as text_part,
    )
    from .keys import (
        ApiKeyCreated as ApiKeyCreated,
        ApiKeyInfo as ApiKeyInfo,
        ApiKeyListResponse as ApiKeyListResponse,
        ApiKeyRequest as ApiKeyRequest,
        TicketResponse as TicketResponse,
    )
    from .principal import Principal as Principal, Role as Role
    from .session_chat import (
        CancelMessageResponse as CancelMessageResponse,
        ChatSession as ChatSession,
        ChatSessionPage as ChatSessionPage,
        CreateSessionRequest as CreateSessionRequest,
        DeleteSessionResponse as DeleteSessionResponse,
        FileInfo as FileInfo,
        FileList as FileList,
        SessionChatRequest as SessionChatRequest,
        SessionChatResponse as SessionChatResponse,
        SessionMessage as SessionMessage,
        SessionStatus as SessionStatus,
        UpdateSessionRequest as UpdateSessionRequest,
        session_content_problem as session_content_problem,
    )
    from .sessions import (
        ChatMessageRecord as ChatMessageRecord,
        ChatSessionDetailResponse as ChatSessionDetailResponse,
        ChatSessionListResponse as ChatSessionListResponse,
        ChatSessionSummary as ChatSessionSummary,
    )
    from .tools import (
        FunctionCall as FunctionCall,
        FunctionCallDelta as FunctionCallDelta,
        FunctionDefinition as FunctionDefinition,
        Tool as Tool,
        ToolCall as ToolCall,
        ToolCallDelta as ToolCallDelta,
    )

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "_base": "MappingModel Model OpenEnum",
        "admin": "AdminInfo AdminListResponse AdminRequest AdminResponse AuditEntry AuditFault"
        " AuditHead AuditLogResponse AuditVerification PlatformStats SystemHealth UserDeletion",
        "completions": "ChatCompletionChoice ChatCompletionChunk ChatCompletionRequest"
        " ChatCompletionResponse ChoiceDelta ChoiceLogprobs ChunkChoice Message MessageRole"
        " ModelInfo ModelsResponse TokenLogprob TopLogprob UsageInfo",
        "content": "audio_part content_problem file_part image_part speaks_otherwise text_of"
        " text_part",
        "keys": "ApiKeyCreated ApiKeyInfo ApiKeyListResponse ApiKeyRequest TicketResponse",
        "principal": "Principal Role",
        "session_chat": "CancelMessageResponse ChatSession ChatSessionPage CreateSessionRequest"
        " DeleteSessionResponse FileInfo FileList SessionChatRequest SessionChatResponse"
        " SessionMessage SessionStatus UpdateSessionRequest session_content_problem",
        "sessions": "ChatMessageRecord ChatSessionDetailResponse ChatSessionListResponse"
        " ChatSessionSummary",
        "tools": "FunctionCall FunctionCallDelta FunctionDefinition Tool ToolCall ToolCallDelta",
    },
)
