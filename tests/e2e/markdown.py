"""The fenced code blocks of a markdown text. Pure; what is done with them is not known here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})[ \t]*(?P<word>[^\s`]*)[^`]*")


@dataclass(frozen=True)
class Block:
    """A code block: the word behind its fence, the line of its first line of code, its text."""

    language: str
    line: int
    text: str


def read_blocks(markdown: str, *languages: str) -> list[Block]:
    """The blocks in these languages, in their order.

    A fence that names a language inside a block that was never closed ends that block and begins
    its own: the block would hold half a document otherwise.
    """
    return [block for block in _all_blocks(markdown) if block.language in languages]


def _all_blocks(markdown: str) -> Iterator[Block]:
    marks, language, begin = "", "", 0
    lines = markdown.splitlines()
    for number, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if fence is None or (marks and not fence["marks"].startswith(marks)):
            continue
        if marks:
            yield _block(language, lines, begin, number)
        # A bare fence closes a block that is open; every other one opens one.
        is_opening = bool(fence["word"]) or not marks
        marks = fence["marks"] if is_opening else ""
        language, begin = fence["word"], number + 1
    if marks:
        yield _block(language, lines, begin, len(lines))


def _block(language: str, lines: list[str], begin: int, end: int) -> Block:
    return Block(language, begin + 1, "".join(f"{line}\n" for line in lines[begin:end]))
