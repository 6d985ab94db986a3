"""The parts of a message's content: made by our functions, checked where a caller wrote them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from chatserver_sdk import BadRequestError, audio_part, file_part, image_part, text_part
from chatserver_sdk.models import content_problem, speaks_otherwise

PNG = b"\x89PNG\r\n\x1a\n..."


def encoded(data: bytes) -> str:
    """As it stands in a data URL."""
    return base64.b64encode(data).decode()


MADE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (text_part("Hi"), {"type": "text", "text": "Hi"}),
    (image_part("https://x/y.png"), {"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
    (
        image_part("https://x/y.png", detail="low"),
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
    ),
    (
        image_part(b"BM...", "image/bmp"),
        {"type": "image_url", "image_url": {"url": f"data:image/bmp;base64,{encoded(b'BM...')}"}},
    ),
    (
        audio_part(b"RIFF", "wav"),
        {"type": "input_audio", "input_audio": {"data": encoded(b"RIFF"), "format": "wav"}},
    ),
    (file_part("file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
    (
        file_part("file-1", "a.pdf"),
        {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
    ),
    (
        file_part(b"%PDF", "a.pdf"),
        {
            "type": "file",
            "file": {
                "filename": "a.pdf",
                "file_data": f"data:application/pdf;base64,{encoded(b'%PDF')}",
            },
        },
    ),
    (
        file_part(b"x", "x.unheardof"),
        {
            "type": "file",
            "file": {
                "filename": "x.unheardof",
                "file_data": f"data:application/octet-stream;base64,{encoded(b'x')}",
            },
        },
    ),
]


@pytest.mark.parametrize(("part", "expected"), MADE)
def test_a_part_is_made_and_right(part: dict[str, Any], expected: dict[str, Any]) -> None:
    """As OpenAI writes it, and as our own check wants it."""
    assert part == expected
    assert content_problem([part]) is None


@pytest.mark.parametrize(
    ("start", "kind"),
    [(PNG, "png"), (b"\xff\xd8\xff\xe0", "jpeg"), (b"GIF89a", "gif"), (b"RIFF....WEBP", "webp")],
)
def test_pictures_are_known_by_their_first_bytes(start: bytes, kind: str) -> None:
    """The usual ones; a type that is said wins."""
    for image in (start, bytearray(start), memoryview(start)):
        url = image_part(image)["image_url"]["url"]  # type: ignore[arg-type]
        assert url == f"data:image/{kind};base64,{encoded(start)}"
    assert image_part(start, "image/x")["image_url"]["url"].startswith("data:image/x;")


MISTAKES: list[tuple[Any, tuple[Any, ...], str]] = [
    (text_part, (5,), "text must be a string, not int"),
    (image_part, (5,), "image must be bytes, not int"),
    (image_part, (b"",), "image must not be empty"),
    (image_part, (b"what",), "image is of no kind that is known by its bytes"),
    (audio_part, ("x", "wav"), "data must be bytes, not str"),
    (audio_part, (b"x", None), "format must be a string, not nothing"),
    (file_part, (None,), "file must be bytes, not NoneType"),
    (file_part, (b"x",), "filename must be a string, not nothing"),
]


@pytest.mark.parametrize(("make", "given", "said"), MISTAKES)
def test_what_no_part_is_made_of(make: Any, given: tuple[Any, ...], said: str) -> None:
    """It is refused with the argument's name."""
    with pytest.raises(BadRequestError, match=f"^{said}"):
        make(*given)


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"type": "text"}, "[0].text"),
    ({"type": "image_url"}, "[0].image_url"),
    ({"type": "image_url", "image_url": {}}, "[0].image_url.url"),
    ({"type": "input_audio", "input_audio": "x"}, "[0].input_audio"),
    ({"type": "input_audio", "input_audio": {"format": "wav"}}, "[0].input_audio.data"),
    ({"type": "input_audio", "input_audio": {"data": "x"}}, "[0].input_audio.format"),
    ({"type": "file", "file": "x"}, "[0].file"),
    ({"type": "file", "file": {"filename": "x"}}, "[0].file"),
    ({"type": "file", "file": {"file_id": 5}}, "[0].file.file_id"),
    ({"type": "file", "file": {"file_id": "x", "filename": 5}}, "[0].file.filename"),
]


@pytest.mark.parametrize(("part", "place"), PROBLEMS)
def test_a_part_that_is_wrong(part: dict[str, Any], place: str) -> None:
    """The place is named as far as it goes."""
    problem = content_problem([part])
    assert problem is not None and problem[0] == place


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": "https://x/y.png"},
        {"type": "file", "file": {"file_data": "data:,x", "file_id": None}},
        {"type": "newer", "image_url": 5},
    ],
)
def test_what_other_servers_take(part: dict[str, Any]) -> None:
    """It is not refused by us."""
    assert content_problem([part]) is None


@pytest.mark.parametrize("key", ["tool_calls", "function_call", "refusal", "audio"])
def test_who_may_say_nothing(key: str) -> None:
    """Whoever says it otherwise."""
    assert speaks_otherwise({"content": None, key: "x"})
    assert not speaks_otherwise({"content": None, key: None})
    assert content_problem(None, True) is None
    assert content_problem(None, False) is not None
