"""Every model and every event survives being written and read, pickled and copied."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import EVENTS, JSON, MODELS, TEXTS, TIMES, instances

from chatserver_sdk.exceptions import DecodeError
from chatserver_sdk.models import MessageRole
from chatserver_sdk.models.events import (
    Event,
    TextDelta,
    ThoughtDelta,
    decode_event,
    decode_log,
    encode_event,
    encode_log,
)

each_model = pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
each_event = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)


@each_model
@given(data=st.data())
def test_every_model_reads_what_it_wrote(kind: type[Any], data: st.DataObject) -> None:
    """Written as a dict or as JSON text and read again, a model is equal to itself."""
    model = data.draw(instances(kind))

    assert kind.from_dict(model.to_dict()) == model
    assert kind.from_json(model.to_json()) == model
    assert kind.from_json(json.dumps(model.to_dict()).encode()) == model


@each_model
@given(data=st.data())
def test_unknown_keys_come_back(kind: type[Any], data: st.DataObject) -> None:
    """What a newer server adds to an object is kept and given back with it."""
    written = data.draw(instances(kind)).to_dict()
    unknown = data.draw(st.dictionaries(st.sampled_from(["new", "", "Ä"]), JSON, max_size=2))

    model = kind.from_dict({**written, **unknown})

    assert model.extra == unknown
    assert model.to_dict() == {**written, **unknown}


@each_model
@given(data=st.data())
def test_every_model_pickles_and_copies(kind: type[Any], data: st.DataObject) -> None:
    """A pickled, copied or deeply copied model is equal to the first and keeps unknown keys."""
    model = kind.from_dict({**data.draw(instances(kind)).to_dict(), "new": [1]})

    for twin in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        assert type(twin) is kind
        assert twin == model
        assert twin.extra == {"new": [1]}


@each_event
@given(data=st.data())
def test_every_event_reads_what_it_wrote(kind: type[Event], data: st.DataObject) -> None:
    """Encoded, sent as JSON and decoded, an event is equal to itself and says its type first."""
    event = data.draw(instances(kind))

    encoded = encode_event(event)

    assert next(iter(encoded)) == "type"
    assert decode_event(json.loads(json.dumps(encoded))) == event


@each_event
@given(data=st.data())
def test_every_event_pickles(kind: type[Event], data: st.DataObject) -> None:
    """Events travel between processes."""
    event = data.draw(instances(kind))
    assert pickle.loads(pickle.dumps(event)) == event


# Mostly texts, as in real turns; some of them with something that a newer server added.
TEXT_EVENTS = st.builds(TextDelta, TEXTS, at=st.none() | TIMES)
NEWER_TEXTS = TEXT_EVENTS.map(lambda event: TextDelta.from_dict({**event.to_dict(), "new": 1}))
SAID = st.one_of(TEXT_EVENTS, TEXT_EVENTS, NEWER_TEXTS, *map(instances, EVENTS))


@given(said=st.lists(SAID, max_size=12), first=st.integers(), gaps=st.sets(st.integers(0, 11)))
def test_a_log_reads_what_it_wrote(said: list[Event], first: int, gaps: set[int]) -> None:
    """Boundaries, numbers and everything else come back; within a run of texts its time holds."""
    for place, event in enumerate(said):
        event.seq = first + place + sum(gap <= place for gap in gaps)

    encoded = json.loads(json.dumps(encode_log(said)))
    read = decode_log(encoded)

    began = {item["seq"] for item in encoded}
    assert [event.extra for event in read] == [event.extra for event in said]
    for before, after in zip(said, read, strict=True):
        assert after == (before if before.seq in began else replace(before, at=after.at))
    assert encode_log(read) == encoded


def test_a_run_of_texts_is_one_object() -> None:
    """What follows each other is put together, with the number and the time of the first."""
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    texts = [TextDelta(text, seq=seq, at=at + timedelta(seq)) for seq, text in enumerate("abc", 1)]
    thought, alone, behind_a_gap = ThoughtDelta("d", seq=4), TextDelta("e", seq=5), TextDelta("f")

    encoded = encode_log([*texts, thought, alone, behind_a_gap])

    run = {"type": "text_deltas", "seq": 1, "at": "2026-03-02T00:00:00Z", "texts": ["a", "b", "c"]}
    assert encoded == [run, *map(encode_event, [thought, alone, behind_a_gap])]
    assert list(encoded[0]) == list(run)
    assert {event.at for event in decode_log(encoded[:1])} == {at + timedelta(1)}


@pytest.mark.parametrize(
    "bad",
    [{}, {"texts": "abc"}, {"texts": ["a", 5]}, {"texts": [], "seq": "1"}, {"type": "unknown"}],
)
def test_a_log_that_cannot_be_read(bad: dict[str, Any]) -> None:
    """What is no log is refused as everything else that cannot be read."""
    with pytest.raises(DecodeError):
        decode_log([{"type": "text_deltas", "seq": 1, "at": None, **bad}])


def test_every_event_has_a_type_of_its_own() -> None:
    """No two events are written alike."""
    assert len({kind.type for kind in EVENTS}) == len(EVENTS)
    assert all(kind.type for kind in EVENTS)


@pytest.mark.parametrize("role", [*MessageRole, MessageRole("robot"), MessageRole("")])
def test_roles_pickle_and_copy(role: MessageRole) -> None:
    """Known and unknown roles stay what they are, also as keys of a dict."""
    for twin in (pickle.loads(pickle.dumps(role)), copy.copy(role), copy.deepcopy(role)):
        assert twin == role == role.value
        assert {role.value: "found"}[twin] == "found"
