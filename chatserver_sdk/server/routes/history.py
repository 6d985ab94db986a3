"""/atoms/chat/sessions: what was recorded."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from chatserver_sdk.models import ChatSessionDetailResponse, ChatSessionListResponse

from ..errors import json_response
from .access import Anybody, Cursor, Server

router = APIRouter(prefix="/atoms/chat/sessions", tags=["history"])

UserId = Annotated[
    str | None,
    Query(min_length=1, max_length=256, description="Whose; a user's key knows it by itself."),
]


@router.get("", response_model=ChatSessionListResponse)
async def list_sessions(
    server: Server,
    principal: Anybody,
    user_id: UserId = None,
    page: Annotated[int, Query(ge=1, le=1_000_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Cursor = None,
) -> Response:
    """A page of a user's sessions, the latest first. With `cursor` (empty at first, then
    `next_cursor` of the page before, until that is null) `page` has no meaning, the session that
    was opened last comes first, and none is lost or repeated, whatever happens meanwhile."""
    if cursor is not None:
        listed = await server.chat.list_sessions_from(
            principal, user_id, cursor=cursor, page_size=page_size
        )
        return json_response(200, {**listed.to_dict(), "next_cursor": listed.next_cursor})
    found = await server.chat.list_sessions(principal, user_id, page=page, page_size=page_size)
    return json_response(200, found.to_dict())


@router.get("/{session_id}", response_model=ChatSessionDetailResponse)
async def get_session(
    server: Server, principal: Anybody, session_id: str, user_id: UserId = None
) -> Response:
    """A session with its transcript. 404 for another user's as well."""
    found = await server.chat.get_session(principal, session_id.lower(), user_id)
    return json_response(200, found.to_dict())


@router.get(
    "/{session_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {}, "text/markdown": {}}}},
)
async def export_session(
    server: Server,
    principal: Anybody,
    session_id: str,
    user_id: UserId = None,
    format: Literal["jsonl", "markdown"] = "jsonl",
) -> Response:
    """The transcript as a file. jsonl: the session on the first line, then a message a line, each
    with its `type`; markdown: to be read. 404 for another user's session as well."""
    export = await server.chat.export_session(principal, session_id.lower(), user_id, format)
    headers = {"Content-Disposition": f'attachment; filename="{export.name}"'}
    return StreamingResponse(export.chunks, 200, headers, export.media_type)
