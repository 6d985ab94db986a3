"""MessageStream: the answer to a message in a session as it arrives, as text or as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ._wire.messages import StreamedMessage
from .exceptions import ChatServerError
from .streaming import AnswerStream, Body, Resume

if TYPE_CHECKING:
    from .models import SessionChatResponse
    from .models.events import Event


class MessageStream(AnswerStream):
    """The text of one answer in a session as it arrives; iterate once, or close.

    `events()` gives everything that the agent says. `metadata` holds turn_id (known before the
    first text), and model, id, usage and finish_reason as they become known. A stream that breaks
    off is taken up again by itself; `metadata["reconnects"]` counts. Iterating raises
    StreamInterruptedError when the answer ends before it is whole and StreamFailedError when the
    server says "error"; both carry the text so far as `partial`. Closing it stops nothing:
    `client.cancel_message()` does.
    """

    _resumed_by = "join_stream"

    def __init__(
        self,
        body: Body,
        resume: Resume | None = None,
        *,
        cursor: str | None = None,
        on_end: Callable[[StreamedMessage, ChatServerError | None], None] | None = None,
    ) -> None:
        super().__init__(body, resume, StreamedMessage, cursor=cursor, on_end=on_end)

    @property
    def turn_id(self) -> str | None:
        """Which turn this is, for `client.cancel_message()`; None where a server does not say."""
        found: str | None = self.metadata.get("turn_id")
        return found

    def events(self) -> Iterator[Event]:
        """The rest of the answer as the events of `chatserver_sdk.models.events`.

        Raises what iterating over the text does; an error that the server says is raised too.
        """
        return self._typed()

    def response(self) -> SessionChatResponse:
        """The whole answer, read to its end if that has not happened yet.

        Of a stream that was joined in the middle it is what came from there on. Raises what
        iterating would raise, StreamConsumedError after an early close.
        """
        answer: SessionChatResponse = self._whole()
        return answer
