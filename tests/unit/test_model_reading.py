"""How models read what servers really send: lenient where that is safe, precise where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
from dateutil.parser import isoparse
from hypothesis import example, given
from model_strategies import TIMES

from chatserver_sdk import models
from chatserver_sdk.exceptions import DecodeError
from chatserver_sdk.models._plans import owning_plan_of
from chatserver_sdk.models import (
    AdminListResponse,
    AuditEntry,
    AuditLogResponse,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatCompletionResponse,
    ChatMessageRecord,
    ChatSessionDetailResponse,
    ChatSessionSummary,
    Message,
    MessageRole,
    Model,
    ModelInfo,
    PlatformStats,
    Principal,
    Role,
    UsageInfo,
    text_of,
)
from chatserver_sdk.models._values import format_timestamp, parse_timestamp
from chatserver_sdk.models.events import TextDelta, decode_event

SESSION = {
    "id": "s1",
    "user_id": "u1",
    "created_at": "2024-05-01T10:00:00Z",
    "updated_at": "2024-05-01T10:00:00.5",
}
RECORD = {"id": "m1", "message_index": 0, "role": "user", "created_at": "2024-05-01T10:00:00Z"}

SUFFIXES = {
    "": timezone.utc,
    "Z": timezone.utc,
    "+00:00": timezone.utc,
    "+02:00": timezone(timedelta(hours=2)),
    "-05:30": timezone(-timedelta(hours=5, minutes=30)),
}


def by_dateutil(text: str) -> datetime:
    """How a Python before 3.11 reads most of them, which leaves them to dateutil."""
    return parse_timestamp(isoparse(text))


@pytest.mark.parametrize("read", [parse_timestamp, by_dateutil])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("digits", range(7))
def test_timestamps_of_every_form(
    digits: int, suffix: str, read: Callable[[str], datetime]
) -> None:
    """0 to 6 fraction digits, `Z`, an offset or none: the same moment, aware, naive being UTC."""
    fraction = "123456"[:digits]
    text = "2024-05-01T10:20:30" + (f".{fraction}" if digits else "") + suffix

    moment = read(text)

    microseconds = int(fraction.ljust(6, "0"))
    assert moment == datetime(2024, 5, 1, 10, 20, 30, microseconds, SUFFIXES[suffix])
    assert moment.utcoffset() == SUFFIXES[suffix].utcoffset(None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01T10:20:30.123456789Z", datetime(2024, 5, 1, 10, 20, 30, 123456)),
        ("2024-05-01 10:20:30", datetime(2024, 5, 1, 10, 20, 30)),
        ("2024-05-01", datetime(2024, 5, 1)),
        ("2024-05", datetime(2024, 5, 1)),
        ("20240501T102030Z", datetime(2024, 5, 1, 10, 20, 30)),
        ("2024-05-01T24:00:00Z", datetime(2024, 5, 2)),
    ],
)
def test_rarer_timestamps(text: str, moment: datetime) -> None:
    """Nanoseconds, a blank for the T, dates alone and midnight as 24:00 are ISO 8601 too."""
    assert parse_timestamp(text) == moment.replace(tzinfo=timezone.utc)


@given(TIMES)
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
@example(datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=1))))
def test_timestamps_are_written_in_utc(moment: datetime) -> None:
    """What is written is read as the same moment, at both ends of the calendar as well."""
    assert parse_timestamp(format_timestamp(moment)) == moment


def test_a_naive_timestamp_is_written_as_utc() -> None:
    """A naive datetime that a caller puts into a model means UTC."""
    assert format_timestamp(datetime(2024, 5, 1)) == "2024-05-01T00:00:00Z"


WRONG: list[tuple[type[Model], Any, str]] = [
    (ModelInfo, [], "ModelInfo: expected an object, got a list"),
    (ModelInfo, None, "ModelInfo: expected an object, got null"),
    (ModelInfo, {}, "ModelInfo.id: is missing"),
    (ModelInfo, {"id": None}, "ModelInfo.id: is null"),
    (ModelInfo, {"id": 5}, "ModelInfo.id: expected a string, got an integer"),
    (ModelInfo, {"id": "m", "created": "now"}, "ModelInfo.created: expected an integer"),
    (ModelInfo, {"id": "m", "created": 1.5}, "ModelInfo.created: expected an integer"),
    (ModelInfo, {"id": "m", "created": True}, "ModelInfo.created: expected an integer"),
    (ModelInfo, {"id": "m", "created": float("inf")}, "ModelInfo.created: expected an integer"),
    (ModelInfo, {"id": "m", "capabilities": "x"}, "ModelInfo.capabilities: expected a list"),
    (ModelInfo, {"id": "m", "capabilities": [1]}, "ModelInfo.capabilities: expected a string"),
    (Message, {"role": 5, "content": ""}, "Message.role: expected a string, got an integer"),
    (Message, {"role": "user", "content": 5}, "Message.content: an integer is not what can"),
    (Message, {"role": "user", "content": [5]}, "Message.content: a list is not what can"),
    (ChatSessionSummary, {**SESSION, "archived": 1}, "ChatSessionSummary.archived: expected true"),
    (ChatSessionSummary, {**SESSION, "metadata": []}, "ChatSessionSummary.metadata: expected an"),
    (ChatSessionSummary, {**SESSION, "created_at": 5}, "ChatSessionSummary.created_at: expected a"),
    (ChatSessionSummary, {**SESSION, "created_at": "x"}, "ChatSessionSummary.created_at: "),
    (ChatSessionSummary, {**SESSION, "created_at": "2024-13-01"}, "ChatSessionSummary.created_at"),
    (ChatSessionDetailResponse, {"session": {}}, "ChatSessionSummary.id: is missing"),
    (ChatCompletionRequest, {"model": "m", "messages": [], "top_p": "1"}, ".top_p: expected a n"),
    (ChatCompletionRequest, {"model": "m", "messages": [], "top_p": True}, ".top_p: expected a n"),
    (UsageInfo, {"total_tokens": {}}, "UsageInfo.total_tokens: expected an integer, got an object"),
]


@pytest.mark.parametrize(("kind", "raw", "said"), WRONG)
def test_what_cannot_be_read_names_class_and_field(kind: type[Model], raw: Any, said: str) -> None:
    """A DecodeError says where in the answer the fault is."""
    with pytest.raises(DecodeError) as caught:
        kind.from_dict(raw)
    assert said in caught.value.message


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[" * 100_000])
def test_text_that_is_not_json(text: str | bytes) -> None:
    """Text that is no JSON is a DecodeError that names the class."""
    with pytest.raises(DecodeError, match="^Message: this is not JSON"):
        Message.from_json(text)


def test_absent_and_null_are_read_alike_where_there_is_a_default() -> None:
    """A field with a default may be absent, and null too unless null is a value of its own."""
    for raw in ({"id": "m"}, {"id": "m", "created": None, "capabilities": None, "owned_by": None}):
        model = ModelInfo.from_dict(raw)
        assert (model.created, model.capabilities, model.owned_by) == (0, [], "")


def test_null_is_kept_where_it_is_a_value() -> None:
    """temperature null is null, and absent it is the documented default."""
    base = {"model": "m", "messages": []}
    assert ChatCompletionRequest.from_dict({**base, "temperature": None}).temperature is None
    assert ChatCompletionRequest.from_dict(base).temperature == 0.7


def test_defaults_are_not_shared() -> None:
    """Two objects read without a list do not get the same one."""
    first, second = ModelInfo.from_dict({"id": "1"}), ModelInfo.from_dict({"id": "2"})
    first.capabilities.append("streaming")
    assert second.capabilities == []


def test_numbers_between_integers_and_floats() -> None:
    """1 may stand for 1.0 and 1.0 for 1: JSON knows one kind of number."""
    request = ChatCompletionRequest.from_dict({"model": "m", "messages": [], "temperature": 1})
    assert isinstance(request.temperature, float)
    created = ModelInfo.from_dict({"id": "m", "created": 1.0}).created
    assert created == 1 and isinstance(created, int)


@pytest.mark.parametrize("role", ["robot", "", "USER", "rôle", "user "])
def test_unknown_enum_values_are_kept(role: str) -> None:
    """A role that the enum does not list is read, compared, shown and given back as its text."""
    message = Message.from_dict({"role": role, "content": "x"})

    assert isinstance(message.role, MessageRole)
    assert message.role == role and str(message.role) == role and f"{message.role}" == role
    assert message.role not in list(MessageRole)
    assert message.to_dict()["role"] == role


def test_an_unknown_value_does_not_grow_the_enum() -> None:
    """A server cannot fill the memory with values."""
    before = len(MessageRole), len(MessageRole._value2member_map_)
    for number in range(100):
        MessageRole(f"role {number}")
    assert (len(MessageRole), len(MessageRole._value2member_map_)) == before


def test_an_enum_takes_no_other_types() -> None:
    """What is no text is no unknown value but a mistake."""
    with pytest.raises(ValueError, match="5 is not a valid MessageRole"):
        MessageRole(5)


@pytest.mark.parametrize("role", list(MessageRole))
def test_known_enum_values_are_members(role: MessageRole) -> None:
    """A known role is read as the member itself."""
    assert Message.from_dict({"role": role.value}).role is role


@pytest.mark.parametrize(
    ("raw", "organization"),
    [
        ({}, None),
        ({"organization_id": "o"}, "o"),
        ({"org_id": "o"}, "o"),
        ({"organization_id": None, "org_id": "o"}, "o"),
        ({"organization_id": "o", "org_id": "other"}, "o"),
    ],
)
def test_the_other_name_of_a_field(raw: dict[str, Any], organization: str | None) -> None:
    """Some builds of the server call organization_id org_id; it is written under one name."""
    session = ChatSessionSummary.from_dict({**SESSION, **raw})
    assert session.organization_id == organization
    assert session.to_dict()["organization_id"] == organization
    assert "org_id" not in session.to_dict()


def test_messages_of_a_detail_carry_their_session() -> None:
    """The wire leaves session_id out of messages: it is the parent's, and is not written."""
    detail = ChatSessionDetailResponse.from_dict({"session": SESSION, "messages": [RECORD]})
    assert detail.messages[0].session_id == "s1"
    assert "session_id" not in detail.to_dict()["messages"][0]
    assert ChatMessageRecord.from_dict({**RECORD, "session_id": "s2"}).session_id == "s2"


