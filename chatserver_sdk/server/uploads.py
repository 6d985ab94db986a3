"""Uploads: one file out of a multipart body, read as it arrives and never beyond its limit."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from chatserver_sdk.engine import InvalidRequest
from chatserver_sdk.models import FileInfo

from .errors import RequestRefused

FIELD = "file"

# What stands around a file: borders, names, other fields, which are read over.
_MOST_AROUND = 64 * 1024
_LONGEST_HEADERS = 8 * 1024
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
_LONGEST_NAME = 255


class Upload:
    """A file that was sent. `info` has no id yet."""

    def __init__(self, info: FileInfo, content: bytes) -> None:
        self.info = info
        self.content = content


async def read_upload(
    headers: Headers, receive: Receive, *, limit: int, types: Sequence[str]
) -> Upload:
    """The file in a request's body. types: patterns such as `image/*`.

    Raises RequestRefused (413, 415) and InvalidRequest.
    """
    form = _Form(_boundary(headers), limit, types)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused(400, "the connection was closed before the request was whole")
        form.feed(message.get("body", b""))
        if not message.get("more_body"):
            return form.upload()


def _boundary(headers: Headers) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 256:
        raise RequestRefused(415, "send the file as multipart/form-data, in the field `file`")
    return bytes(boundary)


class _Form:
    def __init__(self, boundary: bytes, limit: int, types: Sequence[str]) -> None:
        self._limit = limit
        self._types = types
        self._around = 0
        self._content: bytearray | None = None
        self._info: FileInfo | None = None
        self._is_file = False
        self._is_over = False
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        callbacks: Any = {
            "on_part_begin": self._on_part,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, data: bytes) -> None:
        """Some more of the body."""
        self._around += len(data)
        try:
            self._parser.write(data)
        except FormParserError:
            raise _no_form() from None
        if self._around > _MOST_AROUND:
            raise RequestRefused(413, "there is too much beside the file in this form")

    def upload(self) -> Upload:
        """The file, once the body has ended."""
        if self._info is None or self._content is None or not self._is_over:
            raise _no_form()
        if not self._content:
            raise InvalidRequest("the file is empty", "invalid_value", FIELD)
        self._info.size = len(self._content)
        return Upload(self._info, bytes(self._content))

    def _on_part(self) -> None:
        self._headers = {}
        self._name = self._value = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name = self._bounded(self._name + data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value = self._bounded(self._value + data[start:end])

    def _bounded(self, header: bytes) -> bytes:
        if len(header) > _LONGEST_HEADERS:
            raise _no_form()
        return header

    def _on_header(self) -> None:
        # Bytes as they are: what a name is made of is decoded once it was taken out.
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._is_file = options.get(b"name") == FIELD.encode()
        if not self._is_file:
            return
        if self._info is not None:
            raise InvalidRequest("send one file at a time", "invalid_value", FIELD)
        filename = _filename(options.get(b"filename", b"").decode("utf-8", "replace"))
        kind = self._kind(filename)
        self._info = FileInfo("", filename, kind)
        self._content = bytearray()

    def _kind(self, filename: str) -> str:
        said = self._headers.get("content-type", "").partition(";")[0].strip().lower()
        if not said or said == "application/octet-stream":
            said = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        if not _TYPE.fullmatch(said) or not any(fnmatchcase(said, one) for one in self._types):
            raise RequestRefused(
                415, f"files of this type are not taken; there are {', '.join(self._types)}"
            )
        return said

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file or self._content is None:
            return
        self._around -= end - start
        if len(self._content) + end - start > self._limit:
            raise RequestRefused(413, f"the file is longer than {self._limit} bytes")
        self._content += data[start:end]

    def _on_end(self) -> None:
        self._is_over = True


def _filename(given: str) -> str:
    """The last part of a path, without what cannot be shown."""
    name = re.split(r"[/\\]", given)[-1]
    shown = "".join(char for char in name if char.isprintable()).strip()
    stem, dot, ending = shown.rpartition(".")
    if len(shown) > _LONGEST_NAME and stem and len(ending) < 16:
        return stem[: _LONGEST_NAME - len(ending) - 1] + dot + ending
    return shown[:_LONGEST_NAME] or "file"


def _no_form() -> InvalidRequest:
    return InvalidRequest(
        "the body must be a form (multipart/form-data) with a file in the field `file`",
        "invalid_value",
        FIELD,
    )
