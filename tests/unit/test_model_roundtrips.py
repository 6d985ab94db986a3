"""Every model and every event survives being written and read, pickled and copied."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import EVENTS, JSON, MODELS, instances

from chatserver_sdk.models import MessageRole
from chatserver_sdk.models.events import Event, decode_event, encode_event

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
