"""Which code blocks a markdown text holds."""

from __future__ import annotations

import pytest

from markdown import Block, read_blocks


def test_blocks_of_the_languages_asked_for() -> None:
    """Only the blocks in these languages, each with the line on which its code begins."""
    text = "# Title\n\n```bash\nls\n```\n\ntext\n```python\na = 1\n\nb = 2\n```\n```json\n{}\n```\n"
    assert read_blocks(text, "python") == [Block("python", 9, "a = 1\n\nb = 2\n")]
    assert [block.language for block in read_blocks(text, "python", "bash")] == ["bash", "python"]


def test_a_fence_inside_an_unclosed_block_ends_it() -> None:
    """A block that was never closed is read as the two blocks that were meant."""
    text = "```python\na = 1\n\n### Title\n\n```python\nb = 2\n```\n```\n\n```python\nc = 3\n```\n"
    assert read_blocks(text, "python") == [
        Block("python", 2, "a = 1\n\n### Title\n\n"),
        Block("python", 7, "b = 2\n"),
        Block("python", 12, "c = 3\n"),
    ]


def test_a_block_that_the_end_of_the_text_closes() -> None:
    """The end of the text ends a block as well."""
    assert read_blocks("```python\na = 1", "python") == [Block("python", 2, "a = 1\n")]


@pytest.mark.parametrize("fence", ["```", "````", "~~~"])
def test_fences_of_every_kind(fence: str) -> None:
    """Backticks and tildes, three or more, with words behind the language."""
    text = f"{fence}python title=here\na = 1\n{fence}\n"
    assert read_blocks(text, "python") == [Block("python", 2, "a = 1\n")]


def test_a_shorter_or_other_fence_is_text() -> None:
    """Inside a block a fence that is shorter, or of the other mark, belongs to the code."""
    text = "````markdown\n```python\na = 1\n```\n~~~\n````\n"
    assert read_blocks(text, "python") == []
    assert read_blocks(text, "markdown") == [Block("markdown", 2, "```python\na = 1\n```\n~~~\n")]


@pytest.mark.parametrize(
    "text", ["", "no code", "`a`\n", "    ```python\n    a = 1\n", "``` `a`\n"]
)
def test_texts_without_blocks(text: str) -> None:
    """Inline code and indented fences are no blocks."""
    assert read_blocks(text, "python") == []
