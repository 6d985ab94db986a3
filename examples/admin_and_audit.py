"""Administration: the server's figures, its administrators, and the log of who did what.

Start a server with `chatserver serve --dev`, then run `python examples/admin_and_audit.py`.
CHATSERVER_BASE_URL and CHATSERVER_API_KEY point it at another one; the key must be an
administrator's.
"""

from __future__ import annotations

import os

from chatserver_sdk import ChatServerClient

EMAIL = "grace@example.com"


def show_figures(client: ChatServerClient) -> None:
    stats = client.get_platform_stats()
    print(f"the server is {stats.system_health.status}")
    print(f"users: {stats.total_users}, requests today: {stats.requests_today}")


def show_admins(client: ChatServerClient) -> None:
    found = client.list_admins()
    print(f"{found.count} administrator(s):", ", ".join(admin.email for admin in found.admins))


def show_audit_log(client: ChatServerClient) -> None:
    print("the last things that happened, newest first:")
    for entry in client.get_audit_log(limit=5).entries:
        who = entry.user_id or "the server"
        print(f"  {entry.timestamp:%H:%M:%S} {who}: {entry.action} {entry.resource_id}")


def main() -> None:
    with ChatServerClient(os.environ.get("CHATSERVER_API_KEY", "any")) as client:
        show_figures(client)
        client.add_admin("user_01GRACE", EMAIL, "Grace")
        try:
            show_admins(client)
        finally:
            client.remove_admin(EMAIL)
        show_audit_log(client)


if __name__ == "__main__":
    main()
