"""The store: SQLAlchemy Core tables, verbs over them, one writer thread, migrations.

Nothing outside this room knows SQLAlchemy, and nothing in it knows agents, turns or HTTP.
"""

from .errors import (
    Conflict as Conflict,
    NotFound as NotFound,
    Refused as Refused,
    StoreError as StoreError,
    StoreInUse as StoreInUse,
    StoreUnavailable as StoreUnavailable,
    TurnOver as TurnOver,
    Unstorable as Unstorable,
)
from .store import Store as Store, open_store as open_store
