"""Payloads as large as real ones without their bytes, and mirrors that serve them.

Every whole piece of such a file is the same block, so that its hash is known without hashing 27 GB,
and a mirror needs no disk. The torrents are of version 1, as the large ones in use today are.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import libtorrent as lt
import trio

from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_foreign_torrent

MIB: Final = 1 << 20
NAME: Final = "planet.bin"
_RANGE: Final = re.compile(rb"range: bytes=(\d+)-(\d+)", re.IGNORECASE)
_PART_BYTES: Final = 64 << 10
_HEAD: Final = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """A file of `piece_count` pieces that are all `block`."""

    torrent: CheckedTorrent
    block: bytes

    @property
    def size_bytes(self) -> int:
        return self.torrent.files.size_bytes

    def bytes_at(self, start: int, count: int) -> bytes:
        offset = start % len(self.block)
        return (self.block[offset:] + self.block)[:count]

    def write(self, path: Path, pieces: range) -> None:
        """Write these pieces into a sparse file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(self.size_bytes)
            for piece in pieces:
                file.seek(piece * len(self.block))
                file.write(self.block)


def layout(piece_count: int, piece_bytes: int, seed: int = 1) -> Layout:
    block = random.Random(seed).randbytes(piece_bytes)  # noqa: S311 - data
    digest = hashlib.sha1(block, usedforsecurity=False).digest()
    info = {
        b"length": piece_count * piece_bytes,
        b"name": NAME.encode(),
        b"piece length": piece_bytes,
        b"pieces": digest * piece_count,
    }
    whole: Any = {b"info": info}
    return Layout(open_foreign_torrent(lt.bencode(whole)), block)


@dataclass(slots=True)
class Manner:
    """How a mirror behaves: its rate in bytes/s (0: any), delay both ways, and its faults."""

    bytes_per_second: int = 0
    delay_seconds: float = 0.0
    stalls_after_bytes: int | None = None
    is_rotten: bool = False
    served_bytes: int = 0


@asynccontextmanager
async def mirror_of(layout: Layout, manner: Manner) -> AsyncIterator[str]:
    """Serve a layout by ranges while the block runs; give the URL of the file."""
    async with trio.open_nursery() as nursery:
        serve = partial(_serve, layout, manner)
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/{NAME}"
        nursery.cancel_scope.cancel()


async def _serve(layout: Layout, manner: Manner, stream: trio.SocketStream) -> None:
    """Take requests as they come; each is answered after the delay, in order: a long line."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](100)
    with contextlib.suppress(BaseExceptionGroup, trio.BrokenResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_all, layout, manner, receive, stream)
            gathered = b""
            while part := await stream.receive_some():
                gathered += part
                *requests, gathered = gathered.split(b"\r\n\r\n")
                for request in requests:
                    await send.send((trio.current_time() + manner.delay_seconds, request))
            nursery.cancel_scope.cancel()


async def _answer_all(
    layout: Layout,
    manner: Manner,
    requests: trio.MemoryReceiveChannel[tuple[float, bytes]],
    stream: trio.SocketStream,
) -> None:
    async for due, request in requests:
        await trio.sleep_until(due)
        await _answer(layout, manner, request, stream)


async def _answer(
    layout: Layout, manner: Manner, request: bytes, stream: trio.SocketStream
) -> None:
    asked = _RANGE.search(request)
    first, last = map(int, asked.groups()) if asked else (0, layout.size_bytes - 1)
    await stream.send_all(_HEAD % (last + 1 - first, first, last, layout.size_bytes))
    free_at = trio.current_time()
    for at in range(first, last + 1, _PART_BYTES):
        part = layout.bytes_at(at, min(_PART_BYTES, last + 1 - at))
        if manner.stalls_after_bytes is not None and manner.served_bytes >= (
            manner.stalls_after_bytes
        ):
            await trio.sleep_forever()
        if manner.bytes_per_second:
            free_at = max(free_at, trio.current_time()) + len(part) / manner.bytes_per_second
            await trio.sleep_until(free_at)
        await stream.send_all(bytes(len(part)) if manner.is_rotten else part)
        manner.served_bytes += len(part)
