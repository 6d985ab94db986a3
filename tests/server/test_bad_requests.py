"""Whatever is sent, the answer is a sentence with a status below 500 that repeats little of it."""

from __future__ import annotations

import json

import pytest
from server_wire import COMPLETIONS, PLATFORM, SESSIONS, Api, check_refusal, request

MESSAGE = b'"messages":[{"role":"user","content":"hi"}]'
GOOD = b'{"model":"echo",' + MESSAGE + b"}"
MARK = "needle-in-a-haystack"


def with_field(text: str) -> bytes:
    """A good body with one more field, or one replaced: the last of two counts."""
    return GOOD[:-1] + b"," + text.encode() + b"}"


def with_message(text: str) -> bytes:
    """A body whose only message is this."""
    return f'{{"model":"echo","messages":[{text}]}}'.encode()


NO_JSON: list[bytes] = [
    b"",
    b"{",
    b"hello",
    b"{'model': 'echo'}",
    GOOD + b"}",
    GOOD[:-1],
    GOOD[:-1] + b",}",
    b"\xff\xfe",
    b'{"model":"\xff"}',
    with_field('"metadata":{"x":NaN}'),
    with_field('"metadata":{"x":-Infinity}'),
    with_field('"temperature":NaN'),
    with_field(r'"metadata":{"x":"\ud800"}'),
    with_field(r'"metadata":{"\udfff":1}'),
    with_message(r'{"role":"user","content":"\ud800"}'),
    b'{"model":"\xed\xa0\x80",' + MESSAGE + b"}",
    with_field('"metadata":' + '{"a":' * 500 + "1" + "}" * 500),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    with_field('"metadata":{"x":' + "1" * 5000 + "}"),
    GOOD.decode().encode("utf-16"),
    b"\xef\xbb\xbf" + GOOD,
    b"\0",
]


@pytest.mark.parametrize("body", NO_JSON, ids=lambda body: repr(body)[2:30])
def test_what_is_no_json(api: Api, body: bytes) -> None:
    """It is 400, and the message says where it breaks off."""
    error = check_refusal(api.post(body), 400)

    assert "JSON" in error["message"]


