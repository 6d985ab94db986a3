"""Chat in a session: typed events, a file, an answer that is stopped, and one that is joined.

Start a server with `chatserver serve --dev`, then run `python examples/session_chat.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os

from chatserver_sdk import ChatServerClient, ChatSession
from chatserver_sdk.models.events import TextDelta, TurnCompleted

SLOWLY = {"variables": {"delay": 30}}


def show_events(client: ChatServerClient, session: ChatSession) -> None:
    """Everything that the agent says, not its text alone."""
    notes = client.upload_file(session.id, b"Buy bread.", filename="notes.txt")
    print("file:", notes.filename, notes.size, "bytes")
    with client.send_message(session.id, "Read my notes.", files=[notes], stream=True) as stream:
        for event in stream.events():
            if isinstance(event, TextDelta):
                print("  text:", event.text)
            elif isinstance(event, TurnCompleted):
                print("  finished:", event.finish_reason)


def stop_an_answer(client: ChatServerClient, session: ChatSession) -> None:
    """From anywhere, by the session's id; what was said stays."""
    stream = client.send_message(session.id, "One two three", stream=True, metadata=SLOWLY)
    print("said before the stop:", next(stream))
    # Closing a stream stops nothing: somebody else may read on.
    stream.close()
    print("stopped:", client.cancel_message(session.id, stream.turn_id).cancelled)
    again = client.join_stream(session.id)
    print("who joins reads:", again.response().message.text)
    print("it ended as:", again.metadata["finish_reason"])


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        session = client.create_session("echo", user_id="ada", title="Shopping")
        show_events(client, session)
        stop_an_answer(client, session)
        print("status:", client.update_session(session.id, status="archived").status)


if __name__ == "__main__":
    main()
