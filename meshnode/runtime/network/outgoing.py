"""An object on its way out: read in a worker thread, and sent as the chunks of an answer.

Most objects are small. So one visit to a worker thread opens the file and reads its first part, and
what is said of the object goes with its first chunk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO, Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.runtime.network.frames import CHUNK_BYTES, frame, write_chunk
from meshnode.runtime.network.streams import Stream

READ_BYTES: Final = 8 * CHUNK_BYTES  # at once: a worker thread for each costs more than the reading


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An open object of `size_bytes`, and the part of it that was read first, from `offset` on."""

    file: BinaryIO
    size_bytes: int
    offset: int
    first: bytes

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from the offset on, in parts of READ_BYTES; one at least."""
        yield self.first
        left = self.size_bytes - self.offset - len(self.first)
        while left > 0 and (part := await trio.to_thread.run_sync(self.file.read, READ_BYTES)):
            left -= len(part)
            yield part


def opened(
    open_object: Callable[[Digest], BinaryIO | None], digest: Digest, offset: int
) -> Outgoing | None:
    """Open an object for sending it from a byte on; None if it is not held. Blocking."""
    file = open_object(digest)
    if file is None:
        return None
    try:
        size_bytes = file.seek(0, SEEK_END)
        file.seek(offset)
        return Outgoing(file, size_bytes, offset, file.read(READ_BYTES))
    except BaseException:
        file.close()
        raise


async def send_part(stream: Stream, part: bytes, before: bytes, seconds: float) -> None:
    """Send a part as chunks, each within so many seconds; `before` goes with the first one."""
    view = memoryview(part)
    for start in range(0, len(part), CHUNK_BYTES):
        with trio.fail_after(seconds):
            await write_chunk(stream, view[start : start + CHUNK_BYTES], before)
        before = b""
    if before:
        with trio.fail_after(seconds):
            await stream.write(before)


def answer_frame(size_bytes: int) -> bytes:
    """Return what is said before the chunks of an object."""
    return frame(["object", size_bytes])
