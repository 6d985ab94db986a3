"""Verbs on the files of sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from chatserver_sdk.models import FileInfo

from . import idempotency
from .errors import Conflict, NotFound
from .idempotency import Answer, Key
from .tables import files, sessions

# Everything but the content, which may be large.
_LINE = (files.c.id, files.c.filename, files.c.content_type, files.c.size, files.c.created_at)


@dataclass(frozen=True)
class NewFile:
    """A file that is to be kept."""

    file_id: str
    session_id: str
    filename: str
    content_type: str
    content: bytes
    created_at: datetime


def insert_file(connection: Connection, new: NewFile, most: int, key: Key | None = None) -> Answer:
    """Keep a file; 201 and what is known of it, the same again for the same key.

    Raises NotFound where its session is gone, Conflict where that has so many files already.
    """
    if key is None:
        return _insert(connection, new, most)
    return idempotency.answer_once(
        connection,
        key,
        new.created_at,
        lambda it: _insert(it, new, most),
        session_id=new.session_id,
    )


def _insert(connection: Connection, new: NewFile, most: int) -> Answer:
    session = select(sessions.c.id).where(sessions.c.id == new.session_id)
    if connection.scalar(session) is None:
        raise NotFound(f"there is no session {new.session_id}")
    of_session = files.c.session_id == new.session_id
    count = connection.scalar(select(func.count()).select_from(files).where(of_session)) or 0
    if count >= most:
        raise Conflict(f"a session holds {most} files; delete one first", "too_many_files")
    info = FileInfo(new.file_id, new.filename, new.content_type, len(new.content), new.created_at)
    values = {
        "id": new.file_id,
        "session_id": new.session_id,
        "filename": new.filename,
        "content_type": new.content_type,
        "size": info.size,
        "created_at": new.created_at,
        "content": new.content,
    }
    connection.execute(insert(files), values)
    return 201, info.to_dict()


def list_files(connection: Connection, session_id: str) -> list[FileInfo]:
    """The files of a session, the oldest first."""
    wanted = select(*_LINE).where(files.c.session_id == session_id)
    rows = connection.execute(wanted.order_by(files.c.created_at, files.c.id))
    return [_info(row) for row in rows]


def get_files(connection: Connection, session_id: str, ids: Iterable[str]) -> list[FileInfo]:
    """Those of a session's files, in this order. Raises NotFound for the first that is none."""
    known = {info.file_id: info for info in list_files(connection, session_id)}
    found = []
    for file_id in ids:
        if file_id not in known:
            raise NotFound(f"there is no file {file_id[:64]} in this session")
        found.append(known[file_id])
    return found


def read_file(connection: Connection, session_id: str, file_id: str) -> tuple[FileInfo, bytes]:
    """A file of a session with its content. Raises NotFound."""
    wanted = select(*_LINE, files.c.content).where(
        files.c.id == file_id, files.c.session_id == session_id
    )
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise NotFound(f"there is no file {file_id[:64]} in this session")
    return _info(row), row.content


def delete_file(connection: Connection, session_id: str, file_id: str) -> None:
    """Forget a file of a session. Raises NotFound."""
    one = (files.c.id == file_id, files.c.session_id == session_id)
    if connection.execute(delete(files).where(*one)).rowcount == 0:
        raise NotFound(f"there is no file {file_id[:64]} in this session")


def _info(row: Any) -> FileInfo:
    return FileInfo(row.id, row.filename, row.content_type, row.size, row.created_at)
