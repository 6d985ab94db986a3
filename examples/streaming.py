"""A stream: the answer's text word by word, and what is known of it beside the text.

Start a server with `chatserver serve --dev`, then run `python examples/streaming.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os

from chatserver_sdk import ChatServerClient

QUESTION = "These words come back one at a time, each the moment it is said."


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        # `delay` is a variable of echo: the seconds that it waits before each word.
        stream = client.create_completion("echo", QUESTION, stream=True, variables={"delay": 0.05})
        for text in stream:
            print(text, end="", flush=True)

        print("\n\nfinish reason:", stream.metadata["finish_reason"])
        print("tokens written:", stream.metadata["usage"].completion_tokens)
        print("the same as one object:", repr(stream.response().choices[0].message.content))

        # Leaving the block early hangs up, and the connection is free for the next call.
        with client.create_completion("echo", QUESTION, stream=True) as stream:
            print("the first word of another one:", next(stream))


if __name__ == "__main__":
    main()
