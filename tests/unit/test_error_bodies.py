"""Error bodies of every shape become one readable sentence, and the exception of the status."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk._wire.errors import (
    ErrorDetail,
    encode_error,
    error_from,
    error_in_success,
    header,
    parse_error,
    parse_retry_after,
    stream_error_from,
    stream_status,
)
from chatserver_sdk.exceptions import (
    APIStatusError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    StreamFailedError,
    UnauthorizedError,
    UnprocessableEntityError,
)
from chatserver_sdk.raw import RawResponse

MISSING = {"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": {}}
TOO_BIG = {"loc": ["body", "messages", 0, "content"], "msg": "String should be shorter"}

SHAPES: list[tuple[str, Any, ErrorDetail]] = [
    ("FastAPI", {"detail": "Session not found"}, ErrorDetail("Session not found")),
    (
        "FastAPI's validation",
        {"detail": [MISSING]},
        ErrorDetail("model: Field required", param="model", errors=[MISSING]),
    ),
    (
        "several fields",
        {"detail": [MISSING, TOO_BIG]},
        ErrorDetail(
            "model: Field required; messages.0.content: String should be shorter",
            param="model",
            errors=[MISSING, TOO_BIG],
        ),
    ),
    (
        "the whole body",
        {"detail": [{"loc": ["body"], "msg": "Field required"}]},
        ErrorDetail("Field required", errors=[{"loc": ["body"], "msg": "Field required"}]),
    ),
    (
        "a place of another kind",
        {"detail": [{"loc": ["header", "x"], "msg": "wrong"}, {"loc": 5, "msg": "odd"}]},
        ErrorDetail(
            "header.x: wrong; odd",
            param="header.x",
            errors=[{"loc": ["header", "x"], "msg": "wrong"}, {"loc": 5, "msg": "odd"}],
        ),
    ),
    (
        "problems that are none",
        {"detail": ["text", {"loc": ["query", "page"]}]},
        ErrorDetail(
            '"text"; page: {"loc": ["query", "page"]}',
            param="page",
            errors=["text", {"loc": ["query", "page"]}],
        ),
    ),
    ("no problems", {"detail": []}, ErrorDetail()),
    (
        "OpenAI",
        {"error": {"message": "No such model", "type": "t", "param": "model", "code": "c"}},
        ErrorDetail("No such model", type="t", param="model", code="c"),
    ),
    (
        "OpenAI with nulls",
        {"error": {"message": "No", "type": None, "param": None, "code": None}},
        ErrorDetail("No"),
    ),
    ("a number as code", {"error": {"message": "No", "code": 404}}, ErrorDetail("No", code="404")),
    (
        "a list of errors",
        {"error": {"message": "No", "errors": [1]}},
        ErrorDetail("No", errors=[1]),
    ),
    ("errors that are no list", {"error": {"message": "No", "errors": 1}}, ErrorDetail("No")),
    (
        "a message that is no text",
        {"error": {"message": {"a": 1}}},
        ErrorDetail('{"a": 1}'),
    ),
    ("an empty error", {"error": {}}, ErrorDetail()),
    ("a text", {"error": "No such model"}, ErrorDetail("No such model")),
    (
        "a text and a sentence",
        {"error": "rate_limit_error", "message": "Too many requests"},
        ErrorDetail("Too many requests", code="rate_limit_error"),
    ),
    ("a code beside it", {"error": "No", "code": "c"}, ErrorDetail("No", code="c")),
    ("a message", {"message": "No", "type": "t"}, ErrorDetail("No", type="t")),
    (
        "problem+json",
        {"type": "about:blank", "title": "Not Found", "detail": "No session s1", "status": 404},
        ErrorDetail("No session s1", type="about:blank"),
    ),
    ("problem+json, title only", {"title": "Not Found"}, ErrorDetail("Not Found")),
    (
        "an object as detail",
        {"detail": {"message": "No", "code": "c", "param": "p"}},
        ErrorDetail("No", code="c", param="p"),
    ),
    (
        "an object as detail, other words",
        {"detail": {"error": "No", "error_code": "c"}},
        ErrorDetail("No", code="c"),
    ),
    ("a detail in an error", {"error": {"detail": "No"}}, ErrorDetail("No")),
    ("text/plain", "Internal Server Error", ErrorDetail("Internal Server Error")),
    ("text with brackets", "expected <int>, got <str>", ErrorDetail("expected <int>, got <str>")),
    ("several lines", "a\n  b\t c\n", ErrorDetail("a b c")),
    (
        "a proxy's page",
        "\n<html><head><TITLE lang=en>502 Bad\nGateway</TITLE></head><body>x</body></html>",
        ErrorDetail("502 Bad Gateway"),
    ),
    ("a page without title", "<h1>Oops</h1> <p>try later</p>", ErrorDetail("Oops try later")),
    ("an empty page", "<html></html>", ErrorDetail()),
    ("JSON text", '"No"', ErrorDetail('"No"')),
    ("nothing", "", ErrorDetail()),
    ("null", None, ErrorDetail()),
    ("a list", ["No"], ErrorDetail('["No"]')),
    (
        "an error in a list",
        [{"error": {"message": "No", "code": 429}}],
        ErrorDetail("No", code="429"),
    ),
    ("a list of other things", [{"ok": False}], ErrorDetail('[{"ok": false}]')),
    (
        "a list of errors",
        {"error": [{"message": "No", "code": "c"}, {"message": "nor that"}]},
        ErrorDetail(
            "No", code="c", errors=[{"message": "No", "code": "c"}, {"message": "nor that"}]
        ),
    ),
    ("a list of texts", {"error": ["No"]}, ErrorDetail("No", errors=["No"])),
    ("an empty list", [], ErrorDetail()),
    ("a number", 5, ErrorDetail("5")),
    ("an empty object", {}, ErrorDetail()),
    ("an object of other things", {"ok": False, "error": 5}, ErrorDetail()),
    ("a long text", "x" * 501, ErrorDetail("x" * 497 + "...")),
    ("a text that just fits", "x" * 500, ErrorDetail("x" * 500)),
]
each_shape = pytest.mark.parametrize(
    ("body", "detail"), [pytest.param(*shape[1:], id=shape[0]) for shape in SHAPES]
)


@each_shape
def test_a_body_says_what_is_wrong(body: Any, detail: ErrorDetail) -> None:
    """Every shape that servers send is taken apart."""
    assert parse_error(body) == detail


@each_shape
def test_every_body_becomes_a_sentence(body: Any, detail: ErrorDetail) -> None:
    """The exception's words are the server's, or say that there were none."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    error = error_from(RawResponse(404, {}, content, "r1"))

    message = parse_error(error.body).message
    assert error.message == (message or "the server answered 404 Not Found and said nothing more")
    assert "request id: r1" in str(error)
    assert (error.code, error.type, error.param, error.errors) == (
        detail.code,
        detail.type,
        detail.param,
        detail.errors,
    )
    assert error.response is not None and error.response.content == content


