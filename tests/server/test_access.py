"""Who may ask: keys, roles, users, and what development mode changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_wire import (
    COMPLETIONS,
    PLATFORM,
    SESSIONS,
    Api,
    check_refusal,
    give_key,
    raw_request,
    request,
    send_raw,
)

from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.models import Role
from chatserver_sdk.server import Settings
from chatserver_sdk.testing import RunningServer, running_server

CLOSED = [
    ("POST", COMPLETIONS),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/echo"),
    ("GET", f"{SESSIONS}?user_id=ada"),
    ("GET", f"{SESSIONS}/x?user_id=ada"),
    ("GET", f"{PLATFORM}/stats"),
    ("GET", f"{PLATFORM}/admins"),
    ("POST", f"{PLATFORM}/admins"),
    ("DELETE", f"{PLATFORM}/admins/x"),
    ("GET", f"{PLATFORM}/audit"),
]
FOR_ADMINISTRATORS = [route for route in CLOSED if PLATFORM in route[1]]
BODIES: dict[str, Any] = {
    COMPLETIONS: request("x"),
    f"{PLATFORM}/admins": {"workos_id": "w", "email": "x@y.org"},
}


def call(api: Api, method: str, path: str, **headers: str) -> Any:
    """The answer to a request that is good but for who sends it."""
    body = BODIES.get(path) if method == "POST" else None
    return api.call(method, path, json=body, headers=headers)


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "missing_api_key"),
        ("", "missing_api_key"),
        ("Bearer", "missing_api_key"),
        ("Bearer  ", "missing_api_key"),
        ("Basic eDp4", "missing_api_key"),
        ("csk_without_a_scheme", "missing_api_key"),
        ("Bearer csk_wrong", "invalid_api_key"),
        ("bearer x y", "invalid_api_key"),
        ("Bearer ü", "invalid_api_key"),
    ],
)
def test_no_key_and_bad_keys(
    server: RunningServer, method: str, path: str, authorization: str | None, code: str
) -> None:
    """401 on every route, with the header that says what is missing; the key is not repeated."""
    api = Api(server.base_url, None)
    given = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}

    answer = call(api, method, path, **given)  # type: ignore[arg-type]
    api.close()

    error = check_refusal(answer, 401)
    assert (error["code"], error["type"]) == (code, "authentication_error")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "csk_" not in answer.text


def test_a_good_key_however_it_is_sent(api: Api) -> None:
    """The scheme's case and blanks around the key make no difference."""
    for written in (f"Bearer {api.key}", f"bearer   {api.key}  ", f"BEARER {api.key}"):
        assert api.call("GET", "/v1/models", headers={"Authorization": written}).ok


def test_what_needs_no_key(server: RunningServer) -> None:
    """Health and the documentation are everybody's."""
    api = Api(server.base_url, None)

    statuses = [api.get(path).status_code for path in ("/health", "/docs", "/openapi.json")]
    api.close()

    assert statuses == [200, 200, 200]


@pytest.fixture
def principal(api: Api) -> Iterator[str]:
    """The id of somebody who is an administrator until they are removed."""
    email = "somebody@x.org"
    api.call("POST", f"{PLATFORM}/admins", json={"workos_id": "w-some", "email": email})
    admins = api.get(f"{PLATFORM}/admins").json()["admins"]
    yield next(admin["id"] for admin in admins if admin["email"] == email)
    api.call("DELETE", f"{PLATFORM}/admins/{email}")


@pytest.mark.parametrize("role", [Role.USER, Role.SERVICE, Role.EXPERT])
def test_the_platform_is_for_administrators(
    server: RunningServer, db: Path, principal: str, role: Role
) -> None:
    """Every other role is 403 on each of its routes, and nothing is done."""
    api = Api(server.base_url, give_key(str(db), principal, role, "ada"))

    for method, path in FOR_ADMINISTRATORS:
        error = check_refusal(call(api, method, path), 403)
        assert (error["code"], error["type"]) == ("admin_required", "permission_error")
    assert api.ask("x", user="ada").status_code == 200
    api.close()


