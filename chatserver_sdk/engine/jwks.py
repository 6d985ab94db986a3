"""The public keys of whoever issues tokens (RFC 7517), from a file or a URL, remembered."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from .errors import Unauthenticated, Unavailable

_log = logging.getLogger(__name__)

_SECONDS = 5.0
_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100
_SHORTEST_RSA = 2048
# How often an unknown key may have the set read again, and how old the set may become by itself.
_AGAIN = 60.0
_AGAIN_AFTER_FAILURE = 5.0
_OLD = 3600.0


class KeySet:
    """Finds a key by its id; the set is read when it is first needed, and never on the loop."""

    def __init__(self, source: str, again: float = _AGAIN) -> None:
        self._source = source
        self._again = again
        self._keys: Mapping[str | None, Any] = {}
        self._read_at: float | None = None
        self._next_read = 0.0
        self._reading = asyncio.Lock()

    async def find(self, kid: str | None) -> Any:
        """The public key. Raises Unauthenticated for an unknown one, Unavailable where no set
        could be read so far."""
        if self._is_wanted(kid):
            async with self._reading:
                if self._is_wanted(kid):
                    await self._read()
        if self._read_at is None:
            raise Unavailable(
                "tokens cannot be checked at the moment: their issuer's keys cannot be read",
                "token_keys_unavailable",
                retry_after=int(_AGAIN_AFTER_FAILURE),
            )
        key = self._keys.get(kid)
        if kid is None and len(self._keys) == 1:
            key = next(iter(self._keys.values()))
        if key is None:
            raise Unauthenticated("this token is signed with an unknown key", "invalid_token")
        return key

    def _is_wanted(self, kid: str | None) -> bool:
        now = time.monotonic()
        if now < self._next_read:
            return False
        is_old = self._read_at is None or now - self._read_at >= _OLD
        return is_old or (kid is not None and kid not in self._keys)

    async def _read(self) -> None:
        try:
            content = await asyncio.to_thread(fetch, self._source)
            self._keys = parse_keys(content)
        except (OSError, ValueError) as exc:
            self._next_read = time.monotonic() + _AGAIN_AFTER_FAILURE
            _log.warning("the issuer's keys cannot be read: %s", exc)
            return
        self._read_at = time.monotonic()
        self._next_read = self._read_at + self._again


def fetch(source: str) -> bytes:
    """The bytes of a file, or of what a URL answers; so many at most, and in bounded time.

    Raises OSError and ValueError. Blocks.
    """
    if not is_url(source):
        with open(Path(source).expanduser(), "rb") as file:
            return _bounded(file.read(_MOST_BYTES + 1))
    request = urllib.request.Request(source, headers={"Accept": "application/json"})
    with _opener.open(request, timeout=_SECONDS) as answer:
        content, deadline = b"", time.monotonic() + _SECONDS
        while len(content) <= _MOST_BYTES and (part := answer.read1(65536)):
            content += part
            if time.monotonic() > deadline:
                raise TimeoutError("the answer takes too long")
    return _bounded(content)


def is_url(source: str) -> bool:
    """Whether a set is to be asked for over HTTP."""
    return urlsplit(source).scheme in ("http", "https")


def parse_keys(content: bytes) -> dict[str | None, Any]:
    """The RSA keys for signatures in a set, by their ids. Raises ValueError."""
    document = json.loads(content)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("that is no JWK set")
    keys: dict[str | None, Any] = {}
    for entry in listed[:_MOST_KEYS]:
        if not isinstance(entry, dict) or entry.get("kty") != "RSA":
            continue
        kid = entry.get("kid")
        if entry.get("use", "sig") == "sig" and (kid is None or isinstance(kid, str)):
            key = _public_key(entry)
            if key is not None:
                keys[kid] = key
    if not keys:
        raise ValueError("there is no RSA key for signatures in the JWK set")
    return keys


def _public_key(entry: dict[str, Any]) -> Any:
    # Of a private key that somebody published by mistake, the public part.
    wanted = ["kty", "n", "e"]
    public = {name: entry[name] for name in wanted if name in entry}
    try:
        key = jwt.PyJWK(public, algorithm="RS256").key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if key.key_size >= _SHORTEST_RSA else None


def _bounded(content: bytes) -> bytes:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"the JWK set is longer than {_MOST_BYTES} bytes")
    return content


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where the operator says, and from nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)
