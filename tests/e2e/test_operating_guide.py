"""The guide for operators and the files beside it are what the code is."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import yaml
from postgres_server import Databases, postgres as postgres

from chatserver_process import BOUND, COMMAND, clean_environment
from chatserver_sdk.server import Settings, configuration
from chatserver_sdk.testing import running_server
from markdown import read_blocks

FOLDER = Path(__file__).parents[2] / "examples" / "operating"
GUIDE = (FOLDER / "README.md").read_text("utf-8")
NGINX = (FOLDER / "nginx.conf").read_text("utf-8")


def test_the_table_of_settings() -> None:
    """It is the one that the settings make of themselves."""
    assert configuration.table() in GUIDE


def test_every_file_is_named() -> None:
    """A file that the guide does not name is found by nobody."""
    for path in FOLDER.iterdir():
        assert path.name == "README.md" or f"]({path.name})" in GUIDE


def test_the_file_of_settings() -> None:
    """It is read, and what it says is no default."""
    found = configuration.load(str(FOLDER / "chatserver.toml"))
    assert found != Settings() and found.aliases == {"assistant": "eliza"}


def test_settings_in_the_guide(tmp_path: Path) -> None:
    """Each piece of a file is one."""
    blocks = read_blocks(GUIDE, "toml")
    for block in blocks:
        path = tmp_path / "piece.toml"
        path.write_text(block.text)
        assert configuration.load(str(path)) != Settings()
    assert blocks


def test_the_unit() -> None:
    """It starts a command that there is, and waits longer than running answers are given."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(FOLDER / "chatserver.service")
    _, *arguments = shlex.split(unit["Service"]["ExecStart"])
    helped = subprocess.run([COMMAND, *arguments, "--help"], capture_output=True, timeout=BOUND)
    assert helped.returncode == 0
    settings = configuration.load(str(FOLDER / "chatserver.toml"))
    assert int(unit["Service"]["TimeoutStopSec"]) > settings.grace + 10


def test_the_proxy() -> None:
    """It finds the server, says who asks, and holds no more back than the server does."""
    found = dict(re.findall(r"(?m)^\s*([a-z_]+(?: [XHC][\w-]+)?)\s+(.+);$", NGINX))
    settings = configuration.load(str(FOLDER / "chatserver.toml"))
    assert found["server"] == f"127.0.0.1:{settings.port}"
    assert found["proxy_set_header X-Forwarded-For"] == "$remote_addr"
    assert found["proxy_set_header X-Forwarded-Proto"] == "$scheme"
    assert int(found["client_max_body_size"].rstrip("m")) * 2**20 == settings.max_body_bytes
    assert int(found["keepalive_timeout"].rstrip("s")) < settings.keep_alive


def test_what_prometheus_fetches() -> None:
    """The figures are where it looks for them, and each that the guide names is there."""
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    with running_server() as server, server.client() as client:
        client.create_completion("echo", "Hello")
        figures = client.request("GET", job["metrics_path"]).text
    named = set(re.findall(r"`(chatserver_[a-z_]+)`", GUIDE.partition("| figure |")[2]))
    typed = set(re.findall(r"(?m)^# TYPE (\S+)", figures))
    assert named == {name for name in typed if name.startswith("chatserver_")} - {
        name for name in typed if name.endswith("_created")
    }


def test_the_database_recipe(postgres: Databases, tmp_path: Path) -> None:
    """Its statements make a role and a database in which the server's tables can be made."""
    # Not the names of the guide: they may be somebody's on this server.
    name = f"chat_{uuid4().hex}"
    (block,) = read_blocks(GUIDE, "sql")
    statements = re.sub(r"\bchat\b", name, block.text).split(";")
    server = os.environ["CHATSERVER_TEST_POSTGRES"]
    url = f"postgresql://{name}@{urlsplit(server).netloc.rpartition('@')[2]}/{name}"
    environment = clean_environment(tmp_path, PGPASSWORD="choose another one")
    with psycopg.connect(server, autocommit=True) as connection:
        try:
            for statement in filter(str.strip, statements):
                connection.execute(statement)
            command = [COMMAND, "db", "upgrade", "--db", url]
            ran = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=BOUND
            )
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"DROP ROLE IF EXISTS {name}")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("the database went from revision none to ")