def test_a_demoted_administrator(server: RunningServer, api: Api, db: Path, principal: str) -> None:
    """With the role, the key goes as far as the role did."""
    theirs = Api(server.base_url, give_key(str(db), principal, Role.ADMIN))
    before = [
        theirs.get(f"{PLATFORM}/stats").status_code,
        theirs.ask("x", user="ada").status_code,
    ]
    api.call("DELETE", f"{PLATFORM}/admins/somebody@x.org")

    after = [
        theirs.get(f"{PLATFORM}/stats").status_code,
        theirs.ask("x", user="ada").status_code,
        theirs.get(SESSIONS, user_id="ada").status_code,
        theirs.ask("x").status_code,
    ]
    theirs.close()

    assert (before, after) == ([200, 200], [403, 403, 403, 200])


def test_a_users_key_is_its_users(server: RunningServer, db: Path, principal: str) -> None:
    """It asks and reads in its own user's name, and needs not say whose that is."""
    api = Api(server.base_url, give_key(str(db), principal, Role.USER, "eve"))

    own = api.ask("x").headers["X-Session-Id"]
    refused = [
        api.ask("x", user="ada"),
        api.ask("x", metadata={"user_id": "ada"}),
        api.get(SESSIONS, user_id="ada"),
        api.get(f"{SESSIONS}/{own}", user_id="ada"),
    ]
    history = api.history(own, "eve")
    api.close()

    assert history == [("user", "x"), ("assistant", "x")]
    assert {check_refusal(answer, 403)["code"] for answer in refused} == {"wrong_user"}


@pytest.fixture(scope="module")
def dev() -> Iterator[Api]:
    """A development server."""
    with running_server(dev=True) as server:
        api = Api(server.base_url, "anything")
        yield api
        api.close()


def test_any_key_is_the_developers(dev: Api) -> None:
    """Whatever the key is, it is an administrator's; none at all is still 401."""
    for key in ("anything", "x", "csk_wrong"):
        answer = dev.call("GET", f"{PLATFORM}/stats", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    anonymous = Api(dev.base_url, None)
    for method, path in CLOSED:
        check_refusal(call(anonymous, method, path), 401)
    anonymous.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:99", "[::1]:1", "127.9.9.9"])
def test_a_developer_asks_for_localhost(dev: Api, host: str) -> None:
    """Every name of this machine will do."""
    assert dev.call("GET", "/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1.example.org", "10.0.0.1", "", "localhost.", "[::2]", "x:1:2"]
)
def test_a_page_of_somebody_else_asks_in_vain(dev: Api, host: str) -> None:
    """A name from elsewhere that points here is refused on every route."""
    for path in (b"/health", b"/v1/models", COMPLETIONS.encode()):
        sent = raw_request(path, {b"Host": host.encode(), b"Authorization": b"Bearer x"})
        answer = send_raw(dev.base_url, sent)
        assert answer.startswith(b"HTTP/1.1 403 ") and b"ask for localhost" in answer


def test_a_real_server_answers_to_every_name(api: Api) -> None:
    """Outside of development mode names are the operator's business."""
    assert api.call("GET", "/v1/models", headers={"Host": "example.org"}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "[::]"])
def test_a_development_server_listens_here_only(host: str) -> None:
    """Any other place is refused before anything is opened."""
    with pytest.raises(ConfigurationError, match="loopback only"):
        Settings(host=host, dev=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3"])
def test_places_of_a_development_server(host: str) -> None:
    """Each spelling of this machine is one."""
    assert Settings(host=host, dev=True).host == host


@pytest.mark.parametrize("key", ["a b", "ü", "a\n", "\0", "\x7f", "a\tb"])
def test_keys_that_no_header_can_hold(key: str) -> None:
    """A first key has to be one that can be sent; it is not repeated."""
    with pytest.raises(ConfigurationError, match="printable ASCII") as caught:
        Settings(bootstrap_key=key)
    assert repr(key)[1:-1] not in str(caught.value)
    assert "bootstrap_key" not in repr(Settings(bootstrap_key="csk_secret"))


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the user's data directory; a development server has a store of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    places = [Settings().database, Settings(dev=True).database, Settings(db="x.db").database]

    names = [Path(place).name for place in places]
    assert names == ["chatserver.db", "chatserver-dev.db", "x.db"]
    assert len({Path(place).parent for place in places[:2]}) == 1
