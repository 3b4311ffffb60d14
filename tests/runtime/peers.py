"""Two ends of the request protocol without a network: memory streams, a library, an intake."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import trio
import trio.testing

from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.names import HeadName, LogId, Stretch
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.network.streams import StreamBrokenError

End = trio.abc.HalfCloseableStream
Pair = Callable[[], tuple[End, End]]

ASKER, ANSWERER = PeerId("asker"), PeerId("answerer")


class MemoryStream:
    """A `Stream` over trio's memory streams."""

    def __init__(self, inner: End) -> None:
        self._inner = inner

    async def read(self, bytes_max: int) -> bytes:
        try:
            return bytes(await self._inner.receive_some(bytes_max))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBrokenError("gone") from error

    async def write(self, data: bytes) -> None:
        try:
            await self._inner.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamBrokenError("gone") from error

    async def close(self) -> None:
        await self._inner.aclose()

    async def reset(self) -> None:
        await self._inner.aclose()


class Shelf:
    """A library in memory that remembers what it was asked for."""

    def __init__(self) -> None:
        self.objects: dict[Digest, bytes] = {}
        self.opened: list[Digest] = []
        self.all_heads: dict[CatalogueId, list[bytes]] = {}
        self.all_roots: dict[CatalogueId, list[bytes]] = {}
        self.entries: dict[LogId, list[bytes]] = {}

    def heads(self, catalogues: Sequence[CatalogueId]) -> list[bytes]:
        return [head for name in catalogues for head in self.all_heads.get(name, [])]

    def roots(self, catalogue: CatalogueId, after: int) -> list[bytes]:
        return self.all_roots.get(catalogue, [])[after:]

    def stretches(
        self, log: LogId, wanted: HeadName, known: Sequence[HeadName]
    ) -> tuple[Stretch, ...]:
        """Find the heads after the newest known one; head n covers n entries."""
        after = max((name.seq for name in known), default=0)
        held = min(wanted.seq, len(self.heads([log.catalogue])))
        return (Stretch(0, after, held, after, len(self.entries[log])),) if after < held else ()

    def log(self, log: LogId, stretches: Sequence[Stretch]) -> tuple[list[bytes], list[bytes]]:
        [part] = stretches
        heads = self.heads([log.catalogue])[part.after_seq : part.seq]
        return heads, self.entries[log][part.first : part.stop]

    def open_object(self, digest: Digest) -> BinaryIO | None:
        self.opened.append(digest)
        held = self.objects.get(digest)
        return None if held is None else io.BytesIO(held)


class Folder:
    """An intake: partial files beside whole ones."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def partial(self, digest: Digest) -> Path:
        return self.path / f"{digest.hex()}.part"

    def complete(self, digest: Digest, temporary: Path) -> None:
        temporary.rename(self.path / digest.hex())

    def read_object(self, digest: Digest) -> bytes | None:
        whole = self.path / digest.hex()
        return whole.read_bytes() if whole.exists() else None


class Line:
    """Opens streams to answerers that live in the nursery."""

    def __init__(self, nursery: trio.Nursery, pair: Pair = trio.testing.memory_stream_pair) -> None:
        self._nursery = nursery
        self._pair = pair
        self.answerers: dict[PeerId, Serving] = {}

    async def open_stream(self, peer: PeerId) -> MemoryStream:
        near, far = self._pair()
        self._nursery.start_soon(self.answerers[peer].serve, ASKER, MemoryStream(far))
        return MemoryStream(near)


def no_peers(_asker: PeerId, _offered: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    return (), ()


def no_provider(_key: bytes) -> int | None:
    return None


def connect(nursery: trio.Nursery, shelf: Shelf, folder: Folder) -> Requests:
    """Return requests that reach one answerer with this library."""
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider, stretches=shelf.stretches)
    return Requests(line.open_stream, folder, lambda: [b"record of the asker"])
