"""Records: what was recorded is proved, taken along and deleted, as a part of the client."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Literal

from . import models
from ._lazy import Later
from ._transport import CallOptions, Transport, path_segment
from .exceptions import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from . import _arguments as arguments
    from ._transport import tracing
    from ._transport.body import ByteBody
    from .models import AuditHead, AuditVerification, UserDeletion
else:
    arguments = Later("chatserver_sdk._arguments")
    tracing = Later("chatserver_sdk._transport.tracing")

_AUDIT = "/api/v1/platform/audit"
_EXPORT = "/atoms/chat/sessions/{session_id}/export"
_USER = "/api/v1/platform/users/{user_id}"


class Records:
    """The calls about what was recorded; ChatServerClient has them."""

    _transport: Transport

    def get_audit_head(self, **options: Unpack[CallOptions]) -> AuditHead:
        """The audit log's last entry, which stands for all before it. For administrators.

        Keep `head` where nobody who may write the server's database can write; given to
        verify_audit_log later, it shows that nothing before it was changed or cut off.
        """
        read = models.AuditHead.from_decoded
        return self._transport.ask(read, "GET", f"{_AUDIT}/head", options=options)

    def verify_audit_log(
        self, head: AuditHead | str | None = None, **options: Unpack[CallOptions]
    ) -> AuditVerification:
        """Whether the audit log is as it was written; `first_bad` says what is not.

        head: of get_audit_head, kept elsewhere; without one, a log that somebody wrote anew from
        end to end is not noticed. For administrators. A long log takes its time: some seconds
        for 100,000 entries.
        """
        kept = head.head if isinstance(head, models.AuditHead) else head
        query = {"head": arguments.optional_identifier(kept, "head")}
        read = models.AuditVerification.from_decoded
        return self._transport.ask(read, "GET", f"{_AUDIT}/verify", query=query, options=options)

    def delete_user(self, user_id: str, **options: Unpack[CallOptions]) -> UserDeletion:
        """Delete everything that a user has said and been told; what runs is stopped first.

        For administrators and, with a key of their own, for the user. Keys and the audit log stay.
        NotFoundError for who has no history.
        """
        name = path_segment(arguments.identifier(user_id, "user_id"), "user_id")
        return self._transport.ask(
            models.UserDeletion.from_decoded,
            "DELETE",
            _USER.format(user_id=name),
            options=options,
            subject=tracing.Subject(_USER),
        )

    def export_session(
        self,
        session_id: str,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        user_id: str | None = None,
        format: Literal["jsonl", "markdown"] = "jsonl",
        **options: Unpack[CallOptions],
    ) -> int:
        """Write a session's transcript to a file, given by its path or open for bytes; how many
        bytes there were. However long it is, little of it is in memory.

        user_id: whose session it is; a user's own key need not say it.
        format: "jsonl" is the session on the first line and then a message a line; "markdown" is
        to be read. A file of that path is replaced once all has come, and else left as it was.
        NotFoundError also for another user's session.
        """
        name = path_segment(arguments.identifier(session_id, "session_id"), "session_id")
        query = {
            "user_id": arguments.optional_identifier(user_id, "user_id"),
            "format": arguments.text(format, "format"),
        }
        if not hasattr(file, "write") and not isinstance(file, (str, os.PathLike)):
            raise BadRequestError("file must be a path or a file open for bytes", param="file")
        body = self._transport.open_stream(
            "GET",
            _EXPORT.format(session_id=name),
            query=query,
            headers={"Accept": "application/jsonl, text/markdown, application/json"},
            options=options,
            subject=tracing.Subject(_EXPORT),
        )
        try:
            with body.trace:
                count = _save(body, file)
        finally:
            body.close()
        body.trace.end()
        return count


def _save(body: ByteBody, file: str | os.PathLike[str] | IO[bytes]) -> int:
    count = 0
    with _opened(file) as target:
        for chunk in body.iter_bytes():
            body.note_event()
            target.write(chunk)
            count += len(chunk)
    return count


@contextmanager
def _opened(file: str | os.PathLike[str] | IO[bytes]) -> Iterator[Any]:
    """Where to write; a path holds what was written when the block has ended, all or nothing."""
    if not isinstance(file, (str, os.PathLike)):
        yield file
        return
    part = f"{os.fspath(file)}.part"
    try:
        with open(part, "wb") as target:
            yield target
        os.replace(part, file)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