def test_lists_of_objects_hold_the_right_classes() -> None:
    """Objects inside objects are models as well."""
    response = ChatCompletionResponse.from_dict(
        {"choices": [{"message": {"role": "assistant", "content": "Hi"}}], "usage": None}
    )
    assert response.choices[0].message == Message(MessageRole.ASSISTANT, "Hi")
    assert response.usage == UsageInfo(0, 0, 0)
    assert PlatformStats.from_dict({"total_users": 0}).system_health.status == "unknown"


def test_admins_work_as_the_documented_dict() -> None:
    """list_admins() is documented as a dict with "admins" and "count"; both ways work."""
    raw = {"admins": [{"id": "a", "email": "a@x.org"}], "count": 1, "new": True}
    admins = AdminListResponse.from_dict(raw)

    assert admins["count"] == admins.count == 1
    assert admins["admins"][0]["email"] == admins.admins[0].email == "a@x.org"
    assert list(admins) == ["admins", "count", "new"] and len(admins) == 3
    assert admins["new"] is True
    assert admins.get("missing") is None and "missing" not in admins
    assert dict(admins)["count"] == 1


def test_free_fields_take_what_callers_put_there() -> None:
    """Metadata may hold models, enums, times, dates, tuples and sets; they are written plainly."""

    class Colour(Enum):
        RED = 1

    entry = AuditEntry("1", datetime(2024, 5, 1), "x")
    entry.metadata = {
        "message": Message(MessageRole.USER, "Hi"),
        "colour": Colour.RED,
        "at": datetime(2024, 5, 1, tzinfo=timezone.utc),
        "day": date(2024, 5, 1),
        "pair": (1, 2),
        "set": {3},
        "frozen": frozenset([4]),
        "inner": {"role": MessageRole.TOOL},
    }
    assert json.loads(json.dumps(entry.to_dict()["metadata"])) == {
        "message": {"role": "user", "content": "Hi"},
        "colour": 1,
        "at": "2024-05-01T00:00:00Z",
        "day": "2024-05-01",
        "pair": [1, 2],
        "set": [3],
        "frozen": [4],
        "inner": {"role": "tool"},
    }


