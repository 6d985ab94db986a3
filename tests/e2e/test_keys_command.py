"""`chatserver keys`: without a server, beside one, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chatserver_process import BOUND, COMMAND, ChatserverProcess, clean_environment
from chatserver_sdk import ChatServerClient, ForbiddenError, UnauthorizedError


def run(
    home: Path, *arguments: str, status: int = 0, db: str = "store.db"
) -> subprocess.CompletedProcess[str]:
    """What `chatserver keys` says of a store below `home`."""
    action, *rest = arguments
    command = [COMMAND, "keys", action, "--db", str(home / db), *rest]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=BOUND, env=clean_environment(home)
    )
    assert ran.returncode == status, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran


def rows(home: Path) -> list[list[str]]:
    """The list of keys, in columns, without its heading."""
    return [line.split() for line in run(home, "list").stdout.splitlines()[1:]]


def test_keys_without_a_server(tmp_path: Path) -> None:
    """Made, listed and revoked; the output of `create` is the key and nothing else."""
    root = run(tmp_path, "create", "--name", "root", "--role", "admin")
    ada = run(tmp_path, "create", "--name", "x", "--user", "ada", "--expires", "90d")
    key_id = ada.stderr.split()[1].rstrip(":")

    listed = rows(tmp_path)
    revoked = run(tmp_path, "revoke", key_id)
    run(tmp_path, "revoke", key_id)

    for made in (root, ada):
        assert made.stdout.startswith("csk_") and made.stdout.count("\n") == 1
        assert made.stdout.strip() not in made.stderr
    assert [(row[0], row[2], row[3], row[5]) for row in listed][0] == (
        key_id,
        "user",
        "valid",
        "ada",
    )
    assert listed[0][6] == "x" and [row[2] for row in listed] == ["user", "admin"]
    assert revoked.stdout == f"revoked {ada.stdout[:12]} (x)\n"
    assert [row[3] for row in rows(tmp_path)] == ["revoked", "valid"]


def test_keys_beside_a_server(tmp_path: Path) -> None:
    """A new key counts at once, and a revoked one at once no more."""
    arguments = ["serve", "--port", "0", "--db", str(tmp_path / "store.db")]
    environment = clean_environment(tmp_path, CHATSERVER_BOOTSTRAP_KEY="csk_bootstrap_key_1")
    with ChatserverProcess(*arguments, environment=environment) as server:
        url = server.wait_until_ready()
        key = run(tmp_path, "create", "--name", "s", "--role", "service").stdout.strip()
        with ChatServerClient(key, url, max_retries=0) as client:
            client.list_models()
            with pytest.raises(ForbiddenError):
                client.list_keys()
            run(tmp_path, "revoke", rows(tmp_path)[0][0])
            with pytest.raises(UnauthorizedError):
                client.list_models()
        with ChatServerClient("csk_bootstrap_key_1", url) as admin:
            actions = [entry.action for entry in admin.get_audit_log().entries]
            names = [key.name for key in admin.list_keys().keys]
        assert server.end() == 0, server.errors

    assert actions == ["key.revoked", "key.created", "key.created", "admin.added"]
    assert names == ["s", "first administrator"]


def test_a_server_on_keys_that_are_there(tmp_path: Path) -> None:
    """A user's key alone locks no administrator out; an administrator's key is the first key."""
    environment = clean_environment(tmp_path)
    run(tmp_path, "create", "--name", "u", "--user", "ada", db="a.db")
    run(tmp_path, "create", "--name", "r", "--role", "admin", "--email", "R@x.org", db="b.db")
    for db, is_new in (("a.db", True), ("b.db", False)):
        arguments = ["serve", "--port", "0", "--db", str(tmp_path / db)]
        with ChatserverProcess(*arguments, environment=environment) as server:
            server.wait_until_ready()
            assert ("API key is in" in server.output) == is_new
            assert server.end() == 0


REFUSED: list[tuple[list[str], int, str]] = [
    (["create"], 2, "--name"),
    (["create", "--name", "k"], 1, "needs a user_id"),
    (["create", "--name", "k", "--role", "root"], 2, "--role"),
    (["create", "--name", "k", "--role", "service", "--user", "ada"], 1, "give no user_id"),
    (["create", "--name", "k", "--role", "service", "--email", "x"], 1, "e-mail address"),
    (["create", "--name", "k", "--role", "admin"], 2, "--email EMAIL"),
    (["create", "--name", "k", "--role", "admin", "--email", "n@x"], 1, "add them as one first"),
    (["create", "--name", "k", "--user", "a", "--expires", "soon"], 2, "such as 90d"),
    (["create", "--name", "k", "--user", "a", "--expires", "2020-01-01"], 1, "a time to come"),
    (["create", "--name", "x\x1b[2J", "--user", "a"], 1, "in one line"),
    (["revoke", "nobody"], 1, "no such API key"),
    (["revoke"], 2, "KEY_ID"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in which there is an administrator."""
    home = tmp_path_factory.mktemp("home")
    run(home, "create", "--name", "root", "--role", "admin")
    return home


@pytest.mark.parametrize(("arguments", "status", "said"), REFUSED)
def test_what_is_refused(home: Path, arguments: list[str], status: int, said: str) -> None:
    """With a sentence, and without a new key."""
    assert said in run(home, *arguments, status=status).stderr
    assert len(rows(home)) == 1


def test_no_store(home: Path) -> None:
    """To look into a store that is not there makes none."""
    for arguments in (["list"], ["revoke", "x"]):
        assert "there is no store" in run(home, *arguments, status=1, db="none.db").stderr
    assert not (home / "none.db").exists()


@pytest.mark.parametrize("action", [["keys", "list"], ["audit", "head"], ["db", "current"]])
def test_the_store_is_found_as_a_server_finds_it(tmp_path: Path, action: list[str]) -> None:
    """A flag beats the environment, and that the file; none of them is passed over."""
    run(tmp_path, "create", "--name", "root", "--role", "admin")
    there, absent = str(tmp_path / "store.db"), str(tmp_path / "absent.db")
    config = tmp_path / "chatserver.toml"
    ways = [
        ([], {"CHATSERVER_DB": there}, absent),
        (["--db", there], {"CHATSERVER_DB": absent}, absent),
        (["--config", str(config)], {}, there),
        ([], {"CHATSERVER_CONFIG": str(config)}, there),
    ]
    for flags, variables, in_file in ways:
        config.write_text(f'db = "{in_file}"\n')
        environment = clean_environment(tmp_path, **variables)
        command = [COMMAND, *action, *flags]
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=BOUND, env=environment
        )
        assert ran.returncode == 0 and ran.stdout, (flags, variables, ran.stderr)
