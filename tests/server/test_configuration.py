"""Settings from a file, the environment and flags: every field, every source, every mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from chatserver_sdk.cli.commands import chatserver
from chatserver_sdk.exceptions import ConfigurationError
from chatserver_sdk.server import Settings
from chatserver_sdk.server.configuration import Setting, list_settings, load, table

FIELDS = list(list_settings())
IDS = [each.name for each in FIELDS]
# Where any value of the type will not do: three values as text, each unlike the default.
VALUES = {
    "host": ("a.example", "b.example", "c.example"),
    "cors_origins": ("https://a.example", "https://b.example", "https://c.example"),
    "trusted_proxies": ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
    "log_level": ("debug", "info", "error"),
    "most_waiting": ("1", "2", "3"),
    "dev": ("true", "true", "true"),
    **dict.fromkeys(
        ("rate_limit_key", "rate_limit_user", "rate_limit_session"),
        ("60/minute", "5/second", "5/second; 1000/hour"),
    ),
    "jwt_secret": ("a" * 32, "b" * 32, "c" * 32),
    "jwt_algorithms": ("RS256", "RS384,RS512", "RS512"),
}
TOKENS = {"jwt_jwks": "keys.json", "jwt_audience": "chat", "jwt_issuer": "me"}
# What some values cannot be without.
BESIDE = {
    "tls_key": {"tls_cert": "cert.pem"},
    "tls_key_password_file": {"tls_cert": "cert.pem"},
    "require_tls": {"tls_cert": "cert.pem"},
    "jwt_secret": {"jwt_audience": "chat", "jwt_issuer": "me"},
    **{
        name: {other: value for other, value in TOKENS.items() if other != name}
        for name in (*TOKENS, "jwt_algorithms")
    },
}


def values_of(each: Setting) -> tuple[str, str, str]:
    """Three values of a setting, as texts."""
    if each.name in VALUES:
        return VALUES[each.name]
    if each.one_of:
        others = [value for value in each.one_of if value != each.default]
        return others[0], others[-1], others[0]
    samples = {
        bool: ("true", "true", "true"),
        int: ("2001", "2002", "2003"),
        float: ("1.5", "2.5", "3.5"),
        str: ("first", "second", "third"),
        tuple: ("first", "second,other", "third"),
        dict: ("a=b", "c=d,e=f", "g=h"),
    }
    return samples[each.kind]


def toml_of(each: Setting, text: str) -> str:
    """A value as a line of a file."""
    if each.kind in (bool, int, float):
        return f"{each.name} = {text}\n"
    if each.kind is tuple:
        return f"{each.name} = {text.split(',')!r}\n"
    if each.kind is dict:
        pairs = (pair.split("=") for pair in text.split(","))
        return f"{each.name} = {{ {', '.join(f'{key} = {value!r}' for key, value in pairs)} }}\n"
    return f"{each.name} = '{text}'\n"


def flag_of(each: Setting, text: str) -> Any:
    """A value as click hands it over."""
    if each.kind is bool:
        return text == "true"
    return (text,) if each.kind in (tuple, dict) else text


@pytest.mark.parametrize("each", FIELDS, ids=IDS)
def test_every_source_of_every_field(tmp_path: Path, each: Setting) -> None:
    """A flag beats the environment, that beats the file, and the file beats the default."""
    path = tmp_path / "chatserver.toml"
    texts = values_of(each)
    expected = [each.from_text(text, "here") for text in texts]
    beside = BESIDE.get(each.name, {})
    path.write_text(toml_of(each, texts[0]))
    variables = {each.variable: texts[1]}
    flags = {**beside, each.name: flag_of(each, texts[2])}

    def found(*sources: Any) -> Any:
        return getattr(load(*sources), each.name)

    assert getattr(Settings(), each.name) == found(None, {}, {}) == each.default
    assert found(str(path), {}, beside) == expected[0] != each.default
    assert found(str(path), variables, beside) == expected[1]
    if each.flag is not None:
        assert found(str(path), variables, flags) == expected[2]


@pytest.mark.parametrize("each", FIELDS, ids=IDS)
def test_every_field_is_documented(each: Setting) -> None:
    """It has a sentence, a row in the table, and a flag unless it is a secret."""
    row = next(line for line in table().splitlines() if f"| `{each.name}` |" in line)
    serve = chatserver.commands["serve"]
    flags = {
        flag: option
        for option in serve.get_params(click.Context(serve))
        for flag in (*option.opts, *option.secondary_opts)
    }

    assert each.about.rstrip()[-1] == "." and each.about in row and each.variable in row
    assert (each.flag is None) == each.secret
    if each.flag is not None:
        assert f"`{each.flag}`" in row
        assert flags[each.flag].name == each.name
        if each.kind is bool:
            assert f"--no-{each.flag[2:]}" in flags


@pytest.mark.parametrize("each", FIELDS, ids=IDS)
def test_a_wrong_type_in_a_file(tmp_path: Path, each: Setting) -> None:
    """It names the file and the key; a value that may be a secret is not repeated."""
    path = tmp_path / "chatserver.toml"
    path.write_text(f"{each.name} = 1979-05-27\n")

    with pytest.raises(ConfigurationError) as raised:
        load(str(path))

    assert f"{path}: {each.name}: " in str(raised.value)
    assert ("1979" in str(raised.value)) != each.private


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"prot = 3", "there is no setting 'prot'"),
        (b"[tls]\ncert = 'x'", "there is no setting 'tls'"),
        (b"port = ", "is not TOML"),
        (b"\xff", "is not UTF-8 text"),
        (b"port = true", "port: True must be a whole number"),
        (b"port = 1.5", "port: 1.5 must be a whole number"),
        (b"grace = 'a'", "grace: 'a' must be a number"),
        (b"dev = 1", "dev: 1 must be true or false"),
        (b"aliases = {a = 1}", "aliases: {'a': 1} must be a table of texts"),
        (b"cors_origins = [1]", "cors_origins: [1] must be a list of texts"),
        (b"host = " + b"9" * 1000, "must be a text"),
        (b"#" * 2_000_000, "is too long to be one"),
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, content: bytes, sentence: str) -> None:
    """Each is a sentence that names the file, and is short."""
    path = tmp_path / "chatserver.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError) as raised:
        load(str(path))

    assert sentence in str(raised.value) and str(path) in str(raised.value)
    assert len(str(raised.value)) < 200 + len(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is said which, and what the system says of it."""
    with pytest.raises(ConfigurationError, match="none.toml cannot be read: No such file"):
        load(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load("~no-such-user-here/x.toml")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"port": "x"}, "{place}: 'x' must be a whole number"),
        ({"port": "65536"}, "port: 65536 is not in the range 0 to 65,535"),
        ({"grace": "nan"}, "grace: nan is not in the range"),
        ({"grace": "-1"}, "grace: -1.0 is not in the range"),
        ({"grace": "soon"}, "{place}: 'soon' must be a number"),
        ({"aliases": "x"}, "{place}: 'x' must look like NAME=AGENT"),
        ({"log_level": "loud"}, "log_level: 'loud' must be one of debug, info"),
        ({"cors_origins": "example.com"}, "must look like https://example.com"),
        ({"cors_origins": "https://example.com/"}, "must look like https://example.com"),
        ({"cors_origins": "https://[x"}, "must look like https://example.com"),
        ({"trusted_proxies": "proxy"}, "'proxy' must be an address or a network"),
        ({"tls_key": "key.pem"}, "tls_key is set and tls_cert is not"),
        ({"require_tls": "yes"}, "neither a certificate (tls_cert) nor a proxy"),
    ],
)
def test_values_that_cannot_be(values: dict[str, str], sentence: str) -> None:
    """Each is refused with the key and, where the text itself is at fault, the place."""
    known = {each.name: each for each in FIELDS}
    (name,) = values
    with pytest.raises(ConfigurationError) as raised:
        load(None, {known[name].variable: values[name]})
    assert sentence.format(place=known[name].variable) in str(raised.value)
    if known[name].kind is not bool:
        with pytest.raises(ConfigurationError) as raised:
            load(None, {}, {name: flag_of(known[name], values[name])})
        assert sentence.format(place=known[name].flag) in str(raised.value)


