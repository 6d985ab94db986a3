"""A streamed answer as it adds up, chunk by chunk; the same in the end as if it had come whole."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from chatserver_sdk import _json, models
from chatserver_sdk.exceptions import DecodeError

from . import errors
from .calls import FunctionPieces, ToolCalls
from .sse import ServerSentEvent

if TYPE_CHECKING:
    from chatserver_sdk.models import ChatCompletionChunk, ChatCompletionResponse

DONE = "[DONE]"

_METADATA_KINDS = {"id": str, "model": str, "created": int, "system_fingerprint": str}
# Texts of a delta that are whole wherever they stand.
_SAID_WHOLE = {"role", "name", "id", "type", "tool_call_id"}


class StreamedAnswer:
    """Feed it events until `is_done`. choices_asked: how many make it whole."""

    last_word = DONE

    def __init__(self, metadata: dict[str, Any], choices_asked: int = 1) -> None:
        self.metadata = metadata
        self.is_done = False
        self.events = 0
        self.chunk: dict[str, Any] | None = None
        self._choices_asked = choices_asked
        self._choices: dict[int, _Choice] = {0: _Choice()}
        self._finished = 0
        self._may_have_failed = False
        self._heading: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """The text of choice 0 so far."""
        return self._choices[0].text

    @property
    def is_whole(self) -> bool:
        """Whether the answer was said to its end: `[DONE]`, or every choice has its reason."""
        # Most of the time none has, and that is seen at once.
        return self.is_done or (
            self._finished > 0 and self._finished >= max(self._choices_asked, len(self._choices))
        )

    @property
    def finish_reasons(self) -> list[str | None]:
        """Why each of the choices ended, as far as they have."""
        return [self._choices[index].finish_reason for index in sorted(self._choices)]

    def is_last(self, event: ServerSentEvent) -> bool:
        """Whether an event says that there is no more."""
        return event.data.strip() == DONE

    def add(self, event: ServerSentEvent) -> str:
        """Take an event in; the text that it adds to choice 0, mostly some, sometimes none.

        `chunk` is the event's JSON object then, None where it had none. Raises StreamFailedError
        for an error that the server sends, DecodeError for data that is not JSON.
        """
        self.chunk = None
        self.events += 1
        if event.data == DONE:
            self.is_done = True
            return ""
        chunk = self._decode(event)
        if not isinstance(chunk, dict):
            return self._add_list(chunk)
        self.chunk = chunk
        self._note(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            choices = chunk["choices"] = []
        added, has_odd = "", False
        for choice in choices:
            if isinstance(choice, dict):
                added += self._add_choice(choice)
            else:
                has_odd = True
        if has_odd:
            chunk["choices"] = [choice for choice in choices if isinstance(choice, dict)]
        if self._may_have_failed or not added:
            # Only here, as the common chunk is text and nothing else.
            self._raise_failed(chunk)
        return added

    def typed_chunk(self) -> ChatCompletionChunk | None:
        """The chunk that came last as a model, once. Raises DecodeError."""
        chunk, self.chunk = self.chunk, None
        return None if chunk is None else models.ChatCompletionChunk.from_decoded(chunk)

    def response(self) -> ChatCompletionResponse:
        """The same as if the answer had come whole."""
        known = {key: self.metadata.get(key) for key in _METADATA_KINDS}
        choices = [self._choices[index].body(index) for index in sorted(self._choices)]
        answer = models.ChatCompletionResponse.from_decoded(
            {**known, "object": "chat.completion", "choices": deepcopy(choices)}
        )
        answer.usage = self.metadata.get("usage") or answer.usage
        return answer

    def _decode(self, event: ServerSentEvent) -> Any:
        try:
            chunk = _json.loads(event.data)
        except (ValueError, RecursionError) as exc:
            said = event.data.strip()
            if said in ("", DONE) and event.event != "error":
                # A sign of life; an end that somebody has padded.
                self.is_done = said == DONE
                return None
            if event.event != "error":
                raise DecodeError("the server sent an event that is not JSON") from exc
            chunk = event.data
        if event.event == "error" or is_error(chunk):
            self._add_last_words(chunk)
            raise errors.stream_error_from(chunk, partial=self.text, metadata=self.metadata)
        return chunk

    def _add_last_words(self, chunk: Any) -> None:
        """What stands beside an error is part of the answer that failed."""
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._add_choice(choice)

    def _add_list(self, chunks: Any) -> str:
        """Some gateways wrap an error in a list; nothing else of the kind says anything."""
        for said in chunks if isinstance(chunks, list) else ():
            if is_error(said):
                raise errors.stream_error_from(said, partial=self.text, metadata=self.metadata)
        return ""

    def _raise_failed(self, chunk: dict[str, Any]) -> None:
        if (said := error_in_choice(chunk)) is not None:
            raise errors.stream_error_from(said, partial=self.text, metadata=self.metadata)

    def _note(self, chunk: dict[str, Any]) -> None:
        get = chunk.get
        heading = (get("id"), get("model"), get("created"), get("system_fingerprint"))
        # Nearly every chunk repeats the one before.
        if heading != self._heading:
            self._heading = heading
            # What is of another kind says nothing, and costs nobody the answer.
            for key, kind in _METADATA_KINDS.items():
                if isinstance(get(key), kind) and chunk[key]:
                    self.metadata[key] = chunk[key]
        if isinstance(get("usage"), dict):
            with suppress(DecodeError):
                self.metadata["usage"] = models.UsageInfo.from_dict(chunk["usage"])

    def _add_choice(self, choice: dict[str, Any]) -> str:
        reason = choice.get("finish_reason")
        if reason == "":
            # What some servers send in place of none.
            reason = choice["finish_reason"] = None
        if "error" in choice:
            self._may_have_failed = True
        index = choice.get("index")
        if type(index) is not int:
            index = _index_of(index)
        if index < 0:
            return ""
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Choice()
        if reason:
            self._may_have_failed = True
            self._finished += state.finish_reason is None
            state.finish_reason = str(reason)
            if index == 0:
                self.metadata["finish_reason"] = state.finish_reason
        added = state.add(choice)
        return added if index == 0 else ""


class _Choice:
    """One of the answers as far as it has come."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._texts: list[str] = []
        self._others: dict[str, Any] = {"role": "assistant"}
        self._has_delta = False
        self._tool_calls = ToolCalls()
        self._function_call: FunctionPieces | None = None
        self._logprobs: dict[str, list[Any] | Any] = {}

    @property
    def text(self) -> str:
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    def add(self, choice: dict[str, Any]) -> str:
        """What the chunk says of this choice; the text that it adds."""
        if choice.get("logprobs"):
            self._add_logprobs(deepcopy(choice["logprobs"]))
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._has_delta = True
        else:
            delta = self._said_otherwise(choice)
        content = delta.get("content")
        if len(delta) > 1 or content is None:
            for key in delta:
                if key != "content":
                    self._add_field(key, delta[key])
        text = content if isinstance(content, str) else models.text_of(content)
        if text:
            self._texts.append(text)
        return text

    def body(self, index: int) -> dict[str, Any]:
        """The choice as a whole answer has it."""
        message = {key: _whole(value) for key, value in self._others.items()}
        if self._tool_calls:
            message["tool_calls"] = self._tool_calls.bodies()
        if self._function_call is not None:
            message["function_call"] = self._function_call.body()
        # As servers send it whole: a call, and nothing said.
        message["content"] = self.text or (None if models.speaks_otherwise(message) else "")
        body = {"index": index, "message": message, "finish_reason": self.finish_reason}
        return {**body, "logprobs": self._logprobs} if self._logprobs else body

    def _said_otherwise(self, choice: dict[str, Any]) -> dict[str, Any]:
        """What servers send in place of deltas; behind deltas it is all of them once more."""
        if self._has_delta:
            return {}
        message = choice.get("message")
        return message if isinstance(message, dict) else {"content": choice.get("text")}

    def _add_field(self, key: str, value: Any) -> None:
        known = self._others.get(key)
        if key == "tool_calls":
            # Copies, here and below: the chunk itself may become a model.
            self._tool_calls.add(deepcopy(value))
        elif key == "function_call":
            self._add_function_call(deepcopy(value))
        elif isinstance(value, str) and key not in _SAID_WHOLE:
            # Reasoning and refusals come in pieces, as the content does.
            if isinstance(known, _Text):
                known.pieces.append(value)
            else:
                self._others[key] = _Text(value)
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif value is not None and key != "role":
            # A list of our own: it may grow, and the chunk's stays what it was.
            self._others[key] = list(value) if isinstance(value, list) else value

    def _add_function_call(self, value: Any) -> None:
        if isinstance(value, dict):
            self._function_call = self._function_call or FunctionPieces()
            self._function_call.add(value)

    def _add_logprobs(self, more: Any) -> None:
        """Log probabilities come in lists, piece by piece."""
        for key, value in more.items() if isinstance(more, dict) else ():
            known = self._logprobs.get(key)
            if isinstance(known, list) and isinstance(value, list):
                known.extend(value)
            elif value is not None:
                self._logprobs[key] = list(value) if isinstance(value, list) else value