def test_a_dict_in_the_place_of_a_model_is_written_as_it_is() -> None:
    """A caller may put a plain dict where a model belongs."""
    request = ChatCompletionRequest("m", [{"role": "user", "content": "Hi"}])  # type: ignore[list-item]
    assert request.to_dict()["messages"] == [{"role": "user", "content": "Hi"}]


def test_none_is_left_out_of_a_request() -> None:
    """Fields of a request that are None are not sent; those of an answer are null."""
    request = ChatCompletionRequest("m", [Message(MessageRole.USER, "Hi")], temperature=None)
    assert request.to_dict() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4000,
        "top_p": 1.0,
        "stream": False,
    }
    assert ChatCompletionChunk().to_dict()["system_fingerprint"] is None


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "image_url"}, {"type": "text", "text": "b"}, "odd", {"text": 5}], "b"),
        (5, ""),
    ],
)
def test_the_words_of_a_content(content: Any, text: str) -> None:
    """A content is a string or parts; its words are the text parts, one under the other."""
    assert text_of(content) == text
    assert Message(MessageRole.USER, content).text == text
    assert ChatMessageRecord.from_dict(RECORD).text == ""


def test_a_page_of_the_audit_log() -> None:
    """Entries carry aware times and what the server may leave out."""
    raw = {"entries": [{"id": "1", "timestamp": "2024-05-01T10:00:00", "action": "a"}], "count": 1}
    entry = AuditLogResponse.from_dict(raw).entries[0]
    assert entry.timestamp == datetime(2024, 5, 1, 10, tzinfo=timezone.utc)
    assert (entry.user_id, entry.metadata) == (None, {})


