"""Who asks: the principal behind a key, and what its role may do."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._base import Model, OpenEnum


class Role(OpenEnum):
    """user: for its own user. service, admin: for any user. expert: a person who answers."""

    USER = "user"
    SERVICE = "service"
    EXPERT = "expert"
    ADMIN = "admin"


@dataclass
class Principal(Model):
    """Who a request comes from; never holds the key itself.

    id: the one that the store gave them. role: what they may do. email, name: who they are, where
    known. user_id: the user that they are, None for a service. key_id: the id of the key that they
    came with, None for a token.
    """

    id: str
    role: Role
    email: str | None = None
    name: str | None = None
    user_id: str | None = None
    # With another key of theirs they are the same.
    key_id: str | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """What the audit log calls them."""
        return self.email or self.user_id or self.id

    def may_act_for(self, user_id: str) -> bool:
        """Whether they may ask and read in this user's name."""
        return self.role in (Role.SERVICE, Role.ADMIN) or self.user_id == user_id
