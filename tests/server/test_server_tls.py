"""A server with a certificate, behind a proxy that has one, and what it refuses in plain text."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from server_wire import COMPLETIONS, check_refusal, raw_request, send_raw, serving

from chatserver_sdk import ChatServerClient, ConfigurationError
from chatserver_sdk.server import Settings
from chatserver_sdk.server.tls import context_of

HERE = Path(__file__).parents[1] / "client" / "certificates"
CERT, CA = str(HERE / "server.pem"), str(HERE / "ca.pem")


@pytest.fixture
def locked_key(tmp_path: Path) -> str:
    """The certificate's key, locked with a password."""
    path = tmp_path / "locked.pem"
    assert shutil.which("openssl")
    command = ["openssl", "pkey", "-in", CERT, "-out", path, "-aes128", "-passout", "pass:hush"]
    subprocess.run(command, check=True, capture_output=True)
    return str(path)


def test_a_client_over_tls() -> None:
    """Completions and streams, and the certificate is the one of the settings."""
    with serving(tls_cert=CERT, require_tls=True) as api:
        assert api.base_url.startswith("https://127.0.0.1:")
        with ChatServerClient(str(api.key), api.base_url) as client:
            client.session.verify = CA
            assert client.create_completion("echo", "Hi").choices[0].message.text == "Hi"
            assert "".join(client.create_completion("echo", "a b", stream=True)) == "a b"
        with pytest.raises(requests.exceptions.SSLError):
            api.get("/health")


def test_plain_text_where_tls_is_spoken() -> None:
    """It gets no answer, and old protocols get none either."""
    with serving(tls_cert=CERT) as api:
        plain = api.base_url.replace("https", "http")
        assert b"200" not in send_raw(plain, raw_request(b"/health", {}))
        host, port = plain.removeprefix("http://").split(":")
        context = ssl.create_default_context(cafile=CA)
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            with context.wrap_socket(connection, server_hostname="localhost") as secured:
                assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_a_locked_key(locked_key: str, tmp_path: Path) -> None:
    """It opens with the password in the file; a wrong one, or none, is said in a sentence."""
    password = tmp_path / "password"
    password.write_text("hush\n")
    settings = {"tls_cert": CERT, "tls_key": locked_key}
    assert context_of(Settings(**settings, tls_key_password_file=str(password))) is not None
    password.write_text("not this")
    for more in ({"tls_key_password_file": str(password)}, {}):
        with pytest.raises(ConfigurationError, match="does not open with the password") as raised:
            context_of(Settings(**settings, **more))
        assert "not this" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"tls_cert": "/no/such.pem"}, "tls_cert: /no/such.pem cannot be read: No such file"),
        ({"tls_cert": CERT, "tls_key": "/no.pem"}, "tls_key: /no.pem cannot be read: No such"),
        (
            {"tls_cert": CERT, "tls_key_password_file": "/no"},
            "tls_key_password_file: /no cannot be read",
        ),
        ({"tls_cert": CERT, "tls_key": str(HERE / "client.pem")}, "does not belong to the"),
        ({"tls_cert": CA}, "there is no certificate with its key"),
        ({"tls_cert": __file__}, "there is no certificate with its key"),
        ({"tls_cert": str(HERE)}, "cannot be read: Is a directory"),
    ],
)
def test_certificates_that_will_not_do(values: dict[str, Any], sentence: str) -> None:
    """Each is a sentence that names the file at fault."""
    with pytest.raises(ConfigurationError) as raised:
        context_of(Settings(**values))
    assert sentence in str(raised.value)


def test_behind_a_proxy_that_is_trusted() -> None:
    """What came to it over TLS is answered, what came in plain text is not, but for health."""
    with serving(require_tls=True, trusted_proxies=("127.0.0.0/8",)) as api:
        secure = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
        assert api.call("GET", "/v1/models", headers=secure).status_code == 200
        for plain in ({}, {"X-Forwarded-Proto": "http"}):
            for method, path in (("GET", "/v1/models"), ("POST", COMPLETIONS), ("GET", "/docs")):
                answer = api.call(method, path, headers=plain)
                assert "HTTPS only" in check_refusal(answer, 403)["message"]
            assert api.call("GET", "/health/ready", headers=plain).status_code == 200
        upgrade = {b"Connection": b"Upgrade", b"Upgrade": b"websocket"}
        upgrade |= {b"Sec-WebSocket-Key": b"x" * 22 + b"==", b"Sec-WebSocket-Version": b"13"}
        assert send_raw(api.base_url, raw_request(b"/ws", upgrade)).startswith(b"HTTP/1.1 403")


def test_a_proxy_that_nobody_knows() -> None:
    """What it says of others has no meaning."""
    with serving(require_tls=True, trusted_proxies=("203.0.113.1",)) as api:
        answer = api.call("GET", "/v1/models", headers={"X-Forwarded-Proto": "https"})
        check_refusal(answer, 403)
