"""Tokens of another issuer: real ones, signed in every right and wrong way."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chatserver_sdk.engine import TokenRules, Unauthenticated, Unavailable
from chatserver_sdk.engine.jwks import KeySet, parse_keys
from chatserver_sdk.engine.tokens import TokenReader
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.models import Principal, Role
from chatserver_sdk.storage.principals import id_of_user
from chatserver_sdk.testing import WireServer, json_answer, plain_answer

SECRET = "s" * 64
RULES = {"audience": "chat", "issuer": "https://issuer.example"}


def private_key(name: str, size: int = 2048) -> rsa.RSAPrivateKey:
    """A key of the issuer's, the same for each name."""
    return _made(name, size)


@cache
def _made(name: str, size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def jwk(name: str, size: int = 2048, **fields: Any) -> dict[str, Any]:
    """Its public part as the issuer publishes it."""
    public = private_key(name, size).public_key()
    described = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    return {**described, "kid": name, "use": "sig", "alg": "RS256", **fields}


def pem(name: str) -> bytes:
    """Its public part as a text, which is no secret."""
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def claims(**fields: Any) -> dict[str, Any]:
    """What a good token says; None leaves a claim out."""
    now = int(time.time())
    good = {"sub": "ada", "aud": "chat", "iss": RULES["issuer"], "exp": now + 600, "nbf": now}
    return {key: value for key, value in {**good, **fields}.items() if value is not None}


def hs(key: str = SECRET, algorithm: str = "HS256", **fields: Any) -> str:
    """A token signed with a secret."""
    return jwt.encode(claims(**fields), key, algorithm)


def rs(name: str = "one", kid: str | None = "one", algorithm: str = "RS256", **fields: Any) -> str:
    """A token signed with one of the issuer's keys."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**fields), private_key(name), algorithm, headers)


def by_hand(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    """A token as no library would write it."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def read(*tokens: str, **rules: Any) -> list[Principal | str]:
    """Who holds each token; of one that is refused the code."""

    async def work() -> list[Principal | str]:
        reader = TokenReader(TokenRules(**{**RULES, **rules}))
        return [await _holder(reader, token) for token in tokens]

    return asyncio.run(work())


async def _holder(reader: TokenReader, token: str) -> Principal | str:
    try:
        return await reader.authenticate(token)
    except (Unauthenticated, Unavailable) as exc:
        assert token not in str(exc)
        return exc.code or ""


def test_a_user() -> None:
    """The subject is the user; a second time it is known without being checked."""
    token = hs()
    ada = Principal(id_of_user("ada"), Role.USER, user_id="ada")
    assert read(token, token, secret=SECRET) == [ada, ada]


@pytest.mark.parametrize("role", list(Role))
def test_roles(role: Role) -> None:
    """By a claim that the operator names; by any other nobody is more than a user."""
    (named,) = read(
        hs(**{"https://x/role": role.value}), secret=SECRET, role_claim="https://x/role"
    )
    (unnamed,) = read(hs(**{"https://x/role": role.value}), secret=SECRET)

    assert isinstance(named, Principal) and isinstance(unnamed, Principal)
    assert (named.role, unnamed.role, named.user_id) == (role, Role.USER, "ada")
    assert named.email is None and named.key_id is None


NOW = int(time.time())
BAD = {
    "expired": hs(exp=NOW - 60),
    "not yet": hs(nbf=NOW + 3600),
    "issued tomorrow": hs(iat=NOW + 86400),
    "no end": hs(exp=None),
    "no audience": hs(aud=None),
    "other audience": hs(aud="other"),
    "no issuer": hs(iss=None),
    "other issuer": hs(iss="https://other.example"),
    "no subject": hs(sub=None),
    "empty subject": hs(sub=""),
    "odd subject": hs(sub="a\0b"),
    "half a pair": by_hand({"alg": "HS256"}, {**claims(), "sub": "\ud800"}),
    "endless": hs(exp=float("inf")),
    "no number": hs(exp=float("nan")),
    "words": hs(exp="tomorrow"),
    "a list of audiences": hs(aud=["other", "another"]),
    "long subject": hs(sub="x" * 257),
    "unknown role": hs(role="root"),
    "roles": by_hand({"alg": "HS256"}, {}),
    "other secret": hs("t" * 64),
    "other algorithm": hs(algorithm="HS512"),
    "none": by_hand({"alg": "none"}, claims()),
    "None": by_hand({"alg": "None", "typ": "JWT"}, claims()),
    "no algorithm": by_hand({"typ": "JWT"}, claims()),
    "a list of them": by_hand({"alg": ["HS256"]}, claims()),
    "critical": jwt.encode(claims(), SECRET, "HS256", {"crit": ["x"], "x": 1}),
    "signed with a key": rs(),
    "no text": "a.b.c",
    "empty": "..",
    "too long": "e" * 9000,
    "odd letters": "ü.ü.ü",
    "cut": hs()[:-4],
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD)
def test_bad_tokens(token: str) -> None:
    """Each is refused, with a code and without being repeated."""
    assert read(token, secret=SECRET) == ["invalid_token"]


def test_far_ends() -> None:
    """However late a token ends, and whichever of several audiences we are."""
    tokens = [hs(exp=10**400), hs(exp=1e300), hs(aud=["other", "chat"]), hs(exp=str(NOW + 600))]
    assert all(isinstance(holder, Principal) for holder in read(*tokens, secret=SECRET))


def test_clocks_may_differ() -> None:
    """By as much as the operator allows."""
    late, early = hs(exp=int(time.time()) - 20), hs(nbf=int(time.time()) + 20)
    assert all(isinstance(found, Principal) for found in read(late, early, secret=SECRET))
    assert read(late, early, secret=SECRET, leeway=0) == ["invalid_token"] * 2


def test_every_letter_counts() -> None:
    """A token with one bit of its signature changed is nobody's, wherever that is."""
    token = hs()
    head, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=")
    changed = []
    for place in range(len(raw)):
        other = bytes([*raw[:place], raw[place] ^ 1, *raw[place + 1 :]])
        changed.append(f"{head}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}")
    assert set(map(str, read(*changed, secret=SECRET))) == {"invalid_token"}


WRONG_RULES: list[tuple[dict[str, Any], str]] = [
    ({}, "either jwt_secret or jwt_jwks"),
    ({"secret": SECRET, "jwks": "x.json"}, "either jwt_secret or jwt_jwks"),
    ({"secret": SECRET, "issuer": None}, "both jwt_audience and jwt_issuer"),
    ({"secret": SECRET, "audience": ""}, "both jwt_audience and jwt_issuer"),
    ({"secret": "short"}, "at least 32 bytes"),
    ({"secret": "s" * 40, "algorithms": ["HS256", "HS512"]}, "at least 64 bytes"),
    ({"secret": SECRET, "algorithms": ["RS256"]}, "jwt_algorithms must be of HS256"),
    ({"secret": SECRET, "algorithms": ["none"]}, "jwt_algorithms must be of HS256"),
    ({"jwks": "x.json", "algorithms": ["HS256"]}, "jwt_algorithms must be of RS256"),
    ({"jwks": "http://issuer.example/keys"}, "must be https"),
    ({"jwks": "ftp://issuer.example/keys"}, "https URL or a file"),
    ({"secret": SECRET, "role_claim": ""}, "jwt_role_claim"),
    ({"secret": SECRET, "leeway": 301}, "jwt_leeway"),
    ({"secret": SECRET, "leeway": -1}, "jwt_leeway"),
]


@pytest.mark.parametrize(("rules", "said"), WRONG_RULES)
def test_half_rules(rules: dict[str, Any], said: str) -> None:
    """What does not fit is refused before anybody asks; a secret is not repeated."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        TokenRules(**{**RULES, **rules})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(TokenRules(**RULES, secret=SECRET))


def served(server: WireServer, *names: str, **fields: Any) -> dict[str, Any]:
    """Have a server publish these keys; the rules that fit."""
    server.answers(json_answer(200, {"keys": [jwk(name, **fields) for name in names]}))
    return {"jwks": f"{server.base_url}/keys"}


def test_keys_of_the_issuer(wire_server: WireServer) -> None:
    """Read once for all tokens; each token is checked with the key that it names."""
    rules = served(wire_server, "one", "two")
    tokens = [rs("one", "one"), rs("two", "two"), rs("two", "one"), rs("one", None)]

    found = read(*tokens, **rules)

    assert [isinstance(holder, Principal) for holder in found] == [True, True, False, False]
    assert len(wire_server.requests) == 1


def test_the_only_key_needs_no_name(wire_server: WireServer) -> None:
    """A token that names none is checked with the one that there is."""
    assert isinstance(read(rs("one", None), **served(wire_server, "one"))[0], Principal)


def test_an_unknown_key_is_looked_for_once_a_minute(wire_server: WireServer) -> None:
    """Whoever makes up names cannot have the issuer asked for each of them."""
    rules = served(wire_server, "one")
    unknown = [rs("two", f"unknown-{number}") for number in range(20)]

    assert set(map(str, read(rs(), *unknown, **rules))) >= {"invalid_token"}
    assert len(wire_server.requests) == 1


def test_a_public_key_is_no_secret(wire_server: WireServer) -> None:
    """A token that is signed with the text of the public key, as if it were a secret, is refused;
    so is one without a signature."""
    header, payload = {"alg": "HS256", "kid": "one"}, claims()
    unsigned = by_hand(header, payload).rpartition(".")[0]
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(unsigned.encode(), pem("one")))
    confused = f"{unsigned}.{signature.rstrip(b'=').decode()}"
    unsigned = by_hand({"alg": "none", "kid": "one"}, payload)

    rules = served(wire_server, "one")
    assert read(confused, unsigned, hs(), **rules) == ["invalid_token"] * 3


def test_keys_in_a_file(tmp_path: Path) -> None:
    """The same set from a file."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [jwk("one")]}))
    assert isinstance(read(rs(), jwks=str(path))[0], Principal)


NO_SETS: dict[str, Any] = {
    "500": json_answer(500, {}),
    "redirect": plain_answer(302, b"", headers={"Location": "/elsewhere"}),
    "no json": plain_answer(200, b"<html>"),
    "no set": json_answer(200, {"keys": 5}),
    "empty": json_answer(200, {"keys": []}),
    "too long": json_answer(200, {"keys": [jwk("one")], "x": "x" * 300_000}),
    "a list": json_answer(200, []),
}


@pytest.mark.parametrize("answer", NO_SETS.values(), ids=NO_SETS)
def test_keys_that_cannot_be_read(
    wire_server: WireServer, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """503 and a line for the operator, and not a question for each token."""
    wire_server.answers(answer)

    found = read(rs(), rs(), rs(), jwks=f"{wire_server.base_url}/keys")

    assert found == ["token_keys_unavailable"] * 3
    assert len(wire_server.requests) == 1 and "keys cannot be read" in caplog.text


def test_no_issuer_there(tmp_path: Path) -> None:
    """Neither a file nor a server."""
    for nothing in (str(tmp_path / "none.json"), "http://127.0.0.1:9/keys"):
        assert read(rs(), jwks=nothing) == ["token_keys_unavailable"]


def parsed(keys: Sequence[Any]) -> set[str | None]:
    """The ids of the keys that count in a set."""
    return set(parse_keys(json.dumps({"keys": keys}).encode()))


def test_keys_that_do_not_count() -> None:
    """Those of other kinds, for encryption, too short, or broken; a private part is not taken."""
    others = [
        {"kty": "oct", "k": "eHh4", "kid": "secret"},
        jwk("one", use="enc", kid="enc"),
        jwk("short", 1024),
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken"},
        {"kty": "RSA", "kid": "empty"},
        jwk("one", kid=5),
        "text",
    ]
    private = jwt.algorithms.RSAAlgorithm.to_jwk(private_key("two"), as_dict=True)

    assert parsed([*others, jwk("one"), {**private, "kid": "two"}]) == {"one", "two"}
    with pytest.raises(ValueError, match="no RSA key"):
        parsed(others)
    keys = parse_keys(json.dumps({"keys": [{**private, "kid": "two"}]}).encode())
    assert isinstance(keys["two"], rsa.RSAPublicKey)


def test_a_cut_answer_is_none(wire_server: WireServer) -> None:
    """Half a set is no set."""
    whole = json.dumps({"keys": [jwk("one")]}).encode()
    wire_server.answers(plain_answer(200, whole[:99]))
    assert read(rs(), jwks=f"{wire_server.base_url}/keys") == ["token_keys_unavailable"]


def test_the_issuer_changes_keys(wire_server: WireServer) -> None:
    """Once the time has come an unknown key has the set read again; a set that cannot be read
    leaves the old one as it is."""
    answers = [json_answer(200, {"keys": [jwk(name)]}) for name in ("one", "two")]
    wire_server.answers(*answers, json_answer(500, {}))

    async def work() -> list[bool]:
        keys = KeySet(f"{wire_server.base_url}/keys", again=0.0)
        found = []
        for kid in ("one", "two", "one", "two"):
            try:
                found.append(await keys.find(kid) is not None)
            except Unauthenticated:
                found.append(False)
        return found

    assert asyncio.run(work()) == [True, True, False, True]
    assert len(wire_server.requests) == 3
