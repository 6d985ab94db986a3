"""What `chatserver serve` logs: lines of JSON or text, with no secret and nobody's words."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import requests

from chatserver_process import BOUND, ChatserverProcess, clean_environment

KEY, WORDS, TICKET = "the-operators-secret-key", "my-private-question", "one-use-ticket"


def logged(home: Path, *arguments: str, **more: str) -> str:
    """What a server logs while it is asked for all sorts of things."""
    environment = clean_environment(home, CHATSERVER_BOOTSTRAP_KEY=KEY, **more)
    command = ("serve", "--port", "0", "--db", ":memory:", *arguments)
    with ChatserverProcess(*command, environment=environment) as server:
        url = server.wait_until_ready()
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {KEY}"
            body = {"model": "echo", "messages": [{"role": "user", "content": WORDS}]}
            named = {"X-Request-Id": "find-me"}
            path = "/v1/chat/completions"
            session.post(url + path, json=body, headers=named, timeout=BOUND)
            session.post(url + path, json={**body, "stream": True}, timeout=BOUND)
            session.post(url + path, data=WORDS, timeout=BOUND)
            session.get(f"{url}/v1/models/echo?ticket={TICKET}", timeout=BOUND)
            session.get(f"{url}/{WORDS}/x", timeout=BOUND)
            session.get(f"{url}/v1/models", headers={"Authorization": WORDS}, timeout=BOUND)
        assert server.end() == 0
        return server.errors


def check_secrecy(text: str) -> None:
    """Neither keys nor tickets nor what people say."""
    for secret in (KEY, WORDS, TICKET):
        assert secret not in text


def test_lines_of_json(tmp_path: Path) -> None:
    """One object a request, with who asked for what and how it went."""
    text = logged(tmp_path, "--log-format", "json", "--log-level", "info")
    lines = [json.loads(line) for line in text.splitlines()]
    check_secrecy(text)

    asked = [line for line in lines if line["logger"] == "chatserver_sdk.access"]
    assert [(line["method"], line["route"], line["status"]) for line in asked] == [
        ("POST", "/v1/chat/completions", 200),
        ("POST", "/v1/chat/completions", 200),
        ("POST", "/v1/chat/completions", 400),
        ("GET", "/v1/models/{model}", 200),
        ("GET", "unknown", 404),
        ("GET", "/v1/models", 401),
    ]
    first = asked[0]
    assert first["request_id"] == "find-me" and first["level"] == "info"
    assert first["ms"] > 0 and first["principal"] and asked[-1]["principal"] is None
    assert datetime.fromisoformat(first["time"].replace("Z", "+00:00")).tzinfo is not None
    assert len({line["request_id"] for line in asked}) == 6


def test_lines_of_text(tmp_path: Path) -> None:
    """The same for people, one line each; settings come from the environment as well."""
    text = logged(tmp_path, CHATSERVER_LOG_LEVEL="info")
    check_secrecy(text)
    first, *others = [line for line in text.splitlines() if "chatserver_sdk.access" in line]
    assert " INFO    chatserver_sdk.access: POST /v1/chat/completions 200 in " in first
    assert first.endswith(" request=find-me") and " principal=" in first
    assert len(others) == 5


def test_even_the_last_detail(tmp_path: Path) -> None:
    """At the level debug, too, there is no secret in it."""
    text = logged(tmp_path, "--log-level", "debug", "--log-format", "json")
    check_secrecy(text)
    assert all(json.loads(line)["message"] for line in text.splitlines())


@pytest.mark.parametrize("level", ["warning", "error"])
def test_silence(tmp_path: Path, level: str) -> None:
    """Where all goes well, nothing is said above the level info."""
    assert logged(tmp_path, "--log-level", level) == ""