CLASSES = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_its_class(status: int) -> None:
    """The table of the documentation, and the two general classes for all others."""
    expected = CLASSES.get(status, APIStatusError if status < 500 else InternalServerError)

    error = error_from(RawResponse(status, {}, b""))
    in_stream = stream_error_from({"error": {"code": status}}, partial="x", metadata={})
    in_success = error_in_success({"error": {"status": status}})

    assert type(error) is type(in_success) is expected
    assert isinstance(in_stream, StreamFailedError) and isinstance(in_stream, expected)
    assert error.status_code == in_stream.status_code == in_success.status_code == status
    assert str(status) in error.message


@pytest.mark.parametrize("status", [418, 599])
def test_a_status_with_and_without_a_phrase(status: int) -> None:
    """A status that nobody has named is shown as its number."""
    phrase = f"{status} {HTTPStatus(status).phrase}" if status == 418 else "599"
    assert (
        error_from(RawResponse(status, {}, b"")).message
        == f"the server answered {phrase} and said nothing more"
    )


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"error": {"message": "x", "type": "invalid_request_error"}}, 400),
        ({"error": {"message": "x", "type": "server_error"}}, 500),
        ({"error": {"type": "invalid_request_error", "code": "model_not_found"}}, 404),
        ({"error": {"type": "server_error", "status": 503}}, 503),
        ({"error": {"code": "429"}}, 429),
        ({"error": {"code": 429}}, 429),
        ({"error": {"status_code": 401}}, 401),
        ({"error": "x", "status": 403}, 403),
        ({"error": "x", "code": "rate_limit_exceeded"}, 429),
        ({"error": {"code": 200}}, 500),
        ({"error": {"code": 1429}}, 500),
        ({"error": {"code": "nobody_knows"}}, 500),
        ({"error": "x"}, 500),
        ("x", 500),
        (None, 500),
    ],
)
def test_the_status_of_an_error_in_a_stream(payload: Any, status: int) -> None:
    """There is no status line: a number, else a known word, else 500."""
    assert stream_status(payload, parse_error(payload)) == status


