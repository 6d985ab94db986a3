"""The tool calls of a streamed answer, put together from their pieces.

OpenAI numbers the calls; the servers beside it leave the number out, give every call the same one,
or say a name again with each piece.
"""

from __future__ import annotations

import json
from typing import Any


class ToolCalls:
    """Feed it the `tool_calls` of each delta."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        # Which call a number stands for at the moment.
        self._numbered: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, deltas: Any) -> None:
        """Take the calls of one delta in; what is no call is passed over."""
        listed = deltas if isinstance(deltas, list) else []
        pieces = [piece for piece in listed if isinstance(piece, dict)]
        for place, piece in enumerate(pieces):
            self._call_of(piece, place if len(pieces) > 1 else None).add(piece)

    def bodies(self) -> list[dict[str, Any]]:
        """The calls as a whole answer has them, in the order of their numbers."""
        return [call.body() for call in sorted(self._calls, key=lambda call: call.number)]

    def _call_of(self, piece: dict[str, Any], place: int | None) -> _Call:
        number = piece.get("index")
        if not isinstance(number, int):
            return self._unnumbered(piece, place)
        known = self._numbered.get(number)
        if known is None or _is_another(known, piece):
            known = self._with_id(piece.get("id")) or self._new(number)
            self._numbered[number] = known
        return known

    def _unnumbered(self, piece: dict[str, Any], place: int | None) -> _Call:
        """The call that goes on, or a new one where this piece must be a beginning."""
        if piece.get("id"):
            return self._with_id(piece["id"]) or self._new()
        name = _function(piece).get("name")
        last = self._calls[-1] if self._calls else None
        if last is None or (name and (name != last.name or last.is_complete)):
            return self._new()
        if name or place is None or place >= len(self._calls):
            return last
        return self._calls[place]

    def _with_id(self, id: Any) -> _Call | None:
        return next((call for call in self._calls if id and call.id == id), None)

    def _new(self, number: int | None = None) -> _Call:
        if number is None:
            number = max((call.number for call in self._calls), default=-1) + 1
        self._calls.append(_Call(number))
        return self._calls[-1]


class FunctionPieces:
    """The name and the arguments of a function as far as they have come."""

    def __init__(self) -> None:
        self.name = ""
        self._arguments: list[str] = []
        self._others: dict[str, Any] = {}

    @property
    def arguments(self) -> str:
        """The text of the arguments so far."""
        return "".join(self._arguments)

    def add(self, piece: dict[str, Any]) -> None:
        """Take a piece in."""
        for key, value in piece.items():
            if key == "name":
                self._add_name(value)
            elif key == "arguments":
                self._add_arguments(value)
            elif value is not None:
                self._others[key] = value

    def body(self) -> dict[str, Any]:
        """The function as a whole answer has it."""
        return {"name": self.name, "arguments": self.arguments, **self._others}

    def _add_name(self, value: Any) -> None:
        # Most servers say it once, some in pieces, and some all of it with every piece.
        # https://github.com/continuedev/continue/pull/5849
        if isinstance(value, str) and value != self.name:
            self.name += value

    def _add_arguments(self, value: Any) -> None:
        if isinstance(value, str):
            self._arguments.append(value)
        elif isinstance(value, (dict, list)) and value:
            # Some servers send the object, which is whole then.
            self._arguments = [json.dumps(value)]


class _Call:
    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.function = FunctionPieces()
        self._type = "function"
        self._others: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self.function.name

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are JSON already: what comes then belongs to another call."""
        try:
            json.loads(self.function.arguments)
        except (ValueError, RecursionError):
            return False
        return True

    def add(self, piece: dict[str, Any]) -> None:
        for key, value in piece.items():
            if key == "function":
                self.function.add(_function(piece))
            elif key == "id":
                self.id = self.id or _text(value)
            elif key == "type":
                self._type = _text(value) or self._type
            elif key != "index" and value is not None:
                # Signatures and the like: whoever made them wants them back.
                self._others[key] = _merged(self._others.get(key), value)

    def body(self) -> dict[str, Any]:
        known = {"id": self.id, "type": self._type, "function": self.function.body()}
        return {**known, **self._others}


def _is_another(known: _Call, piece: dict[str, Any]) -> bool:
    """Whether a piece begins a call under a number that another has: Ollama numbers all of them 0.

    A new id alone says nothing: there are servers that make one up for each piece.
    """
    # https://github.com/vercel/ai/pull/14277
    id = piece.get("id")
    return bool(id and known.id and id != known.id and _function(piece).get("name"))


def _function(piece: dict[str, Any]) -> dict[str, Any]:
    function = piece.get("function")
    return function if isinstance(function, dict) else {}


def _merged(known: Any, value: Any) -> Any:
    return {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
