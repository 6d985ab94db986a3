"""TLS as the settings say: the certificate, and who may be asked without."""

from __future__ import annotations

import ssl
from pathlib import Path

from starlette.types import Scope

from chatserver_sdk.exceptions import ConfigurationError

from .errors import RequestRefused
from .settings import Settings

_SECURE = ("https", "wss")
# Probes come from beside the server, not through its proxy, and learn nothing that is secret.
_OPEN = ("/health", "/health/live", "/health/ready")


def context_of(settings: Settings) -> ssl.SSLContext | None:
    """What connections are secured with; None where they are plain.

    Raises ConfigurationError with the file at fault.
    """
    if settings.tls_cert is None:
        return None
    certificate = _read("tls_cert", settings.tls_cert)
    key = _read("tls_key", settings.tls_key) if settings.tls_key else certificate
    password = b""
    if settings.tls_key_password_file:
        path = _read("tls_key_password_file", settings.tls_key_password_file)
        password = path.read_bytes().rstrip(b"\r\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Always a password, even an empty one: without, OpenSSL asks on the terminal.
        context.load_cert_chain(certificate, key, lambda: password)
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigurationError(_sentence(exc, certificate, key)) from None
    return context


def check_secure(settings: Settings, scope: Scope) -> None:
    """Raises RequestRefused for what came in plain text and must not."""
    if settings.require_tls and scope["scheme"] not in _SECURE and scope["path"] not in _OPEN:
        raise RequestRefused(403, "this server speaks HTTPS only; ask for https://")


def _read(name: str, path: str) -> Path:
    found = Path(path).expanduser()
    try:
        with found.open("rb"):
            return found
    except OSError as exc:
        raise ConfigurationError(f"{name}: {found} cannot be read: {exc.strerror}") from None


def _sentence(exc: Exception, certificate: Path, key: Path) -> str:
    reason = str(getattr(exc, "reason", "") or "")
    if "MISMATCH" in reason:
        return f"tls_key: the key in {key} does not belong to the certificate in {certificate}"
    # OpenSSL says the same of a wrong password as of what is no key at all.
    if b"ENCRYPTED" in key.read_bytes():
        return (
            f"tls_key: the key in {key} does not open with the password in"
            " tls_key_password_file, or needs one"
        )
    return f"tls_cert: there is no certificate with its key (PEM) in {certificate} and {key}"
