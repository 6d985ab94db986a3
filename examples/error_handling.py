"""Errors: what can go wrong, which exception says so, and what it knows.

Start a server with `chatserver serve --dev`, then run `python examples/error_handling.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from chatserver_sdk import ChatServerClient
from chatserver_sdk.exceptions import (
    APIConnectionError,
    BadRequestError,
    ChatServerError,
    NotFoundError,
    UnauthorizedError,
)


def show(title: str, call: Callable[[], object]) -> None:
    """Make a call that fails, and say how. The specific classes come first."""
    print(f"\n{title}:")
    try:
        call()
    except BadRequestError as e:
        print(f"  bad request, field {e.param!r}: {e.message}")
    except UnauthorizedError as e:
        print(f"  status {e.status_code}: {e.message}")
    except NotFoundError as e:
        print(f"  not found, code {e.code!r}: {e.message}")
    except APIConnectionError as e:
        print(f"  no answer at all: {e.message}")
    except ChatServerError as e:
        print(f"  everything else that this package raises: {e}")


def unreachable() -> object:
    # Nothing listens on port 1.
    with ChatServerClient("any", "http://127.0.0.1:1") as client:
        return client.list_models()


def keyless() -> object:
    with ChatServerClient(api_key="") as client:
        return client.list_models()


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        show("no messages", lambda: client.create_completion("eliza", []))
        show("a temperature of 3", lambda: client.create_completion("eliza", "Hi", temperature=3))
        show("an unknown model", lambda: client.create_completion("gpt-0", "Hi"))
    show("no API key", keyless)
    show("a server that is not there", unreachable)


if __name__ == "__main__":
    main()
