"""PostgreSQL databases for tests: each test that asks for one gets a new one.

`export CHATSERVER_TEST_POSTGRES=$(.ci/postgres)` is what they need. Without it they are skipped,
and fail where CI is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from chatserver_sdk.storage import open_store

_SERVER = os.environ.get("CHATSERVER_TEST_POSTGRES")


class Databases:
    """Makes databases on a server, and drops them again."""

    def __init__(self, server: str) -> None:
        self._admin = psycopg.connect(server, autocommit=True)
        self._server = server
        self._template: str | None = None
        self._made: list[str] = []

    def new(self, *, with_tables: bool = True) -> str:
        """The URL of a new database, with empty tables if asked."""
        if with_tables and self._template is None:
            self._template = self._create(None)
            open_store(self._url(self._template)).close()
        # A copy takes a tenth of what the migrations take.
        return self._url(self._create(self._template if with_tables else None))

    def disconnect(self, url: str) -> None:
        """Have the server end all connections to a database, as a restart would."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [_name(url)],
        )

    def close_doors(self, url: str, *, closed: bool) -> None:
        """Have the server take no more connections to a database, or take them again."""
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        self._admin.execute(allow.format(sql.Identifier(_name(url)), sql.Literal(not closed)))

    def drop(self, url: str) -> None:
        """A database that is not needed any more."""
        self._drop(_name(url))

    def close(self) -> None:
        """Drop what is left, and disconnect."""
        for name in list(self._made):
            self._drop(name)
        self._admin.close()

    def _create(self, template: str | None) -> str:
        name = f"chatserver_test_{uuid4().hex}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        source = sql.Identifier(template or "template0")
        self._admin.execute(create.format(sql.Identifier(name), source))
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        self._admin.execute(drop.format(sql.Identifier(name)))
        self._made.remove(name)

    def _url(self, name: str) -> str:
        return f"{self._server.rpartition('/')[0]}/{name}"


def _name(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """The server on which tests make their databases."""
    if not _SERVER:
        missing = "no PostgreSQL: export CHATSERVER_TEST_POSTGRES=$(.ci/postgres)"
        # A laptop goes on without; what nobody looks at must not.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    databases = Databases(_SERVER)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """A database of the newest revision with empty tables."""
    url = postgres.new()
    yield url
    postgres.drop(url)


@pytest.fixture
def empty_postgres_url(postgres: Databases) -> Iterator[str]:
    """A database without any table."""
    url = postgres.new(with_tables=False)
    yield url
    postgres.drop(url)
