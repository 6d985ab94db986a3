"""Tool calls add up whichever way a server writes their pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatserver_sdk._wire.openai import StreamedAnswer
from chatserver_sdk._wire.sse import ServerSentEvent
from chatserver_sdk.exceptions import DecodeError
from chatserver_sdk.models import FunctionCall, ToolCall, ToolCallDelta

Pieces = list[list[Any]]


def answered(*deltas: dict[str, Any]) -> dict[str, Any]:
    """The message that these deltas add up to, as a dict."""
    answer = StreamedAnswer({})
    for delta in deltas:
        answer.add(ServerSentEvent(json.dumps({"choices": [{"index": 0, "delta": delta}]})))
        answer.typed_chunk()
    return answer.response().choices[0].message.to_dict()


def calls(pieces: Pieces) -> list[dict[str, Any]]:
    """The calls that come of these pieces, those of one delta in one list."""
    found = answered(*({"tool_calls": delta} for delta in pieces)).get("tool_calls", [])
    return list(found)


def piece(name: Any = None, arguments: Any = None, **beside: Any) -> dict[str, Any]:
    """A piece of a call; what is None is left out."""
    given = {"name": name, "arguments": arguments}
    function = {key: value for key, value in given.items() if value is not None}
    return {**beside, **({"function": function} if function else {})}


A, B = ("a", "find", '{"q": 1}'), ("b", "look", "{}")

DIALECTS: list[tuple[str, Pieces, list[tuple[str, str, str]]]] = [
    (
        "numbered, and nothing said twice",
        [
            [piece("find", "", index=0, id="a", type="function")],
            [piece(None, '{"q"', index=0)],
            [piece("look", "", index=1, id="b")],
            [piece(None, ": 1}", index=0), piece(None, "{}", index=1)],
        ],
        [A, B],
    ),
    ("numbered, in another order", [[piece(*B[1:], index=1, id="b")], [piece(*A[1:], index=0, id="a")]], [A, B]),
    ("all of them number 0", [[piece(*A[1:], index=0, id="a")], [piece(*B[1:], index=0, id="b")]], [A, B]),
    (
        "all of them number 0, of one name, in turns",
        [
            [piece("find", "", index=0, id="a"), piece("find", "", index=0, id="c")],
            [piece("find", '{"q": 1}', index=0, id="a"), piece("find", "{}", index=0, id="c")],
        ],
        [A, ("c", "find", "{}")],
    ),
    (
        "a new id for every piece",
        [[piece("find", '{"q"', index=0, id="a")], [piece(None, ": 1}", index=0, id="zz")]],
        [A],
    ),
    (
        "the id only later",
        [[piece("find", '{"q"', index=0, id="")], [piece(None, ": 1}", index=0, id="a")]],
        [A],
    ),
    (
        "the name with every piece",
        [[piece("find", '{"q"', index=0, id="a")], *[[piece("find", part, index=0, id="a")] for part in (": ", "1}")]],
        [A],
    ),
    (
        "the name with every piece, and nothing else to know the call by",
        [[piece("find", '{"q"')], [piece("find", ": 1}")], [piece("find", "{}")]],
        [("", "find", '{"q": 1}'), ("", "find", "{}")],
    ),
    ("the name in pieces", [[piece("fi", "", index=0, id="a")], [piece("nd", '{"q": 1}', index=0)]], [A]),
    ("the name empty at first", [[piece("", "", index=0, id="a")], [piece(*A[1:], index=0)]], [A]),
    ("no numbers", [[piece("find", "", id="a")], [piece(None, '{"q": 1}')], [piece(*B[1:], id="b")]], [A, B]),
    ("null for numbers", [[piece(*A[1:], id="a", index=None)], [piece(*B[1:], id="b", index=None)]], [A, B]),
    ("no numbers, both at once", [[piece(*A[1:], id="a"), piece(*B[1:], id="b")]], [A, B]),
    (
        "no numbers, both at once in pieces",
        [
            [piece("find", "", id="a"), piece("look", "", id="b")],
            [piece(None, '{"q": 1}'), piece(None, "{}"), piece(None, "")],
        ],
        [A, B],
    ),
    (
        "no numbers, the id with every piece",
        [[piece("find", '{"q"', id="a")], [piece(*B[1:], id="b")], [piece(None, ": 1}", id="a")]],
        [A, B],
    ),
    ("no numbers and no ids", [[piece(*A[1:])], [piece(*B[1:])]], [("", *A[1:]), ("", *B[1:])]),
    ("an id and a type that are empty", [[piece(*A[1:], id="a")], [piece(None, "", id="", type="")]], [A]),
    ("the arguments as the object", [[piece("find", {"q": 1}, index=0, id="a")]], [A]),
    ("the object twice", [[piece("find", {"q": 1}, index=0, id="a")], [piece(None, {"q": 1}, index=0)]], [A]),
    ("an empty object first", [[piece("find", {}, index=0, id="a")], [piece(None, '{"q": 1}', index=0)]], [A]),
    ("no function", [[{"index": 0, "id": "a", "function": None}], [piece(*A[1:], index=0)]], [A]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "expected"), [row[1:] for row in DIALECTS], ids=[row[0] for row in DIALECTS]
)
def test_every_dialect_adds_up(pieces: Pieces, expected: list[tuple[str, str, str]]) -> None:
    """Each of these is what some server sends; the calls are those it means."""
    found = [ToolCall.from_dict(call) for call in calls(pieces)]
    assert [(c.id, c.function.name, c.function.arguments) for c in found] == expected
    assert {call.type for call in found} == {"function"}


def test_what_nobody_knows_survives() -> None:
    """Signatures are wanted back: whatever stands beside the call is kept, later parts added."""
    signed = {"google": {"thought_signature": "S"}}
    found = calls(
        [
            [piece("find", "", index=0, id="a", extra_content=signed, thought_signature="T")],
            [piece(None, "{}", index=0, extra_content={"more": 1}, thought_signature=None)],
            [{"index": 0, "type": "custom", "function": {"output": [1], "none": None}}],
        ]
    )
    assert found == [
        {
            "id": "a",
            "type": "custom",
            "function": {"name": "find", "arguments": "{}", "output": [1]},
            "extra_content": {**signed, "more": 1},
            "thought_signature": "T",
        }
    ]


def test_the_older_function_call() -> None:
    """It is assembled as well, and there is no content where nothing was said."""
    found = answered(
        {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": ""}},
        {"function_call": {"arguments": '{"q"'}},
        {"function_call": {"arguments": ": 1}"}},
        {"function_call": None},
    )
    assert found["function_call"] == {"name": "find", "arguments": '{"q": 1}'}
    assert found["content"] is None


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8), st.booleans())
def test_however_arguments_are_cut(sizes: list[int], numbered: bool) -> None:
    """The pieces of two calls that come in turns are put together in order."""
    texts = ['{"a": [1, 2, 3]}', '{"b": "x"}']
    where = {"index": 0} if numbered else {"id": "0"}, {"index": 1} if numbered else {"id": "1"}
    begun = [[piece(f"f{at}", "", **{"id": str(at), **where[at]}) for at in (0, 1)]]
    rest, cut = list(texts), []
    for size in [*sizes, 99]:
        cut.append([piece(None, text[:size], **where[at]) for at, text in enumerate(rest)])
        rest = [text[size:] for text in rest]
    found = [call["function"]["arguments"] for call in calls(begun + cut)]
    assert found == texts


def test_arguments_are_read() -> None:
    """By name; an empty text has none."""
    assert FunctionCall("f", '{"q": [1]}').parsed_arguments() == {"q": [1]}
    assert FunctionCall("f", " ").parsed_arguments() == {}
    assert FunctionCall.from_dict({"name": "f", "arguments": {"q": 1}}).arguments == '{"q": 1}'


@pytest.mark.parametrize("text", ["{", "secret", "[" * 100_000, "[1]", '"x"', "null"])
def test_arguments_that_are_no_object(text: str) -> None:
    """Models write such; the error names the function and repeats nothing."""
    with pytest.raises(DecodeError, match="^the arguments of find are n") as caught:
        FunctionCall("find", text).parsed_arguments()
    assert "secret" not in str(caught.value)


def test_pieces_are_typed() -> None:
    """A chunk gives them as the server numbered them, and writes back what came."""
    raw = {"id": "a", "function": {"arguments": "x", "y": 1}, "extra_content": {"z": 1}}
    delta = ToolCallDelta.from_dict(raw)
    assert delta.index is None and delta.function is not None
    assert (delta.function.name, delta.function.arguments) == (None, "x")
    assert delta.to_dict() == raw
