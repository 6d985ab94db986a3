"""Files: what a question's session has, for the agent to read when it wants to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from chatserver_sdk.models import FileInfo


class Files:
    """The files that the new message names, in order; iterate for what is known of each."""

    def __init__(
        self,
        attached: Sequence[FileInfo] = (),
        read: Callable[[str], Awaitable[bytes | None]] | None = None,
    ) -> None:
        self._attached = tuple(attached)
        self._read = read

    def __iter__(self) -> Iterator[FileInfo]:
        return iter(self._attached)

    def __len__(self) -> int:
        return len(self._attached)

    async def read(self, file_id: str) -> bytes:
        """The content of any file of the session, from the store each time.

        Raises LookupError for a file that is not, or no longer, there.
        """
        content = None if self._read is None else await self._read(file_id)
        if content is None:
            raise LookupError("there is no such file in this session")
        return content

    def __repr__(self) -> str:
        return f"<Files {len(self._attached)}>"
