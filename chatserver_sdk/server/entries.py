"""Entry: what the OpenAPI document says of a route that its signature does not say.

An entry of a route that FastAPI knows adds examples and refusals to what is there. One with an
`operation_id` stands for a plain route: it says everything itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from chatserver_sdk._wire.errors import ErrorDetail, encode_error

REF = "#/components/schemas/{model}"
EVENT = "event_"
ERROR = {"$ref": "#/components/schemas/Error"}
_REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_JSON = "application/json"
_EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Entry:
    """One operation.

    answer: an example of the answer to a request that succeeds; a text is plain text.
    request: an example of the body. events: examples of a stream's events, each as it is sent.
    event_schemas: of the objects in the events' data, by their types.
    refusals: further statuses, each with a sentence; the usual ones are there without that.
    parameters: examples by their names. files: examples of answers that are no JSON, by their
    types. The others are of plain routes only.
    """

    method: str
    path: str
    answer: Any
    status: int = 200
    request: Any = None
    events: Mapping[str, str] = field(default_factory=dict)
    event_schemas: Mapping[str, Any] = field(default_factory=dict)
    refusals: Mapping[int, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    operation_id: str = ""
    tag: str = ""
    summary: str = ""
    description: str = ""
    needs_key: bool = True
    takes: type[Any] | None = None
    gives: type[Any] | None = None
    parameter_list: Sequence[Mapping[str, Any]] = ()

    def operation(self, schemas: dict[str, Any]) -> dict[str, Any]:
        """A plain route's operation; schemas is given what its models refer to."""
        made: dict[str, Any] = {
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description,
            "operationId": self.operation_id,
            "parameters": [dict(each) for each in self.parameter_list],
            "responses": {str(self.status): {"description": "The answer."}},
        }
        if self.needs_key:
            made["security"] = [{"HTTPBearer": []}]
        if self.takes is not None:
            schema = _schema(self.takes, "validation", schemas)
            made["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
        schemas.update({EVENT + name: schema for name, schema in self.event_schemas.items()})
        if self.gives is not None:
            schema = _schema(self.gives, "serialization", schemas)
            made["responses"][str(self.status)]["content"] = {_JSON: {"schema": schema}}
        return made

    def complete(self, operation: dict[str, Any]) -> None:
        """Add the examples and every status that the operation can answer."""
        success = operation["responses"][str(self.status)]
        content = success.setdefault("content", {})
        if success["description"] == "Successful Response":
            success["description"] = "The answer."
        if isinstance(self.answer, str):
            success["content"] = {
                "text/plain": {"schema": {"type": "string"}, "example": self.answer}
            }
        elif self.answer is not None:
            whole = content.setdefault(_JSON, {"schema": {}})
            whole["schema"] = whole["schema"] or {"type": "object"}
            whole["example"] = self.answer
        if self.events:
            content[_EVENTS] = self._stream()
        for kind, text in self.files.items():
            content[kind] = {"schema": {"type": "string"}, "example": text}
        if not success["content"]:
            del success["content"]
        if self.request is not None:
            (body,) = operation["requestBody"]["content"].values()
            body["example"] = self.request
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in self.parameters:
                parameter["example"] = self.parameters[parameter["name"]]
        self._refuse(operation)

    def _stream(self) -> dict[str, Any]:
        examples = {name: {"summary": name, "value": value} for name, value in self.events.items()}
        if not self.event_schemas:
            return {"schema": {"type": "string"}, "examples": examples}
        refs = {name: REF.format(model=EVENT + name) for name in self.event_schemas}
        schema = {
            "oneOf": [{"$ref": ref} for ref in refs.values()],
            "discriminator": {"propertyName": "type", "mapping": refs},
        }
        return {"schema": schema, "examples": examples}

    def _refuse(self, operation: dict[str, Any]) -> None:
        sentences = {**_usual(operation), **self.refusals}
        operation["responses"].pop("422", None)
        for status, sentence in sorted(sentences.items()):
            operation["responses"][str(status)] = refusal(status, sentence)
        for response in operation["responses"].values():
            response["headers"] = {**response.get("headers", {}), **_REQUEST_ID}


def refusal(status: int, sentence: str) -> dict[str, Any]:
    """A response of the document: what a status means, with an example in the one shape."""
    kind, code, param = _WORDS.get(status, _WORDS[500 if status >= 500 else 400])
    message = sentence[0].lower() + sentence[1:].rstrip(".")
    example = encode_error(ErrorDetail(message, type=kind, code=code, param=param))
    made: dict[str, Any] = {
        "description": sentence,
        "content": {_JSON: {"schema": ERROR, "example": example}},
    }
    if status in (429, 503):
        about = "Seconds to wait before the next attempt, where that is known."
        made["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer"}}}
    return made


def _usual(operation: Mapping[str, Any]) -> dict[int, str]:
    """What any operation of the kind may answer."""
    found = dict(_ALWAYS)
    if "security" in operation:
        found |= _WITH_KEY
    if "requestBody" in operation:
        found |= _WITH_BODY
    if "422" in operation["responses"]:
        found[422] = "A parameter or a field is wrong; `error.errors` names each of them."
    return found


def _schema(model: type[Any], mode: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(ref_template=REF, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    return schema


_ALWAYS = {
    403: "This is not for whoever asks, or not in this way: `error.code` says why.",
    408: "The request did not come in time.",
    413: "The request is longer than this server reads.",
    431: "The head of the request is longer than this server reads.",
    500: "The server failed; its log says why, under the request's id.",
}
_WITH_KEY = {
    401: "No API key was sent, or it is not valid.",
    429: "Too many requests with this key; `Retry-After` says when more may be sent.",
    503: "The store does not answer, or the server is stopping.",
}
_WITH_BODY = {400: "The request is wrong: `error.param` names the field, `error.message` the rule."}
_INVALID = "invalid_request_error"
# The error's type, code and param in the example of each status.
_WORDS: dict[int, tuple[str, str | None, str | None]] = {
    400: (_INVALID, "invalid_value", "user"),
    401: ("authentication_error", "invalid_api_key", None),
    403: ("permission_error", "wrong_user", "user"),
    404: ("not_found_error", "not_found", None),
    408: (_INVALID, "request_timeout", None),
    409: ("conflict_error", None, None),
    410: (_INVALID, "resume_window_passed", None),
    413: (_INVALID, "body_too_large", None),
    415: (_INVALID, None, "file"),
    422: (_INVALID, "invalid_value", "page_size"),
    429: ("rate_limit_error", "rate_limited", None),
    431: (_INVALID, "head_too_large", None),
    500: ("server_error", None, None),
    503: ("service_unavailable", "shutting_down", None),
}
