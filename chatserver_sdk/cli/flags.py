"""The flags of `chatserver serve`: one for every setting, made from the class of settings."""

from __future__ import annotations

from collections.abc import Iterator

import click

from chatserver_sdk.server.configuration import Setting, list_settings

_METAVARS = {int: "NUMBER", float: "NUMBER", str: "TEXT", tuple: "TEXT", dict: "NAME=AGENT"}
_REPEATED = (tuple, dict)


def options() -> Iterator[click.Option]:
    """An option for each setting that has a flag. Values are read with the others, as text."""
    for each in list_settings():
        if each.flag is not None:
            yield _option(each)


def _option(each: Setting) -> click.Option:
    words = each.about
    if each.default is not None and each.default not in ((), {}, False):
        words += f"  [default: {each.default}]"
    if each.kind is bool:
        declaration = f"{each.flag}/--no-{str(each.flag)[2:]}"
        return click.Option([declaration, each.name], default=None, help=words)
    is_repeated = each.kind in _REPEATED
    if is_repeated:
        words += " May be given several times."
    metavar = "|".join(each.one_of) or _METAVARS[each.kind]
    return click.Option(
        [str(each.flag), each.name], metavar=metavar, multiple=is_repeated, help=words, type=str
    )
