"""JSON Web Tokens (RFC 7519) of an issuer that the operator trusts: who holds one, and as what."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import jwt

from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage.principals import id_of_user

from .errors import Unauthenticated
from .jwks import KeySet
from .remembered import Remembered
from .token_rules import TokenRules

_LONGEST = 8192
_MOST_KNOWN = 10_000
_LIFE = 60.0
# The year 9999; what is later would not fit into a float, or might not.
_NEVER = 253_370_764_800
_REQUIRED = ["exp", "iss", "aud", "sub"]


class TokenReader:
    """Knows who holds a token, by its rules. A token cannot be revoked: it ends by itself."""

    def __init__(self, rules: TokenRules) -> None:
        self._rules = rules
        self._keys = None if rules.jwks is None else KeySet(rules.jwks)
        # To check a signature takes 50 us and more.
        self._known: Remembered[Principal] = Remembered(_MOST_KNOWN)

    async def authenticate(self, token: str) -> Principal:
        """Who holds the token. Raises Unauthenticated, and Unavailable where the issuer's keys
        cannot be read."""
        if len(token) > _LONGEST:
            raise _refused("it is too long")
        now = time.time()
        name = hashlib.sha256(token.encode()).hexdigest()
        known = self._known.find(name, now)
        if known is not None:
            return known
        claims = await self._claims(token)
        principal = self._principal(claims)
        end = min(int(claims["exp"]), _NEVER) + self._rules.leeway
        self._known.put(name, principal, min(now + _LIFE, end))
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise _refused("it cannot be read") from None
        # What signs is the operator's choice and not the token's: no "none", no public key taken
        # for a secret.
        if header.get("alg") not in self._rules.allowed or "crit" in header:
            raise _refused("its algorithm is not allowed")
        key: Any = self._rules.secret
        if self._keys is not None:
            kid = header.get("kid")
            key = await self._keys.find(kid if isinstance(kid, str) else None)
        try:
            return jwt.decode(
                token,
                key,
                algorithms=list(self._rules.allowed),
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as exc:
            raise _refused(_reason(exc)) from None
        except (ValueError, TypeError, OverflowError):
            raise _refused("its claims cannot be read") from None

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 256 or not subject.isprintable():
            raise _refused("its sub must be a text of 1 to 256 printable characters")
        named = claims.get(self._rules.role_claim, Role.USER.value)
        if named not in [role.value for role in Role]:
            raise _refused("it names a role that is none")
        role = Role(named)
        if role == Role.USER:
            return Principal(id_of_user(subject), role, user_id=subject)
        holder = uuid5(NAMESPACE_URL, f"chatserver:token:{self._rules.issuer}:{subject}")
        return Principal(str(holder), role, user_id=subject)


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is for another audience"),
    (jwt.InvalidIssuerError, "it is of another issuer"),
    (jwt.MissingRequiredClaimError, "it lacks one of exp, iss, aud and sub"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
)


def _reason(exc: Exception) -> str:
    return next((text for kind, text in _REASONS if isinstance(exc, kind)), "it cannot be read")


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(f"this token is not valid: {reason}", "invalid_token")
