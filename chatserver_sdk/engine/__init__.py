"""The chat engine without HTTP: sessions, turns, keys, administration."""

from chatserver_sdk.storage.audit import AuditFilters as AuditFilters
from chatserver_sdk.storage.idempotency import Key as Key

from .catalogue import Catalogue as Catalogue
from .chat import ChatService as ChatService
from .errors import (
    EngineError as EngineError,
    Forbidden as Forbidden,
    Gone as Gone,
    InvalidRequest as InvalidRequest,
    ShuttingDown as ShuttingDown,
    Unauthenticated as Unauthenticated,
    UnknownModel as UnknownModel,
)
from .keys import KeyRing as KeyRing, new_key as new_key
from .messages import resync as resync
from .platform import PlatformService as PlatformService
from .sessions import SessionService as SessionService
from .turn import Turn as Turn
