"""Tools: those that a model may call, and the calls that it asks for, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, cast

from chatserver_sdk.exceptions import DecodeError

from ._base import Model, omitted
from ._rules import Length, Open

C = TypeVar("C", bound="_Called")


@dataclass
class FunctionDefinition(Model):
    """A function that a model may call.

    name: letters, digits, `_` and `-`. description: what it does and when to call it. parameters:
    a JSON schema of its arguments. strict: whether the arguments must follow the schema exactly.
    """

    name: Annotated[str, Length(1, 256)]
    description: str | None = omitted()
    parameters: dict[str, Any] | None = omitted()
    strict: bool | None = omitted()


@dataclass
class Tool(Model):
    """Something that a model may use.

    function: which function; tools of other types have none. type: "function", or what the server
    knows besides.
    """

    function: Annotated[FunctionDefinition, Open()] | None = omitted()
    type: str = "function"


class _Called(Model):
    """What has arguments as JSON text."""

    @classmethod
    def from_dict(cls: type[C], kvs: Any, *, infer_missing: bool = False) -> C:
        """Read a decoded JSON object; arguments that came as an object are taken as its text.

        Raises DecodeError.
        """
        if isinstance(kvs, Mapping) and isinstance(kvs.get("arguments"), (dict, list)):
            kvs = {**kvs, "arguments": json.dumps(kvs["arguments"])}
        return super().from_dict(kvs)


@dataclass
class FunctionCall(_Called):
    """Which function a model calls: its name, and arguments as JSON text (not checked by us)."""

    name: str = ""
    arguments: str = ""

    def parsed_arguments(self) -> dict[str, Any]:
        """The arguments by name; none where the text is empty.

        Raises DecodeError where the text is no JSON object: models do write such.
        """
        if not self.arguments.strip():
            return {}
        try:
            parsed = json.loads(self.arguments)
        except (ValueError, RecursionError) as exc:
            raise DecodeError(f"the arguments of {self.name or 'a call'} are not JSON") from exc
        if not isinstance(parsed, dict):
            raise DecodeError(f"the arguments of {self.name or 'a call'} are no JSON object")
        return cast(dict[str, Any], parsed)


@dataclass
class ToolCall(Model):
    """A call that a model asks for.

    id: what the tool's answer names as tool_call_id. function: which one. type: "function".
    """

    id: str = ""
    function: Annotated[FunctionCall, Open()] = field(default_factory=FunctionCall)
    type: str = "function"


@dataclass
class FunctionCallDelta(_Called):
    """What a chunk adds to the function of a call.

    name: mostly whole and once. arguments: the next piece of their JSON text.
    """

    name: str | None = omitted()
    arguments: str | None = omitted()


@dataclass
class ToolCallDelta(Model):
    """What a chunk adds to a call.

    index: which call, from 0; None where the server does not say. id, type: in the call's first
    piece. function: its name in the first piece, its arguments piece by piece.
    """

    index: int | None = omitted()
    id: str | None = omitted()
    type: str | None = omitted()
    function: FunctionCallDelta | None = omitted()
