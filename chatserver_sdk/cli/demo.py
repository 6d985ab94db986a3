"""`chatserver demo`: a server with a throw-away store, used through the public client."""

from __future__ import annotations

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from chatserver_sdk import ChatServerClient
from chatserver_sdk.testing import running_server

_USER = "ada"


def run() -> None:
    """Show the whole product once."""
    with running_server() as server, server.client() as client:
        _Demo(Console(highlight=False), client).show(server.base_url)


class _Demo:
    def __init__(self, console: Console, client: ChatServerClient) -> None:
        self._console = console
        self._client = client

    def show(self, base_url: str) -> None:
        self._console.print(
            Panel(
                f"A chat server is running at [bold]{base_url}[/], its store in memory.\n"
                "Everything below goes through ChatServerClient, over HTTP.",
                title="chatserver demo",
                border_style="cyan",
            )
        )
        self._models()
        session_id = self._completion()
        self._stream()
        self._resume(session_id)
        self._history(session_id)
        self._administration()
        self._console.print(Rule(style="cyan"))
        self._console.print("[bold green]All of it works.[/] Next: [bold]chatserver serve[/]")

    def _models(self) -> None:
        self._step("Models", "client.list_models()")
        table = Table("model", "what it does")
        for model in self._client.list_models().data:
            table.add_row(model.id, model.description)
        self._console.print(table)

    def _completion(self) -> str:
        self._step("A completion", 'client.create_completion("eliza", "...", user="ada")')
        question = "Men are all alike."
        self._said("ada", question)
        answer = self._client.create_completion("eliza", question, user=_USER)
        self._said("eliza", answer.choices[0].message.text)
        usage = answer.usage
        self._console.print(
            f"[dim]{usage.prompt_tokens} tokens read, {usage.completion_tokens} written;"
            f" fingerprint {answer.system_fingerprint}[/]"
        )
        return answer.system_fingerprint or ""

    def _stream(self) -> None:
        self._step(
            "A stream, token by token", "for text in client.create_completion(..., stream=True)"
        )
        question = "These words come back one at a time, each the moment it is said."
        stream = self._client.create_completion(
            "echo", question, stream=True, variables={"delay": 0.08}
        )
        self._console.print("[bold magenta]echo[/]  ", end="")
        with stream:
            for text in stream:
                self._console.print(text, end="", markup=False)
        self._console.print(f"\n[dim]finish_reason {stream.metadata['finish_reason']}[/]")

    def _resume(self, session_id: str) -> None:
        self._step("The fingerprint resumes the session", "session_id=first.system_fingerprint")
        for question in (
            "They're always bugging us about something or other.",
            "Well, my boyfriend made me come here.",
        ):
            self._said("ada", question)
            stream = self._client.create_completion(
                "eliza", question, stream=True, user=_USER, session_id=session_id
            )
            self._said("eliza", "".join(stream))
        self._console.print(f"[dim]recorded under {stream.metadata['system_fingerprint']}[/]")

    def _history(self, session_id: str) -> None:
        self._step("The stored history", "client.get_session(session_id, user_id=...)")
        detail = self._client.get_session(session_id, user_id=_USER)
        table = Table("#", "role", "content", "tokens", title=detail.session.title)
        for message in detail.messages:
            table.add_row(
                str(message.message_index), str(message.role), message.text, str(message.tokens)
            )
        self._console.print(table)

    def _administration(self) -> None:
        self._step("Platform statistics", "client.get_platform_stats()")
        stats = self._client.get_platform_stats()
        figures = Table("users", "active", "requests today", "tokens today", "health")
        figures.add_row(
            str(stats.total_users),
            str(stats.active_users),
            str(stats.requests_today),
            str(stats.tokens_today),
            stats.system_health.status,
        )
        self._console.print(figures)
        self._step("Administrators and the audit log", "client.add_admin(...); get_audit_log()")
        self._client.add_admin("user_grace", "grace@example.com", "Grace")
        self._client.remove_admin("grace@example.com")
        table = Table("time", "who", "action", "what")
        for entry in self._client.get_audit_log(limit=10).entries:
            table.add_row(
                f"{entry.timestamp:%H:%M:%S}",
                entry.user_id or "the server",
                entry.action,
                f"{entry.resource} {entry.resource_id}",
            )
        self._console.print(table)

    def _step(self, title: str, call: str) -> None:
        self._console.print()
        self._console.print(Rule(Text(title, "bold cyan"), align="left", style="cyan"))
        self._console.print(Text(call, "dim"))

    def _said(self, who: str, text: str) -> None:
        self._console.print(Text.assemble((f"{who:<6}", "bold magenta"), text))