BAD_FIELDS: list[tuple[bytes, str | None]] = [
    *((body, None) for body in (b"null", b"[]", b'"text"', b"7", b"true", b"[" + GOOD + b"]")),
    (b"{}", "model"),
    (b'{"model":"echo"}', "messages"),
    (b"{" + MESSAGE + b"}", "model"),
    *((with_field(f'"model":{bad}'), "model") for bad in ("null", "7", '""', "[]", "true")),
    (with_field('"model":"' + MARK * 20 + '"'), "model"),
    *((with_field(f'"messages":{bad}'), "messages") for bad in ("null", '"hi"', "{}", "[]", "7")),
    (with_field('"messages":[' + '{"role":"user"},' * 10_000 + '{"role":"user"}]'), "messages"),
    *((with_field(f'"temperature":{bad}'), "temperature") for bad in ("-0.1", "2.1", '"1"')),
    *((with_field(f'"temperature":{bad}'), "temperature") for bad in ("true", "1e999", "[]")),
    (with_field('"temperature":' + "9" * 4000), "temperature"),
    *((with_field(f'"top_p":{bad}'), "top_p") for bad in ("-1", "1.01", "{}", "false")),
    *((with_field(f'"max_tokens":{bad}'), "max_tokens") for bad in ("0", "-1", "1.5", '"5"')),
    *((with_field(f'"max_tokens":{bad}'), "max_tokens") for bad in ("10000001", "1e3", "true")),
    (with_field('"max_tokens":' + "9" * 400), "max_tokens"),
    *((with_field(f'"n":{bad}'), "n") for bad in ("0", "2", "true", '"1"', "1.0e0")),
    *((with_field(f'"stream":{bad}'), "stream") for bad in ("1", '"true"', "[]")),
    *((with_field(f'"user":{bad}'), "user") for bad in ('""', "7", "[]", '"' + "x" * 257 + '"')),
    *((with_field(f'"system_prompt":{bad}'), "system_prompt") for bad in ("7", "[]")),
    (with_field('"system_prompt":"' + MARK * 60_000 + '"'), "system_prompt"),
    *((with_field(f'"metadata":{bad}'), "metadata") for bad in ("7", "[]", '"x"', "false")),
    *((with_message(bad), "messages[0]") for bad in ("null", '"hi"', "[]", "7")),
    *((with_message(bad), "messages[0].role") for bad in ("{}", '{"content":"x"}')),
    *(
        (with_message(f'{{"role":{bad},"content":"x"}}'), "messages[0].role")
        for bad in ('"robot"', '""', '"User"', "null", "7", f'"{MARK * 1000}"')
    ),
    *(
        (with_message(f'{{"role":"user","content":{bad}}}'), "messages[0].content")
        for bad in ("7", "{}", "true", '["x"]', "[7]", "[null]", "null", "[]")
    ),
    (with_message('{"role":"user"}'), "messages[0].content"),
    (with_message('{"role":"user","content":[{}]}'), "messages[0].content[0]"),
    (
        with_message('{"role":"user","content":[{"type":"text","text":5}]}'),
        "messages[0].content[0].text",
    ),
    (with_message('{"role":"tool","content":"42"}'), "messages[0].tool_call_id"),
    (
        with_message('{"role":"tool","content":"42","tool_call_id":null}'),
        "messages[0].tool_call_id",
    ),
    (with_message('{"role":"tool","content":"42","tool_call_id":""}'), "messages[0].tool_call_id"),
    *(
        (
            with_message(f'{{"role":"user","content":[{{"type":"image_url"{bad}}}]}}'),
            f"messages[0].content[0].image_url{inner}",
        )
        for bad, inner in (
            ("", ""),
            (',"image_url":null', ""),
            (',"image_url":[]', ""),
            (',"url":"https://x"', ""),
            (',"image_url":""', ".url"),
            (',"image_url":{}', ".url"),
            (',"image_url":{"url":""}', ".url"),
            (',"image_url":{"url":7}', ".url"),
        )
    ),
    (with_message('{"role":"user","content":"' + "x" * 4_000_001 + '"}'), "messages[0].content"),
    *(
        (with_message(f'{{"role":"user","content":"x","name":{bad}}}'), "messages[0].name")
        for bad in ('""', "7", '"' + "x" * 257 + '"')
    ),
    *(
        (with_field(f'"metadata":{{"session_id":{bad}}}'), "metadata.session_id")
        for bad in ('"x"', '""', "7", "[]", '"\\u0000"', f'"{MARK * 1000}"')
    ),
    *(
        (with_field(f'"metadata":{{"{key}":{bad}}}'), f"metadata.{key}")
        for key in ("user_id", "organization_id")
        for bad in ('""', "7", "{}", '"' + "x" * 257 + '"')
    ),
    (with_field('"metadata":{"variables":[1]}'), "metadata.variables"),
    *(
        (with_field(f'"metadata":{{"variables":{{"delay":{bad}}}}}'), "metadata.variables.delay")
        for bad in ("61", "-1", '"1"', "true", "null", "9" * 400)
    ),
    (with_field('"user":"ada","metadata":{"x":1e999}'), "metadata"),
    (with_field('"user":"ada","metadata":{"x":[{"y":-1e999}]}'), "metadata"),
    (with_field('"metadata":{"variables":{"delay":1e999}}'), "metadata"),
    (with_message('{"role":"user","content":[{"type":"x","x":1e999}]}'), "messages"),
]


@pytest.mark.parametrize(("body", "param"), BAD_FIELDS, ids=lambda value: repr(value)[2:60])
def test_what_is_no_request(api: Api, body: bytes, param: str | None) -> None:
    """It is 400 with the field at fault, and with each problem in a list where there are more."""
    error = check_refusal(api.post(body), 400)

    assert error["param"] == param
    assert str(error["code"]).startswith("invalid_") and MARK not in str(error)


def test_many_problems(api: Api) -> None:
    """Ten thousand of them are no reason for an answer of megabytes."""
    messages = '{"role":"robot","content":7},' * 9_999 + '{"role":"user","content":"x"}'

    error = check_refusal(api.post(with_message(messages)), 400)

    assert 1 < len(error["errors"]) <= 20
    assert error["errors"][0]["loc"] == "messages[0].role"


@pytest.mark.parametrize(
    ("model", "shown"),
    [("nope", "'nope'"), ("Echo", "'Echo'"), ("a\0b", r"'a\x00b'"), ("x" * 256, "x" * 256)],
)
def test_unknown_models(api: Api, model: str, shown: str) -> None:
    """404 with the code that OpenAI's clients know, here and in the list of models."""
    error = check_refusal(api.ask("x", model=model), 404)

    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert shown in error["message"]


METHODS = ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
ROUTES = [
    (COMPLETIONS, "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/echo", "GET"),
    ("/health", "GET"),
    (SESSIONS, "GET"),
    (f"{SESSIONS}/x", "GET"),
    (f"{PLATFORM}/stats", "GET"),
    (f"{PLATFORM}/audit", "GET"),
    (f"{PLATFORM}/admins/x", "DELETE"),
]


