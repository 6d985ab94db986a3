"""What a message says: its words, and the parts that a list of content is made of."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from typing import Any

from chatserver_sdk.exceptions import BadRequestError

Content = str | list[dict[str, Any]] | None

# How the files of each kind begin; a WebP's name stands behind its length.
_PICTURES = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)
# What an assistant may send in place of words.
_SILENT = ("tool_calls", "function_call", "refusal", "audio")


def text_of(content: Any) -> str:
    """The words of a message's content: the string, or its text parts one under the other."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def speaks_otherwise(message: Mapping[str, Any]) -> bool:
    """Whether a message, as a dict, may have no content: it calls a tool, refuses, or is heard."""
    return any(message.get(key) for key in _SILENT)


def content_problem(content: Any, otherwise: Any = None) -> tuple[str, str] | None:
    """What a message's content must be and is not: the place behind `content`, and a sentence's
    end. None where it is right. Only who calls tools, or says it `otherwise`, may say nothing."""
    if isinstance(content, str) or (content is None and otherwise):
        return None
    if not isinstance(content, list):
        return "", "a string or a list of parts"
    if not content:
        return "", "a list that is not empty"
    for index, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            return f"[{index}]", 'an object with a "type"'
        check = _PARTS.get(part["type"])
        problem = check(part) if check is not None else None
        if problem is not None:
            return f"[{index}]{problem[0]}", problem[1]
    return None


def _text_problem(part: Mapping[str, Any]) -> tuple[str, str] | None:
    return None if isinstance(part.get("text"), str) else (".text", "a string")


def _image_problem(part: Mapping[str, Any]) -> tuple[str, str] | None:
    image = part.get("image_url")
    # Some servers take the URL itself where OpenAI has an object.
    if not isinstance(image, (str, Mapping)):
        return ".image_url", 'an object with a "url"'
    url = image if isinstance(image, str) else image.get("url")
    return None if isinstance(url, str) and url else (".image_url.url", "a URL")


def _audio_problem(part: Mapping[str, Any]) -> tuple[str, str] | None:
    audio = part.get("input_audio")
    if not isinstance(audio, Mapping):
        return ".input_audio", 'an object with "data" and "format"'
    for key in ("data", "format"):
        if not isinstance(audio.get(key), str):
            return f".input_audio.{key}", "a string"
    return None


def _file_problem(part: Mapping[str, Any]) -> tuple[str, str] | None:
    file = part.get("file")
    if not isinstance(file, Mapping):
        return ".file", 'an object with a "file_id" or "file_data"'
    for key in ("file_id", "file_data", "filename"):
        if file.get(key) is not None and not isinstance(file[key], str):
            return f".file.{key}", "a string"
    if file.get("file_id") or file.get("file_data"):
        return None
    return ".file", 'an object with a "file_id" or "file_data"'


_PARTS = {
    "text": _text_problem,
    "image_url": _image_problem,
    "input_audio": _audio_problem,
    "file": _file_problem,
}


def text_part(text: str) -> dict[str, Any]:
    """A part of a message that is text."""
    return {"type": "text", "text": _text(text, "text")}


def image_part(
    image: str | bytes, media_type: str | None = None, detail: str | None = None
) -> dict[str, Any]:
    """A part of a message that is a picture: its URL, or the bytes of its file.

    media_type: such as "image/png"; only bytes need it, and those of a PNG, JPEG, GIF or WebP
    file do not. detail: "low", "high" or "auto".

    Raises BadRequestError for bytes of another kind without a media_type.
    """
    url = {"url": image if isinstance(image, str) else _picture_url(image, media_type)}
    return {"type": "image_url", "image_url": url if detail is None else {**url, "detail": detail}}


def audio_part(data: bytes, format: str) -> dict[str, Any]:
    """A part of a message that is heard: a file's bytes; format is "wav" or "mp3"."""
    sound = {"data": _base64(data, "data"), "format": _text(format, "format")}
    return {"type": "input_audio", "input_audio": sound}


def file_part(file: str | bytes, filename: str | None = None) -> dict[str, Any]:
    """A part of a message that is a document: its bytes, or the id of one that was uploaded.

    filename: what the model sees; bytes need one, and its ending says what kind of file it is.

    Raises BadRequestError for bytes without a filename.
    """
    if isinstance(file, str):
        known = {"file_id": file}
        return {
            "type": "file",
            "file": known if filename is None else {**known, "filename": filename},
        }
    data = _base64(file, "file")
    name = _text(filename, "filename")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    url = f"data:{kind};base64,{data}"
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _picture_url(image: bytes, media_type: str | None) -> str:
    data = _base64(image, "image")
    kinds = (kind for start, kind in _PICTURES if bytes(image[: len(start)]) == start)
    kind = media_type or next(kinds, None)
    if kind is None:
        raise BadRequestError(
            "image is of no kind that is known by its bytes: say its media_type", param="media_type"
        )
    return f"data:{kind};base64,{data}"


def _base64(data: object, param: str) -> str:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise BadRequestError(f"{param} must be bytes, not {type(data).__name__}", param=param)
    if not len(data):
        raise BadRequestError(f"{param} must not be empty", param=param)
    return base64.b64encode(data).decode("ascii")


def _text(value: object, param: str) -> str:
    if not isinstance(value, str):
        got = "nothing" if value is None else type(value).__name__
        raise BadRequestError(f"{param} must be a string, not {got}", param=param)
    return value
