"""`chatserver serve` with a file of settings, and what it says of settings that will not do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests

from chatserver_process import BOUND, COMMAND, ChatserverProcess, clean_environment

HERE = Path(__file__).parents[1] / "client" / "certificates"
FILE = f"""
port = 0
db = ":memory:"
bootstrap_key = "the-key-in-the-file"
grace = 0.5
metrics_public = true
tls_cert = "{HERE / 'server.pem'}"
require_tls = true

[aliases]
gpt-4 = "echo"
"""


@pytest.mark.parametrize("source", ["--config", "CHATSERVER_CONFIG"])
def test_a_file_of_settings(tmp_path: Path, source: str) -> None:
    """All of it counts: the certificate, the key, further names; a flag says otherwise."""
    path = tmp_path / "chatserver.toml"
    path.write_text(FILE)
    more = {source: str(path)} if source != "--config" else {}
    arguments = ["--config", str(path)] if source == "--config" else []
    environment = clean_environment(tmp_path / "home", **more)
    command = ("serve", *arguments, "--no-metrics-public")
    with ChatserverProcess(*command, environment=environment) as server:
        url = server.wait_until_ready()
        assert url.startswith("https://")
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(HERE / "ca.pem")
            assert session.get(f"{url}/metrics", timeout=BOUND).status_code == 401
            session.headers["Authorization"] = "Bearer the-key-in-the-file"
            models = session.get(f"{url}/v1/models", timeout=BOUND).json()["data"]
            assert "gpt-4" in {model["id"] for model in models}
        assert server.end() == 0
        assert server.errors == ""
        assert "the-key-in-the-file" not in server.output


@pytest.mark.parametrize(
    ("arguments", "content", "sentence"),
    [
        ([], "prot = 1", "{path}: there is no setting 'prot'"),
        ([], "bootstrap_key = 7", "{path}: bootstrap_key: its value must be a text"),
        ([], "bootstrap_key = 'hush hush'", "CHATSERVER_BOOTSTRAP_KEY must be"),
        (["--require-tls"], "", "require_tls is set, and there is neither a certificate"),
        (["--tls-cert", "/no/such.pem"], "", "tls_cert: /no/such.pem cannot be read"),
        (["--grace", "soon"], "", "--grace: 'soon' must be a number"),
        (["--log-level", "loud"], "", "log_level: 'loud' must be one of"),
        (["--cors-origins", "here"], "", "cors_origins: 'here' must look like"),
    ],
)
def test_settings_that_will_not_do(
    tmp_path: Path, arguments: list[str], content: str, sentence: str
) -> None:
    """One sentence with the key and the place, before anything is made."""
    path = tmp_path / "chatserver.toml"
    path.write_text(content)
    environment = clean_environment(tmp_path / "home")
    command = [COMMAND, "serve", "--config", str(path), "--db", str(tmp_path / "x.db"), *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BOUND)
    assert ran.returncode == 1 and ran.stdout == ""
    assert ran.stderr.startswith("Error: ") and len(ran.stderr.splitlines()) == 1
    assert sentence.format(path=path) in ran.stderr
    assert "hush" not in ran.stderr and not list(tmp_path.glob("x.db*"))