@pytest.mark.parametrize(("path", "allowed"), ROUTES)
def test_wrong_methods(api: Api, path: str, allowed: str) -> None:
    """405 with the method that is possible."""
    for method in {*METHODS, "POST"} - {allowed}:
        answer = api.call(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        if method != "HEAD":
            assert check_refusal(answer)["code"] == "method_not_allowed"


PATHS = [
    "/",
    "/nowhere",
    "/v1",
    "/v1/chat/completions/",
    "/v1/chat/completions/x",
    "//v1/models",
    "/v1/chat/%2e%2e/models",
    "/atoms/chat/sessions/a/b",
    "/%00",
    "/%ff%ed%a0%80",
    "/ü",
    "/" + MARK * 500,
    f"/v1/models/{MARK * 500}",
    f"{SESSIONS}/{MARK * 500}?user_id=ada",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:30])
def test_unknown_paths(api: Api, path: str) -> None:
    """404 in the same shape as every other refusal."""
    error = check_refusal(api.call("GET", path), 404)

    assert len(error["message"]) <= 500


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        (SESSIONS, "user_id=", "user_id"),
        (SESSIONS, "user_id=" + "x" * 257, "user_id"),
        *((SESSIONS, f"user_id=a&page={bad}", "page") for bad in ("0", "-1", "x", "", "1.5")),
        (SESSIONS, f"user_id=a&page={10**30}", "page"),
        (SESSIONS, "user_id=a&page=" + "9" * 5000, "page"),
        *((SESSIONS, f"user_id=a&page_size={bad}", "page_size") for bad in ("0", "101", "x")),
        *((f"{PLATFORM}/audit", f"limit={bad}", "limit") for bad in ("0", "201", "x", "NaN")),
        *((f"{PLATFORM}/audit", f"offset={bad}", "offset") for bad in ("-1", "x", 10**30)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_queries(api: Api, path: str, query: str, param: str) -> None:
    """422 with the parameter at fault."""
    error = check_refusal(api.call("GET", f"{path}?{query}"), 422)

    assert (error["param"], error["code"]) == (param, "invalid_value")
    assert error["errors"][0]["loc"] == param


ADMIN = {"workos_id": "w1", "email": "a@b.org"}
BAD_ADMINS: list[tuple[bytes, int, str | None]] = [
    (b"", 422, None),
    (b"{", 422, None),
    (b"\xff", 400, None),
    (b"[" * 100_000, 400, None),
    (b"null", 422, None),
    (b"[]", 422, None),
    (b'"x"', 422, None),
    (b"{}", 422, "workos_id"),
    (json.dumps({**ADMIN, "workos_id": ""}).encode(), 422, "workos_id"),
    (json.dumps({**ADMIN, "workos_id": " "}).encode(), 400, "workos_id"),
    (json.dumps({**ADMIN, "workos_id": "x" * 257}).encode(), 422, "workos_id"),
    (json.dumps({**ADMIN, "workos_id": 7}).encode(), 422, "workos_id"),
    (json.dumps({**ADMIN, "workos_id": "\ud800"}).encode(), 422, "workos_id"),
    (json.dumps({**ADMIN, "email": "nobody"}).encode(), 400, "email"),
    (json.dumps({**ADMIN, "email": "\0@b"}).encode(), 400, "email"),
    (json.dumps({**ADMIN, "email": "x" * 250 + "@b.org"}).encode(), 422, "email"),
    (json.dumps({**ADMIN, "email": None}).encode(), 422, "email"),
    (json.dumps({**ADMIN, "name": "x" * 257}).encode(), 422, "name"),
    (json.dumps({**ADMIN, "name": {"a": MARK * 1000}}).encode(), 422, "name"),
]


@pytest.mark.parametrize(("body", "status", "param"), BAD_ADMINS, ids=lambda value: str(value)[:40])
def test_bad_administrators(api: Api, body: bytes, status: int, param: str | None) -> None:
    """Nobody is made administrator by a body that is not in order."""
    answer = api.post(body, f"{PLATFORM}/admins", **{"Content-Type": "application/json"})

    error = check_refusal(answer, status)
    assert error["param"] == param
    is_json = body not in (b"{", b"\xff", b"[" * 100_000)
    assert (error["code"] == "invalid_json") != is_json and error["code"] is not None
    assert api.get(f"{PLATFORM}/admins").json()["count"] == 1


GOOD_MESSAGES = [
    '{"role":"tool","content":"42","tool_call_id":"c1"}',
    '{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,x"}}]}',
    '{"role":"user","content":[{"type":"image_url","image_url":"https://x/y.png"}]}',
    '{"role":"user","content":[{"type":"video","x":1}]}',
    '{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"f"}}]}',
]


@pytest.mark.parametrize("message", GOOD_MESSAGES)
def test_messages_with_references(api: Api, message: str) -> None:
    """What names its call, or where its picture is, is taken; so is what is not known here."""
    assert api.post(with_message(message)).status_code == 200


def test_a_good_request_is_good(api: Api) -> None:
    """The body that the bad ones are made from is none of them."""
    assert api.post(GOOD).status_code == 200
    assert request("hi") == json.loads(GOOD)
