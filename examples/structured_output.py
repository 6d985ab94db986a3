"""Answers as objects: the model is asked for JSON that fits a class, and the answer is checked.

Start a server with `chatserver serve --dev`, then run `python examples/structured_output.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from chatserver_sdk import ChatServerClient, DecodeError


@dataclass
class Ticket:
    """A TypedDict or a pydantic model would do as well."""

    title: str
    urgent: bool
    labels: list[str]


# echo says what it is told; ask a real model in words: "The login page is down! File it."
QUESTIONS = [
    '{"title": "The login page is down", "urgent": true, "labels": ["web", "login"]}',
    '{"title": "The logo is too small", "urgent": "perhaps", "labels": []}',
    "I would rather not.",
]


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        for question in QUESTIONS:
            try:
                ticket = client.parse_completion("echo", question, into=Ticket)
                print(f"{ticket.title!r}, urgent: {ticket.urgent}, labels: {ticket.labels}")
            except DecodeError as e:
                # The raw answer is there for whoever wants to look, or to ask again.
                said = e.response.json()["choices"][0]["message"]["content"] if e.response else ""
                print(f"{e.message}\n  the model said: {said}")


if __name__ == "__main__":
    main()
