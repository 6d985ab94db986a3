"""Talk to a chat server: completions, streams, recorded sessions, administration.

Names are loaded when they are first used, so that `import chatserver_sdk` costs next to nothing
and loads no extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatserver_sdk._lazy import lazy_names

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .client import ChatServerClient as ChatServerClient, create_client as create_client
    from .exceptions import (
        APIConnectionError as APIConnectionError,
        APIStatusError as APIStatusError,
        APITimeoutError as APITimeoutError,
        BadRequestError as BadRequestError,
        ChatServerError as ChatServerError,
        ConfigurationError as ConfigurationError,
        ConflictError as ConflictError,
        DecodeError as DecodeError,
        ForbiddenError as ForbiddenError,
        InternalServerError as InternalServerError,
        NotFoundError as NotFoundError,
        RateLimitError as RateLimitError,
        ServiceUnavailableError as ServiceUnavailableError,
        StreamConsumedError as StreamConsumedError,
        StreamError as StreamError,
        StreamFailedError as StreamFailedError,
        StreamInterruptedError as StreamInterruptedError,
        TransportError as TransportError,
        UnauthorizedError as UnauthorizedError,
        UnprocessableEntityError as UnprocessableEntityError,
    )
    from .models import (
        AdminInfo as AdminInfo,
        AdminListResponse as AdminListResponse,
        AdminResponse as AdminResponse,
        ApiKeyCreated as ApiKeyCreated,
        ApiKeyInfo as ApiKeyInfo,
        ApiKeyListResponse as ApiKeyListResponse,
        AuditEntry as AuditEntry,
        AuditLogResponse as AuditLogResponse,
        ChatCompletionChoice as ChatCompletionChoice,
        ChatCompletionChunk as ChatCompletionChunk,
        ChatCompletionRequest as ChatCompletionRequest,
        ChatCompletionResponse as ChatCompletionResponse,
        ChatMessageRecord as ChatMessageRecord,
        ChatSessionDetailResponse as ChatSessionDetailResponse,
        ChatSessionListResponse as ChatSessionListResponse,
        ChatSessionSummary as ChatSessionSummary,
        ChoiceLogprobs as ChoiceLogprobs,
        CancelMessageResponse as CancelMessageResponse,
        ChatSession as ChatSession,
        DeleteSessionResponse as DeleteSessionResponse,
        FileInfo as FileInfo,
        SessionChatResponse as SessionChatResponse,
        SessionMessage as SessionMessage,
        SessionStatus as SessionStatus,
        FunctionCall as FunctionCall,
        FunctionDefinition as FunctionDefinition,
        Message as Message,
        MessageRole as MessageRole,
        ModelInfo as ModelInfo,
        ModelsResponse as ModelsResponse,
        PlatformStats as PlatformStats,
        SystemHealth as SystemHealth,
        TokenLogprob as TokenLogprob,
        Tool as Tool,
        ToolCall as ToolCall,
        ToolCallDelta as ToolCallDelta,
        UsageInfo as UsageInfo,
        audio_part as audio_part,
        file_part as file_part,
        image_part as image_part,
        text_part as text_part,
    )
    from .conversation import Conversation as Conversation
    from ._options import CompletionOptions as CompletionOptions
    from ._transport import (
        CallOptions as CallOptions,
        RetryPolicy as RetryPolicy,
        Timeout as Timeout,
    )
    from .message_stream import MessageStream as MessageStream
    from .raw import RawResponse as RawResponse
    from .streaming import CompletionStream as CompletionStream

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "_options": "CompletionOptions",
        "_version": "__version__",
        "_transport": "CallOptions RetryPolicy Timeout",
        "client": "ChatServerClient create_client",
        "conversation": "Conversation",
        "exceptions": "APIConnectionError APIStatusError APITimeoutError BadRequestError"
        " ChatServerError ConfigurationError ConflictError DecodeError ForbiddenError"
        " InternalServerError NotFoundError RateLimitError ServiceUnavailableError"
        " StreamConsumedError StreamError StreamFailedError StreamInterruptedError TransportError"
        " UnauthorizedError UnprocessableEntityError",
        "models": "CancelMessageResponse ChatSession DeleteSessionResponse FileInfo"
        " SessionChatResponse SessionMessage SessionStatus AdminInfo AdminListResponse AdminResponse ApiKeyCreated ApiKeyInfo"
        " ApiKeyListResponse AuditEntry AuditLogResponse"
        " ChatCompletionChoice ChatCompletionChunk ChatCompletionRequest ChatCompletionResponse"
        " ChatMessageRecord ChatSessionDetailResponse ChatSessionListResponse ChatSessionSummary"
        " ChoiceLogprobs FunctionCall FunctionDefinition Message MessageRole ModelInfo ModelsResponse"
        " PlatformStats SystemHealth TokenLogprob Tool ToolCall ToolCallDelta UsageInfo audio_part"
        " file_part image_part text_part",
        "message_stream": "MessageStream",
        "raw": "RawResponse",
        "streaming": "CompletionStream",
    },
)
