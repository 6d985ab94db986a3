"""Pages of other origins: none may ask, unless the operator lets them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_wire import COMPLETIONS, Api, serving

HOME, AWAY = "https://app.example", "https://evil.example"
PATHS = [("POST", COMPLETIONS), ("GET", f"{COMPLETIONS}/t/events"), ("GET", "/v1/models")]


@pytest.fixture(scope="module")
def open_api() -> Iterator[Api]:
    """A server that one origin may ask."""
    with serving(cors_origins=(HOME,)) as api:
        yield api


def preflight(api: Api, method: str, path: str, origin: str) -> tuple[int, dict[str, str]]:
    """What a browser is told before it asks."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, last-event-id",
    }
    answer = api.call("OPTIONS", path, headers=headers)
    assert "X-Request-Id" in answer.headers
    return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_off_by_default(api: Api, method: str, path: str) -> None:
    """Nothing in an answer lets a page of another origin read it."""
    status, headers = preflight(api, method, path, HOME)
    answer = api.call(method, path, headers={"Origin": HOME}, data=b"{}")
    names = [*headers, *(name.lower() for name in answer.headers)]
    assert status >= 400 and not [name for name in names if name.startswith("access-control")]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_an_origin_that_is_let_in(open_api: Api, method: str, path: str) -> None:
    """Its pages may ask on every route, plain ones too, and read refusals as well."""
    status, headers = preflight(open_api, method, path, HOME)
    assert status == 200 and headers["access-control-allow-origin"] == HOME
    assert "access-control-allow-credentials" not in headers
    answer = open_api.call(method, path, headers={"Origin": HOME, "Authorization": ""}, data=b"{}")
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == HOME
    shown = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"X-Request-Id", "Content-Disposition"} <= {*shown}


@pytest.mark.parametrize("origin", [AWAY, f"{HOME}.evil.example", "null", "http://app.example"])
def test_an_origin_that_is_not(open_api: Api, origin: str) -> None:
    """It is refused beforehand, and an answer is not for its eyes."""
    status, headers = preflight(open_api, "POST", COMPLETIONS, origin)
    assert status == 400 and "access-control-allow-origin" not in headers
    answer = open_api.call("GET", "/v1/models", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_everybody_without_credentials() -> None:
    """All origins may be let in, and a browser's cookies never."""
    with serving(cors_origins=("*",)) as api:
        answer = api.call("GET", "/v1/models", headers={"Origin": AWAY, "Cookie": "a=b"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
