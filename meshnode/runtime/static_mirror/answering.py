"""A static mirror as a stream of the sync protocol: one question, and its answer from files.

So a mirror is asked like any peer, by the same code and with the same checks
(protocol/05-sync.md, N-80 and N-84).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import msgpack

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.names import HeadName, LogId
from meshnode.errors import PeerError
from meshnode.runtime.network.fetches import WrongBytesError
from meshnode.runtime.network.frames import CHUNK_BYTES
from meshnode.runtime.network.requests import RECORDS_MAX
from meshnode.runtime.network.streams import StreamBrokenError
from meshnode.runtime.static_mirror.mirror import Mirror
from meshnode.runtime.static_mirror.shelves import NotThereError, UnreachableError, WrongFileError

HEADS_BYTES_MAX: Final = 1 << 20  # of signed heads in one answer
_LENGTH: Final = struct.Struct(">I")


class MirrorStream:
    """Invariant: the answer is made while it is read, and never more of it than is asked for.

    Faults of the mirror are raised where a peer's would be: WrongBytesError.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._question = bytearray()
        self._answer: AsyncGenerator[bytes, None] | None = None
        self._left = memoryview(b"")

    async def write(self, data: bytes) -> None:
        self._question += data

    async def read(self, bytes_max: int) -> bytes:
        """Return some of the answer.

        Raises:
            WrongBytesError: the mirror is at fault.
            StreamBrokenError: it cannot be had now.
        """
        if self._answer is None:
            self._answer = self._frames()
        try:
            while not self._left:
                self._left = memoryview(await anext(self._answer))
        except StopAsyncIteration:
            return b""
        except (WrongFileError, MalformedRecordError) as error:
            raise WrongBytesError(f"a file of the mirror: {error}") from error
        except UnreachableError as error:
            raise StreamBrokenError(str(error)) from error
        part, self._left = self._left[:bytes_max], self._left[bytes_max:]
        return bytes(part)

    async def close(self) -> None:
        if self._answer is not None:
            await self._answer.aclose()

    async def reset(self) -> None:
        await self.close()

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        question = msgpack.unpackb(bytes(self._question[_LENGTH.size :]))
        if question[0] == "object":
            async with aclosing(self._object(Digest(question[1]), question[2])) as frames:
                async for frame in frames:
                    yield frame
            return
        try:
            answer = await self._look_up(question)
        except NotThereError:
            answer = ["none"]  # it may have left since the index was read
        yield _frame(answer)

    async def _look_up(self, question: Sequence[object]) -> list[object]:
        match question:
            case ["heads", list(named)]:
                return await self._heads([CatalogueId(name) for name in named])
            case ["roots", bytes(name), int(after)]:
                roots = await self._mirror.roots(CatalogueId(name), after)
                return ["roots", roots] if roots else ["none"]
            case ["log", bytes(name), bytes(writer), wanted, list(known)]:
                log = LogId(CatalogueId(name), Kid(writer))
                way = await self._mirror.way(log, _head(wanted), [*map(_head, known)])
                if way is None or not way.heads:
                    return ["none"]
                return ["log", list(way.heads), way.first, list(way.entries)]
            case _:
                return ["refused"]

    async def _heads(self, catalogues: Sequence[CatalogueId]) -> list[object]:
        heads: list[bytes] = []
        names: list[list[object]] = []
        room = HEADS_BYTES_MAX
        for catalogue in catalogues:
            index = await self._mirror.index(catalogue)
            newest = [way.newest for way in index.ways] if index else []
            room -= sum(map(len, newest))
            if index is None or room < 0 or len(heads) + len(newest) > RECORDS_MAX:
                continue
            heads += newest
            names += [[catalogue, each.version, each.digest] for each in index.names]
        return ["heads", heads, names[:RECORDS_MAX]]

    async def _object(self, digest: Digest, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the answer about an object, in the chunks that the protocol wants."""
        async with self._mirror.open(digest, offset) as opened:
            if opened is None:
                yield _frame(["none"])
                return
            yield _frame(["object", opened.size_bytes])
            left = opened.size_bytes - offset
            gathered = bytearray()
            async with aclosing(opened.chunks) as chunks:
                async for chunk in chunks:
                    gathered += chunk
                    while left and len(gathered) >= min(CHUNK_BYTES, left):
                        due = min(CHUNK_BYTES, left)
                        yield _frame(bytes(gathered[:due]))
                        del gathered[:due]
                        left -= due
            if left:
                raise UnreachableError("the file ended too early")


def _head(value: object) -> HeadName:
    match value:
        case [int(seq), bytes(digest)]:
            return HeadName(seq, Digest(digest))
        case _:
            raise PeerError("not the name of a head")


def _frame(value: object) -> bytes:
    body: bytes = msgpack.packb(value)
    return _LENGTH.pack(len(body)) + body