@pytest.mark.parametrize("raw", [{}, {"type": None}, {"type": "nothing"}, {"type": 5}])
def test_an_event_of_no_known_type(raw: dict[str, Any]) -> None:
    """An event that nobody knows is a DecodeError, not a guess."""
    with pytest.raises(DecodeError, match="there is no event of type"):
        decode_event(raw)


def test_an_event_keeps_what_it_does_not_know() -> None:
    """An event of a newer server keeps its new keys."""
    event = decode_event({"type": "text_delta", "text": "x", "seq": 3, "new": 1})
    assert event == TextDelta("x", seq=3)
    assert event.extra == {"new": 1}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("own", [None, "u1"])
@pytest.mark.parametrize("asked", ["u1", "u2"])
def test_for_whom_a_principal_may_act(role: Role, own: str | None, asked: str) -> None:
    """Services and administrators act for anybody, the others for their own user."""
    principal = Principal("p", role, user_id=own)
    assert principal.may_act_for(asked) is (role in (Role.SERVICE, Role.ADMIN) or own == asked)


def test_what_the_audit_log_calls_a_principal() -> None:
    """The e-mail, else the user, else the id."""
    assert Principal("p", Role.USER, email="e@x", user_id="u").label == "e@x"
    assert Principal("p", Role.USER, user_id="u").label == "u"
    assert Principal("p", Role.USER).label == "p"


def test_the_models_package_names_what_it_has() -> None:
    """Names are loaded when they are used, and a wrong one is an AttributeError."""
    assert models.__all__ == sorted(models.__all__)
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        models.Nothing  # noqa: B018


def test_ever_new_keys_are_read_and_not_remembered() -> None:
    """A server that sends other keys each time does not fill the memory, and is understood."""
    for number in range(600):
        info = ModelInfo.from_json(json.dumps({"id": "m", f"key{number}": number}))
        assert info.extra == {f"key{number}": number}
    assert len(owning_plan_of(ModelInfo).shapes) <= 256
