"""Which tokens of another issuer count. What reads them is in `tokens`, and imported if needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chatserver_sdk.exceptions import ConfigurationError

WITH_SECRET = ("HS256", "HS384", "HS512")
WITH_KEYS = ("RS256", "RS384", "RS512")
# RFC 7518, 3.2: as long as the hash.
_SHORTEST_SECRET = {"HS256": 32, "HS384": 48, "HS512": 64}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class TokenRules:
    """Which tokens count: of this issuer, for this audience, signed with the secret (HS*) or with
    one of the keys of a JWK set (RS*), which is a file's path or a URL. role_claim: the claim that
    names the role; without it the role is user. leeway: by how many seconds clocks may differ.

    Raises ConfigurationError for what does not fit.
    """

    secret: str | None = field(default=None, repr=False)
    jwks: str | None = None
    algorithms: Sequence[str] = ()
    audience: str | None = None
    issuer: str | None = None
    role_claim: str = "role"
    leeway: float = 30.0

    def __post_init__(self) -> None:
        if (self.secret is None) == (self.jwks is None):
            raise ConfigurationError(
                "tokens need either jwt_secret or jwt_jwks, to check their signatures with"
            )
        if not self.audience or not self.issuer:
            raise ConfigurationError("tokens need both jwt_audience and jwt_issuer to be checked")
        possible = WITH_KEYS if self.secret is None else WITH_SECRET
        if not set(self.allowed) <= set(possible):
            raise ConfigurationError(f"jwt_algorithms must be of {', '.join(possible)} here")
        if not self.role_claim or not 0 <= self.leeway <= 300:
            raise ConfigurationError(
                "jwt_role_claim must name a claim, and jwt_leeway be 0 to 300 seconds"
            )
        self._check_source()

    def _check_source(self) -> None:
        if self.secret is not None:
            shortest = max(_SHORTEST_SECRET[name] for name in self.allowed)
            if len(self.secret.encode()) < shortest:
                raise ConfigurationError(f"jwt_secret must have at least {shortest} bytes")
        address = urlsplit(self.jwks or "")
        if "://" in (self.jwks or "") and address.scheme not in ("http", "https"):
            raise ConfigurationError("jwt_jwks must be an https URL or a file's path")
        if address.scheme == "http" and address.hostname not in _LOOPBACK:
            raise ConfigurationError("jwt_jwks must be https: whoever changes it lets anybody in")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The algorithms that may sign."""
        return tuple(self.algorithms) or (("RS256",) if self.secret is None else ("HS256",))
