"""Messages: every form in which create_completion() takes them.

Start a server with `chatserver serve --dev`, then run `python examples/message_formats.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os
from typing import Any

from chatserver_sdk import ChatServerClient, Message, MessageRole

FORMS: dict[str, Any] = {
    "a text": "Hello!",
    "a list of texts, which the user says": ["Hello!", "How are you?"],
    "dicts": [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "Hello!"},
    ],
    "Message objects": [
        Message(role=MessageRole.SYSTEM, content="You are helpful."),
        Message(role=MessageRole.USER, content="Hello!"),
    ],
    "a mix of them": [
        Message(role=MessageRole.USER, content="Hello!"),
        {"role": "assistant", "content": "Good morning."},
        "How are you?",
    ],
    "a content in parts": {
        "role": "user",
        "content": [{"type": "text", "text": "Hello,"}, {"type": "text", "text": "you two!"}],
    },
}


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        for name, messages in FORMS.items():
            # echo answers with what the user said last.
            response = client.create_completion("echo", messages)
            print(f"{name}: {response.choices[0].message.text!r}")


if __name__ == "__main__":
    main()