def test_an_error_in_a_stream_carries_what_came() -> None:
    """The text so far, the metadata and the request id are kept."""
    error = stream_error_from(
        {"error": {"message": "No"}}, partial="Hel", metadata={"request_id": "r1", "id": "c1"}
    )
    assert (error.partial, error.metadata["id"]) == ("Hel", "c1")
    assert str(error) == "No (request id: r1)"


def test_errors_that_say_nothing() -> None:
    """An error without words is still a sentence."""
    in_stream = stream_error_from({"error": {}}, partial="", metadata={})
    assert in_stream.message == "the server broke the answer off with an error that it did not name"
    assert error_in_success({}).message == "the server answered with an error that it did not name"


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
MESSAGES = st.text("abc äß.", max_size=100).map(lambda text: " ".join(text.split()))


@given(
    st.builds(
        ErrorDetail,
        message=MESSAGES,
        type=st.none() | WORDS,
        code=st.none() | WORDS,
        param=st.none() | WORDS,
        errors=st.lists(st.sampled_from([1, "x", {"loc": ["body"]}]), max_size=2),
    )
)
def test_an_encoded_error_is_read_back(detail: ErrorDetail) -> None:
    """encode_error and parse_error are inverse."""
    assert parse_error(json.loads(json.dumps(encode_error(detail)))) == detail


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "detail", "message", "code", "type", "loc", "msg", "errors"]),
        inner,
        max_size=4,
    ),
    max_leaves=10,
)


@given(body=JSON, status=st.integers(400, 599))
def test_any_json_becomes_an_error(body: Any, status: int) -> None:
    """Nothing that a server says makes reading its error fail."""
    error = error_from(RawResponse(status, {}, json.dumps(body).encode()))
    assert error.message and len(error.message) <= 500
    assert stream_error_from(body, partial="", metadata={}).message
    assert error_in_success(body).message


@given(st.binary(max_size=100))
def test_any_bytes_become_an_error(content: bytes) -> None:
    """Neither do bytes that are no JSON."""
    assert error_from(RawResponse(500, {}, content)).message


@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"error":', "}"), ('{"a":', "}")])
def test_nesting_of_any_depth(opening: str, closing: str) -> None:
    """Also where reading still works and writing does not, Python's recursion ends nothing."""
    for depth in range(900, 1010):
        assert error_from(
            RawResponse(500, {}, f"{opening * depth}1{closing * depth}".encode())
        ).message


@pytest.mark.parametrize("piece", ["<", "<title", "<title>", "< ", "<a", "<p>"])
def test_big_pages_take_no_time(piece: str) -> None:
    """The work grows with the page, not with its square, which would be minutes here."""
    assert len(parse_error(piece * 1_000_000).message) <= 500


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "5"}, 5.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"RETRY-AFTER": "1.5"}, 1.5),
        ({"Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "9", "Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "9", "Retry-After-Ms": "soon"}, 9.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1_0"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
        ({"Retry-After": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 +" + "9" * 20}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds or a date (RFC 9110 10.2.3); what is none of them is nothing."""
    assert parse_retry_after(headers) == seconds
    assert error_from(RawResponse(429, headers, b"")).retry_after == seconds


def test_retry_after_a_date_to_come() -> None:
    """A date is turned into seconds from now."""
    before = time.time()
    seconds = parse_retry_after({"Retry-After": formatdate(before + 1000, usegmt=True)})
    passed = time.time() - before

    # The date has whole seconds.
    assert seconds is not None and 999 - passed <= seconds <= 1000


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_any_retry_after(value: str) -> None:
    """Nothing that a server writes there fails."""
    seconds = parse_retry_after({"Retry-After": value})
    assert seconds is None or seconds >= 0


def test_a_header_is_found_in_any_case() -> None:
    """Header names have no case."""
    assert header({"X-Request-Id": "r"}, "x-request-id") == "r"
    assert header({"X-Request": "r"}, "x-request-id") is None
