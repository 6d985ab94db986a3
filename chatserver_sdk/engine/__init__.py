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
    RateLimited as RateLimited,
    ShuttingDown as ShuttingDown,
    Unauthenticated as Unauthenticated,
    Unavailable as Unavailable,
    UnknownModel as UnknownModel,
)
from .failures import FailedAuthentications as FailedAuthentications
from .issuer import KeyIssuer as KeyIssuer
from .keys import KeyRing as KeyRing, new_key as new_key
from .messages import resync as resync
from .platform import PlatformService as PlatformService
from .sessions import SessionService as SessionService
from .tickets import TicketOffice as TicketOffice
from .token_rules import TokenRules as TokenRules
from .turn import Turn as Turn
