"""What OpenAI's own client makes of a chat server: one JSON line a case.

    python openai_client.py BASE_URL KEY

Run by an interpreter that has `openai` and not this package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import openai

HELLO: Any = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "one two three"},
]


def main(base_url: str, key: str) -> None:
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        say("plain", client.chat.completions.create(model="echo", messages=HELLO).model_dump())
        say("stream", [chunk.model_dump() for chunk in stream(client)])
        say("stream_helper", stream_helper(client))
        say("models", [model.model_dump() for model in client.models.list()])
        say("model", client.models.retrieve("eliza").model_dump())
        for name, call in failures(client).items():
            say(name, failure(call))
    with openai.OpenAI(base_url=base_url, api_key="sk-wrong", max_retries=0) as stranger:
        say("wrong_key", failure(stranger.models.list))


def say(case: str, value: Any) -> None:
    print(json.dumps({"case": case, "value": value}))


def stream(client: openai.OpenAI) -> Iterator[Any]:
    options: Any = {"include_usage": True}
    with client.chat.completions.create(
        model="echo", messages=HELLO, stream=True, stream_options=options
    ) as chunks:
        yield from chunks


def stream_helper(client: openai.OpenAI) -> dict[str, Any]:
    """The client's own reader of streams, which is stricter about the order of things."""
    with client.chat.completions.stream(model="echo", messages=HELLO) as events:
        kinds = [event.type for event in events]
        return {"kinds": kinds, "final": events.get_final_completion().model_dump()}


def failures(client: openai.OpenAI) -> dict[str, Callable[[], Any]]:
    create: Any = client.chat.completions.create
    return {
        "unknown_model": lambda: create(model="gpt-0", messages=HELLO),
        "unknown_model_streamed": lambda: create(model="gpt-0", messages=HELLO, stream=True),
        "unknown_model_retrieved": lambda: client.models.retrieve("gpt-0"),
        "no_messages": lambda: create(model="echo", messages=[]),
        "bad_temperature": lambda: create(model="echo", messages=HELLO, temperature=3),
        "unknown_route": lambda: client.files.list(),
    }


def failure(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        call()
    except openai.APIStatusError as exc:
        said = {name: getattr(exc, name) for name in ("code", "param", "type", "request_id")}
        return {"class": type(exc).__name__, "status": exc.status_code, "text": str(exc), **said}
    return {"class": None}


if __name__ == "__main__":
    main(*sys.argv[1:])
