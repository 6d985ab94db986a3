"""/api/v2/sessions: sessions and their files; and where the chat of the first version was."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from chatserver_sdk.engine import Gone
from chatserver_sdk.models import (
    ChatSession,
    ChatSessionPage,
    CreateSessionRequest,
    DeleteSessionResponse,
    FileInfo,
    FileList,
    UpdateSessionRequest,
)

from ..bodies import IDEMPOTENCY_KEY, idempotency_key
from ..errors import json_response
from ..uploads import FIELD, read_upload
from .access import Anybody, Cursor, Everybody, Server

router = APIRouter(prefix="/api/v2/sessions", tags=["sessions"])
old_router = APIRouter(tags=["sessions"], deprecated=True, dependencies=[Everybody])

_FORM = {
    "type": "object",
    "required": [FIELD],
    "properties": {FIELD: {"type": "string", "format": "binary"}},
}
_FILE = "/{session_id}/files/{file_id}"
# What may stand in a form beside its file.
MOST_AROUND = 128 * 1024


def takes_files(path: str) -> bool:
    """Whether a path's bodies are files."""
    return path.startswith(router.prefix + "/") and path.endswith("/files")


@router.post(
    "",
    status_code=201,
    response_model=ChatSession,
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def create_session(
    server: Server, principal: Anybody, request: CreateSessionRequest, sent: Request
) -> Response:
    """Open a session. A user's own key need not say `user_id`; others must."""
    key = idempotency_key(sent.headers, principal, "sessions", await sent.body())
    return json_response(*await server.sessions.create_session(principal, request, key))


@router.get("", response_model=ChatSessionPage)
async def list_sessions(
    server: Server,
    principal: Anybody,
    user_id: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    status: Literal["active", "completed", "archived"] | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Cursor = "",
) -> Response:
    """A user's sessions, the one that was opened last first; none is lost or repeated over the
    pages, whatever happens meanwhile."""
    found = await server.sessions.list_sessions(
        principal, user_id, cursor=cursor or "", limit=limit, status=status
    )
    return json_response(200, found.to_dict())


@router.get("/{session_id}", response_model=ChatSession)
async def get_session(server: Server, principal: Anybody, session_id: str) -> Response:
    """A session. 404 for somebody else's as well."""
    return json_response(200, (await server.sessions.get_session(principal, session_id)).to_dict())


@router.patch("/{session_id}", response_model=ChatSession)
async def update_session(
    server: Server, principal: Anybody, session_id: str, request: UpdateSessionRequest
) -> Response:
    """Change a session's title, metadata or status; what is not sent stays as it is."""
    changed = await server.sessions.update_session(principal, session_id, request)
    return json_response(200, changed.to_dict())


@router.delete("/{session_id}", response_model=DeleteSessionResponse)
async def delete_session(server: Server, principal: Anybody, session_id: str) -> Response:
    """Delete a session with all that was said in it; an answer that is being given is stopped."""
    await server.sessions.delete_session(principal, session_id)
    return json_response(200, DeleteSessionResponse(True, session_id.lower()).to_dict())


@router.post(
    "/{session_id}/files",
    status_code=201,
    response_model=FileInfo,
    openapi_extra={
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _FORM}},
        },
    },
)
async def upload_file(
    server: Server, principal: Anybody, session_id: str, sent: Request
) -> Response:
    """Keep a file, for messages of this session to name. 413 for one that is too long, 415 for
    one of another type."""
    # Nobody's file is read at all.
    await server.sessions.get_session(principal, session_id)
    chosen = server.settings
    upload = await read_upload(
        sent.headers, sent.receive, limit=chosen.max_file_bytes, types=chosen.file_types
    )
    about = f"{session_id.lower()}\n{upload.info.filename}\n{upload.info.content_type}\n"
    key = idempotency_key(sent.headers, principal, "files", about.encode() + upload.content)
    kept = await server.sessions.add_file(principal, session_id, upload.info, upload.content, key)
    return json_response(*kept)


@router.get("/{session_id}/files", response_model=FileList)
async def list_files(server: Server, principal: Anybody, session_id: str) -> Response:
    """The files of a session, the oldest first."""
    return json_response(200, (await server.sessions.list_files(principal, session_id)).to_dict())


@router.get(_FILE, response_model=FileInfo)
async def get_file(server: Server, principal: Anybody, session_id: str, file_id: str) -> Response:
    """What is known of a file."""
    found = await server.sessions.get_file(principal, session_id, file_id)
    return json_response(200, found.to_dict())


@router.get(_FILE + "/content", response_class=Response)
async def read_file(server: Server, principal: Anybody, session_id: str, file_id: str) -> Response:
    """A file's content, to be saved and not to be shown."""
    info, content = await server.sessions.read_file(principal, session_id, file_id)
    headers = {
        "Content-Type": info.content_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(info.filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-store",
    }
    return Response(content, 200, headers)


@router.delete(_FILE, status_code=204, response_class=Response)
async def delete_file(
    server: Server, principal: Anybody, session_id: str, file_id: str
) -> Response:
    """Forget a file; messages that named it keep its id."""
    await server.sessions.delete_file(principal, session_id, file_id)
    return Response(status_code=204)


@old_router.post("/chat", status_code=410, response_class=Response)
async def old_chat() -> Response:
    """Gone: send messages to a session."""
    raise Gone("this has moved: POST /api/v2/sessions/{session_id}/chat", "moved")


@old_router.post("/chat/cancel", status_code=410, response_class=Response)
async def old_cancel() -> Response:
    """Gone: stop the answer of a session."""
    raise Gone("this has moved: DELETE /api/v2/sessions/{session_id}/chat", "moved")
