"""A recorded session: the server keeps the conversation, and its fingerprint resumes it.

Start a server with `chatserver serve --dev`, then run `python examples/resume_session.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os

from chatserver_sdk import ChatServerClient

USER = "ada"


def new_client() -> ChatServerClient:
    return ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any"))


def begin() -> str:
    """The fingerprint of a new session: all that has to be remembered of it."""
    with new_client() as client:
        response = client.create_completion("eliza", "I am writing a play.", user=USER)
    return response.system_fingerprint or ""


def resume(fingerprint: str) -> None:
    """Go on with only the new message; the server knows the others."""
    with new_client() as client:
        client.create_completion(
            "eliza", "My mother wants to act in it.", user=USER, session_id=fingerprint
        )


def show_history(fingerprint: str) -> None:
    with new_client() as client:
        recorded = client.list_sessions(USER)
        print(f"{USER} has {recorded.total} recorded session(s); this is the one just made:\n")
        for message in client.get_session(fingerprint, user_id=USER).messages:
            print(f"{message.message_index} {message.role:>9}: {message.text}")


def main() -> None:
    fingerprint = begin()
    print("fingerprint:", fingerprint)
    # This could be another day and another process.
    resume(fingerprint)
    show_history(fingerprint)


if __name__ == "__main__":
    main()
