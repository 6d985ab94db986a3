"""A dialogue: the conversation remembers what was said, and its id brings it back another day.

Start a server with `chatserver serve --dev`, then run `python examples/conversation.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os

from chatserver_sdk import ChatServerClient

USER = "grace"


def new_client() -> ChatServerClient:
    return ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any"))


def begin() -> str:
    """Say two things; the id is all that has to be remembered."""
    with new_client() as client:
        talk = client.conversation("eliza", user=USER, system_prompt="You are a listener.")
        print("eliza:", talk.ask("I am writing a compiler.").choices[0].message.content)

        print("eliza: ", end="")
        for text in talk.stream("My mother says nobody needs one."):
            print(text, end="", flush=True)
        print()
        return talk.session_id


def go_on(session_id: str) -> None:
    """The same dialogue in a client that knows nothing of it."""
    with new_client() as client:
        talk = client.conversation("eliza", user=USER, session_id=session_id)
        talk.ask("Perhaps she is right.")
        print("\nthe whole dialogue:")
        for message in talk.messages:
            print(f"{message.role:>9}: {message.text}")


def main() -> None:
    session_id = begin()
    # This could be another day and another process.
    go_on(session_id)


if __name__ == "__main__":
    main()
