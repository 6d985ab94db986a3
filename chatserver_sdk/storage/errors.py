"""What the store may say instead of doing what it was asked."""

from __future__ import annotations


class StoreError(Exception):
    """The base of everything here; its text is a sentence for a person."""


class StoreUnavailable(StoreError):
    """The database cannot be opened, read or written at the moment. `code` is for programs.

    sentence: for everybody. The text adds what the driver says, which may name hosts: for logs.
    """

    code = "store_unavailable"

    def __init__(self, sentence: str, reason: str | None = None) -> None:
        super().__init__(sentence if reason is None else f"{sentence}: {reason}")
        self.sentence = sentence


class StoreInUse(StoreUnavailable):
    """Another server has the database to itself."""


class Unstorable(StoreError):
    """What is to be written does not fit the database; nothing of it was."""


class Refused(StoreError):
    """A verb declined before it wrote anything, so nothing has to be undone."""


class NotFound(Refused):
    """There is no such record, or it belongs to somebody else."""


class TurnOver(Refused):
    """A turn that is to be ended does not run: it was ended before, or its process taken for dead."""


class Conflict(Refused):
    """What is asked does not fit what is stored. `code` is for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
