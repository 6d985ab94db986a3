"""Which proxy counts where several are set, and what is said of one that is none."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from chatserver_sdk import APIConnectionError, ChatServerClient, ConfigurationError
from chatserver_sdk.testing import WireServer, json_answer

MODELS: dict[str, Any] = {"data": [{"id": "m"}]}


@pytest.mark.parametrize("key", ["http", "all", "http://chat.example", "all://chat.example"])
@pytest.mark.parametrize("slow", [False, True])
def test_a_proxy_of_the_session(
    wire_server: WireServer, monkeypatch: pytest.MonkeyPatch, key: str, slow: bool
) -> None:
    """It wins over the environment's, however it is named; what it is not for goes as before."""
    wire_server.answers(json_answer(200, MODELS))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ChatServerClient("k", "http://chat.example", max_retries=0) as client:
        client.session.proxies = {key: wire_server.base_url}
        client.session.params = {"a": "b"} if slow else {}
        client.list_models()
        client.session.proxies = {"https": wire_server.base_url}
        with pytest.raises(APIConnectionError, match="^the proxy for"):
            client.list_models()
    assert len(wire_server.requests) == 1


NO_PROXIES = [
    "http://me:pw-0123@",
    "http://me:pw-0123@host:port",
    "http://me:pw-0123@[::1",
    "http://me:pw-0123@127.0.0.1:99999",
    "me:pw-0123@127.0.0.1:9",
    "http://",
    5,
]


@pytest.mark.parametrize("proxy", NO_PROXIES)
@pytest.mark.parametrize("base_url", ["http://chat.example", "https://chat.example"])
@pytest.mark.parametrize("slow", [False, True])
def test_a_proxy_that_is_no_address(proxy: Any, base_url: str, slow: bool, api_key: str) -> None:
    """It is a mistake, said at once; neither its password nor the key is in what is raised."""
    with ChatServerClient(api_key, base_url) as client:
        client.session.proxies = {"http": proxy, "https": proxy}
        client.session.params = {"a": "b"} if slow else {}
        with pytest.raises(ConfigurationError, match=f"^the proxy for the server at {base_url} c"):
            client.list_models()
        caught = pytest.raises(ConfigurationError, client.list_models)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    locals_of_ours = [f.locals for f in frames.stack if "/tests/" not in f.filename]
    shown = f"{''.join(traceback.format_exception(caught.value))} {locals_of_ours}"
    assert "pw-0123" not in shown and api_key not in shown
