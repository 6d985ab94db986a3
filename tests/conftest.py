"""What every test may use: the --full option, the plugin's fixtures, a client of raw bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from chatserver_sdk import ChatServerClient
from chatserver_sdk.testing import WireServer, pytest_plugin


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long forms as well")


def pytest_configure(config: pytest.Config) -> None:
    # Where the package is not installed, or was before it had a plugin, pytest does not find it.
    if not config.pluginmanager.has_plugin("chatserver_sdk"):
        config.pluginmanager.register(pytest_plugin, "chatserver_sdk")
    # No deadlines and no health checks by the clock: a busy machine is no defect.
    settings.register_profile(
        "short", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
    )
    settings.register_profile("full", settings.get_profile("short"), max_examples=500)
    settings.load_profile("full" if config.getoption("--full") else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="a long form; --full runs it"))


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """Keys, proxies and passwords of whoever runs the tests play no part in them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CHATSERVER_LOG"):
            patch.delenv(name, raising=False)
        patch.delenv("CHATSERVER_API_KEY", raising=False)
        patch.delenv("CHATSERVER_BASE_URL", raising=False)
        patch.delenv("CHATSERVER_LOG", raising=False)
        patch.setenv("NETRC", os.devnull)
        yield


@pytest.fixture
def api_key() -> str:
    """The key of `client`; it may turn up in one header and nowhere else."""
    return "sk-never-show-me-0123456789"


@pytest.fixture
def client(wire_server: WireServer, api_key: str) -> Iterator[ChatServerClient]:
    """A client of `wire_server`; what should take no time fails after 30 seconds, at once."""
    with ChatServerClient(api_key, wire_server.base_url, timeout=30, max_retries=0) as client:
        yield client
