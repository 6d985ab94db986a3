"""Settings from a file, the environment and flags: each beats what stands before it.

Names are flat and follow from the field: `tls_cert`, CHATSERVER_TLS_CERT, --tls-cert.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from chatserver_sdk.exceptions import ConfigurationError

from .settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - what Python 3.10 does not bring along
    import tomli as tomllib

_LARGEST_FILE = 2**20
_SHOWN = 40
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")


@dataclass(frozen=True)
class Setting:
    """One field of Settings. kind: bool, int, float, str, tuple or dict."""

    name: str
    kind: type[Any]
    default: Any
    about: str
    secret: bool
    private: bool
    one_of: Sequence[str]
    flag: str | None

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"CHATSERVER_{self.name.upper()}"

    def from_text(self, text: str, place: str) -> Any:
        """Its value as a flag or a variable says it. Raises ConfigurationError with the place."""
        try:
            return _READERS[self.kind](text)
        except ValueError as exc:
            raise self._refusal(place, text, str(exc)) from None

    def from_toml(self, value: Any, place: str) -> Any:
        """Its value as a file says it. Raises ConfigurationError with the place."""
        if self.kind is float and type(value) is int:
            return float(value)
        if self.kind is tuple and type(value) is list and all(type(v) is str for v in value):
            return tuple(value)
        is_right = type(value) is self.kind
        if self.kind is dict and is_right:
            is_right = all(type(v) is str for v in value.values())
        if not is_right:
            raise self._refusal(place, value, f"must be {_WORDS[self.kind]}")
        return value

    def _refusal(self, place: str, value: Any, problem: str) -> ConfigurationError:
        shown = repr(value)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}…"
        what = "its value" if self.private else shown
        return ConfigurationError(f"{place}: {what} {problem}")


def list_settings() -> Iterator[Setting]:
    """Every field of Settings, in its order."""
    hints = get_type_hints(Settings)
    for each in fields(Settings):
        rules = each.metadata
        is_secret = rules.get("secret", False)
        flag = None if is_secret else (rules.get("flag") or each.name).replace("_", "-")
        yield Setting(
            each.name,
            _kind(hints[each.name]),
            _default(each),
            rules.get("about", ""),
            is_secret,
            rules.get("private", False),
            rules.get("one_of", ()),
            flag and f"--{flag}",
        )


def load(
    path: str | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings: a file's, what the environment says otherwise, what flags say otherwise.

    An empty variable says nothing. flags: fields' names and texts (several of aliases and of
    lists); None is a flag that is not there.
    Raises ConfigurationError with the key and the place; it never holds a secret.
    """
    known = {each.name: each for each in list_settings()}
    values = {} if path is None else _from_file(path, known)
    for each in known.values():
        if text := (environment or {}).get(each.variable):
            values[each.name] = each.from_text(text, each.variable)
        if (given := (flags or {}).get(each.name)) not in (None, ()):
            values[each.name] = _from_flag(each, given)
    return Settings(**values)


def table() -> str:
    """Every setting as the rows of a Markdown table, for documents."""
    rows = ["| in the file | environment | flag | default | |", "|---|---|---|---|---|"]
    for each in list_settings():
        flag = f"`{each.flag}`" if each.flag else "-"
        about = each.about + (f" One of {', '.join(each.one_of)}." if each.one_of else "")
        rows.append(
            f"| `{each.name}` | `{each.variable}` | {flag} | {_shown_default(each)} | {about} |"
        )
    return "\n".join(rows)


def _shown_default(each: Setting) -> str:
    if each.default is None or each.default in ((), {}):
        return "-"
    return f"`{str(each.default).lower() if each.kind is bool else each.default}`"


def _from_flag(each: Setting, given: Any) -> Any:
    place = str(each.flag)
    if isinstance(given, bool):
        return given
    if isinstance(given, str):
        return each.from_text(given, place)
    parts = [each.from_text(text, place) for text in given]
    if each.kind is dict:
        return {key: value for part in parts for key, value in part.items()}
    return tuple(item for part in parts for item in part)


def _from_file(path: str, known: Mapping[str, Setting]) -> dict[str, Any]:
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(f"the settings file {path} is too long to be one")
        read = tomllib.loads(content.decode())
    except (OSError, RuntimeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigurationError(f"the settings file {path} cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the settings file {path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"the settings file {path} is not TOML: {exc}") from None
    for key in read:
        if key not in known:
            raise ConfigurationError(f"{path}: there is no setting {key!r}")
    return {key: known[key].from_toml(value, f"{path}: {key}") for key, value in read.items()}


def _kind(hint: Any) -> type[Any]:
    """The plain type behind a field's: `str | None` is str, Mapping[str, str] is dict."""
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict
    choices = [each for each in get_args(hint) if each is not type(None)]
    kind: type[Any] = tuple if origin is tuple else (choices or [hint])[0]
    assert kind in _READERS, f"a setting cannot be of the type {hint}"
    return kind


def _default(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _read_bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES + _NO:
        raise ValueError("must be true or false")
    return word in _YES


def _read_number(kind: Callable[[str], Any], words: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"must be {words}") from None

    return read


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _read_pairs(text: str) -> dict[str, str]:
    pairs = {}
    for item in _read_list(text):
        name, _, value = item.partition("=")
        if not name or not value:
            raise ValueError("must look like NAME=AGENT")
        pairs[name] = value
    return pairs


_WORDS: dict[type[Any], str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
    dict: "a table of texts",
}
_READERS: dict[type[Any], Callable[[str], Any]] = {
    bool: _read_bool,
    int: _read_number(int, _WORDS[int]),
    float: _read_number(float, _WORDS[float]),
    str: str,
    tuple: _read_list,
    dict: _read_pairs,
}