@pytest.mark.parametrize("word", ["yes", "TRUE", "1", "on"])
def test_words_for_true(word: str) -> None:
    """The usual ones, and their opposites; anything else is refused."""
    opposite = {"yes": "no", "TRUE": "False", "1": "0", "on": "off"}[word]
    assert load(None, {"CHATSERVER_DEV": word}).dev
    assert not load(None, {"CHATSERVER_DEV": opposite}).dev
    assert not load(None, {"CHATSERVER_DEV": word}, {"dev": False}).dev
    with pytest.raises(ConfigurationError, match="CHATSERVER_DEV: 'maybe' must be true or false"):
        load(None, {"CHATSERVER_DEV": "maybe"})


def test_several_flags_add_up() -> None:
    """Those of aliases and of lists."""
    settings = load(None, {}, {"aliases": ("a=b", "c=d"), "trusted_proxies": ("::1", "10.0.0.1")})
    assert settings.aliases == {"a": "b", "c": "d"}
    assert settings.trusted_proxies == ("::1", "10.0.0.1")


def test_secrets_are_not_shown() -> None:
    """Neither in the settings' text nor in a refusal."""
    settings = load(
        None, {"CHATSERVER_BOOTSTRAP_KEY": "hush-hush", "CHATSERVER_DB": "x://u:pw@h/d"}
    )
    assert settings.bootstrap_key == "hush-hush"
    assert "hush" not in repr(settings) and "pw" not in repr(settings)
    with pytest.raises(ConfigurationError) as raised:
        load(None, {"CHATSERVER_BOOTSTRAP_KEY": "hush hush"})
    assert "hush" not in str(raised.value)


def test_help_without_the_server() -> None:
    """The list of commands is there without loading the server."""
    code = (
        "import sys; from chatserver_sdk.cli.commands import chatserver;"
        "chatserver(['--help'], standalone_mode=False); assert 'fastapi' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
