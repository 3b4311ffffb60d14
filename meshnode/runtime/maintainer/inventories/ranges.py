"""A file on a web server, read in parts: only what a reader of its header asks for is sent."""

from __future__ import annotations

import io
from typing import Final

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.sources.client import Client

BLOCK_BYTES: Final = 64 << 10  # holds the whole header of most files
SENT_BYTES_MAX: Final = 64 << 20  # of one file: a header, never its content


class RangedFile(io.RawIOBase):
    """Reads a file by its URL, in blocks that are asked for once.

    Raises:
        UsageError: it cannot be had, the server gives no parts, the file changes under us, or more
            is read than SENT_BYTES_MAX.
    """

    def __init__(self, client: Client, url: str) -> None:
        self._client, self._url = client, url
        self._at = 0
        first = client.part(url, 0, BLOCK_BYTES)
        self.etag, self._size_bytes = first.etag, first.total_bytes
        self._blocks = {0: first.body}
        self._sent_bytes = len(first.body)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._at + len(buffer), self._size_bytes)
        if end <= self._at:
            return 0
        first, last = self._at // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        self._fetch([each for each in range(first, last + 1) if each not in self._blocks])
        data = b"".join(self._blocks[each] for each in range(first, last + 1))
        start = self._at - first * BLOCK_BYTES
        taken = data[start : start + end - self._at]
        buffer[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def _fetch(self, missing: list[int]) -> None:
        """Ask for all blocks from the first to the last missing one at once."""
        if not missing:
            return
        start, size_bytes = missing[0] * BLOCK_BYTES, (missing[-1] - missing[0] + 1) * BLOCK_BYTES
        self._sent_bytes += size_bytes
        if self._sent_bytes > SENT_BYTES_MAX:
            raise UsageError(f"the header of {self._url} is larger than {SENT_BYTES_MAX} bytes")
        part = self._client.part(self._url, start, size_bytes)
        if (part.etag, part.total_bytes) != (self.etag, self._size_bytes):
            raise UsageError(f"{self._url} changed while it was read")
        for place in range(0, len(part.body), BLOCK_BYTES):
            block = part.body[place : place + BLOCK_BYTES]
            self._blocks[missing[0] + place // BLOCK_BYTES] = block
