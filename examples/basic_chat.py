"""A conversation: the program keeps the messages and sends all of them each time.

Start a server with `chatserver serve --dev`, then run `python examples/basic_chat.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os

from chatserver_sdk import ChatServerClient, Message, MessageRole

QUESTIONS = [
    "Men are all alike.",
    "They're always bugging us about something or other.",
    "Well, my boyfriend made me come here.",
]


def main() -> None:
    # A server in development mode takes any key.
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        models = client.list_models()
        print("models:", ", ".join(model.id for model in models.data))

        conversation: list[Message] = []
        for question in QUESTIONS:
            conversation.append(Message(role=MessageRole.USER, content=question))
            response = client.create_completion("eliza", conversation)
            answer = response.choices[0].message
            conversation.append(answer)
            print(f"\n  you: {question}\neliza: {answer.text}")

        print(f"\nthe last answer cost {response.usage.total_tokens} tokens")


if __name__ == "__main__":
    main()
