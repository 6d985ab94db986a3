"""OpenAI's published client, as it is, against our server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chatserver_sdk.testing import RunningServer, running_server

SCRIPT = Path(__file__).parent / "openai_client.py"
SECONDS = 120


@pytest.fixture(scope="module")
def said(interop_python: Path) -> dict[str, Any]:
    """What the client got, by case; it ran without a warning."""
    with running_server() as server:
        ran = run_client(interop_python, server)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return {line["case"]: line["value"] for line in lines}


def run_client(python: Path, server: RunningServer) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-W", "error", str(SCRIPT), f"{server.base_url}/v1", server.api_key]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def test_completion(said: dict[str, Any]) -> None:
    """Text, reason to end, cost and fingerprint are where the client looks for them."""
    answer = said["plain"]
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "one two three"
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "echo"
    assert answer["usage"]["prompt_tokens"] == 5
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["usage"]["total_tokens"] == 8
    assert UUID(answer["system_fingerprint"])


def test_stream(said: dict[str, Any]) -> None:
    """First the role, then the text piece by piece, then the reason to end, with the cost."""
    chunks = said["stream"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert [delta["content"] for delta in deltas if delta["content"]] == ["one ", "two ", "three"]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    assert reasons == [None, None, None, None, "stop"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["usage"]["total_tokens"] == 8
    (fingerprint,) = {chunk["system_fingerprint"] for chunk in chunks}
    assert UUID(fingerprint)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_stream_helper(said: dict[str, Any]) -> None:
    """The client's stricter reader adds the chunks up to the same answer."""
    helped = said["stream_helper"]
    assert helped["kinds"].count("content.delta") >= 3
    assert helped["kinds"][-1] == "content.done"
    (choice,) = helped["final"]["choices"]
    assert choice["message"]["content"] == "one two three"
    assert choice["finish_reason"] == "stop"


def test_models(said: dict[str, Any]) -> None:
    """The list and a model alone are the same."""
    assert [model["id"] for model in said["models"]] == ["echo", "eliza"]
    assert said["model"] == said["models"][1]
    assert {model["object"] for model in said["models"]} == {"model"}
    assert all(model["owned_by"] and model["created"] > 0 for model in said["models"])


@pytest.mark.parametrize(
    ("case", "name", "status", "code", "param"),
    [
        ("wrong_key", "AuthenticationError", 401, "invalid_api_key", None),
        ("unknown_model", "NotFoundError", 404, "model_not_found", "model"),
        ("unknown_model_streamed", "NotFoundError", 404, "model_not_found", "model"),
        ("unknown_model_retrieved", "NotFoundError", 404, "model_not_found", "model"),
        ("no_messages", "BadRequestError", 400, "invalid_value", "messages"),
        ("bad_temperature", "BadRequestError", 400, "invalid_value", "temperature"),
        ("unknown_route", "NotFoundError", 404, "not_found", None),
    ],
)
def test_failure(
    said: dict[str, Any], case: str, name: str, status: int, code: str, param: str | None
) -> None:
    """Each failure is of the class that a user of the client catches, with code and field."""
    failure = said[case]
    assert (failure["class"], failure["status"]) == (name, status)
    assert (failure["code"], failure["param"]) == (code, param)
    assert failure["type"].endswith("_error")
    assert failure["request_id"]