class _Text:
    """A text that is still coming."""

    def __init__(self, first: str) -> None:
        self.pieces = [first]


def _whole(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value.pieces)
    return list(value) if isinstance(value, list) else value


def _index_of(said: Any) -> int:
    """Which choice is meant by what is no plain number; -1 for none."""
    if isinstance(said, str) and said.isdecimal():
        return int(said[:9])
    # What is said of no choice is said of the first; JSON's true is a number to Python.
    return int(said or 0) if isinstance(said or 0, int) else -1


def is_error(said: Any) -> bool:
    """Whether a body or a chunk is an error; some gateways say it beside the choices."""
    # https://openrouter.ai/docs/api-reference/streaming
    if not isinstance(said, dict):
        return False
    if said.get("error"):
        return True
    # vLLM: an object of that name; Anthropic: a type; FastChat: a code; AWS: a message and nothing
    # else; others: what error bodies consist of.
    return "choices" not in said and (
        bool(said.get("detail") or said.get("errors") or said.get("error_code"))
        or "error" in said
        or "error" in (said.get("object"), said.get("type"))
        or (isinstance(message := said.get("message"), str))
        and bool(message or "status" in said or "code" in said)
    )


def error_in_choice(said: Any) -> dict[str, Any] | None:
    """What a body or a chunk says of a choice that failed, as an error body; None where none did."""
    # https://openrouter.ai/docs/api-reference/errors
    choices = said.get("choices") if isinstance(said, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (
            choice.get("error") or choice.get("finish_reason") == "error"
        ):
            return {"error": choice.get("error")}
    return None
