"""Looking after a server, as a job of every day would: is it ready, is the audit log whole, how
much does it do; and a copy of one transcript.

Start a server with `chatserver serve --dev`, then run `python examples/operating/look_after.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one; the key is an administrator's.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from chatserver_sdk import ChatServerClient, ServiceUnavailableError

FIGURES = ("chatserver_turns_running", "chatserver_store_waiting")


def check_readiness(client: ChatServerClient) -> None:
    """503 while it stops, and while its store does not answer."""
    try:
        client.request("GET", "/health/ready", max_retries=0)
        print("ready: yes")
    except ServiceUnavailableError as e:
        print("ready: no,", e.message)


def check_audit_log(client: ChatServerClient, kept: Path) -> None:
    """Against the head of the last time, which is kept where the server cannot write."""
    said = client.verify_audit_log(kept.read_text() if kept.exists() else None)
    if said.first_bad is not None:
        raise SystemExit(f"audit log: entry {said.first_bad.seq} {said.first_bad.reason}")
    kept.write_text(client.get_audit_head().head)
    print("audit log: as it was written")


def show_figures(client: ChatServerClient) -> None:
    """What Prometheus would fetch."""
    for line in client.request("GET", "/metrics").text.splitlines():
        if line.startswith(FIGURES):
            print("figure:", line)


def export_latest(client: ChatServerClient, user_id: str, folder: Path) -> None:
    """The transcript that was begun last, for people to read."""
    for session in client.iter_sessions(user_id):
        path = folder / f"{session.id}.md"
        client.export_session(session.id, path, user_id=user_id, format="markdown")
        print("exported:", path.read_text("utf-8").splitlines()[0])
        return


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        check_readiness(client)
        with tempfile.TemporaryDirectory() as folder:
            session = client.create_session("eliza", user_id="ada", title="A trip to Ulm")
            client.send_message(session.id, "I am planning a trip.")
            key = client.create_key("a job of every day", "service")
            client.revoke_key(key.id)
            for _ in range(2):
                check_audit_log(client, Path(folder, "head"))
            export_latest(client, "ada", Path(folder))
        show_figures(client)


if __name__ == "__main__":
    main()
