"""Static mirrors in memory, made from logs of our own, and readers of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from meshnode.core.entries import ObjectRef
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import Digest, sha256
from meshnode.core.names import LogId
from meshnode.core.static_mirror import (
    CatalogueIndex,
    MirroredCatalogue,
    Pointer,
    RootsFile,
    Way,
    encode_index,
    encode_pointer,
    encode_roots,
)
from meshnode.core.stretches import Cutter, steps
from meshnode.runtime.static_mirror.shelves import NotThereError, OpenFile, UnreachableError
from tests.core.institutions import Institution, LogCopy


@dataclass
class MemoryShelf:
    """A mirror in memory; `opened` are the files that were read, with where from."""

    files: dict[Digest, bytes] = field(default_factory=dict)
    pointed: bytes = b""
    opened: list[tuple[Digest, int]] = field(default_factory=list)
    is_down: bool = False
    _last: bytes | None = None

    async def pointer(self) -> bytes | None:
        if self.is_down:
            raise UnreachableError("it is down")
        is_same, self._last = self.pointed == self._last, self.pointed
        return None if is_same else self.pointed

    @asynccontextmanager
    async def open(self, digest: Digest, offset: int) -> AsyncIterator[OpenFile]:
        self.opened.append((digest, offset))
        if self.is_down:
            raise UnreachableError("it is down")
        if digest not in self.files:
            raise NotThereError("HTTP 404")
        raw = self.files[digest]
        yield OpenFile(len(raw), _in_parts(raw[offset:]))

    async def aclose(self) -> None:
        pass

    def put(self, raw: bytes) -> ObjectRef:
        self.files[sha256(raw)] = raw
        return ObjectRef(sha256(raw), len(raw))

    def show(self, institution: Institution, *logs: LogCopy, forks: Sequence[bytes] = ()) -> None:
        """Make this the state of one catalogue: these histories of its logs."""
        roots = self.put(encode_roots(RootsFile(institution.catalogue, (institution.raw_root,))))
        ways = tuple(self._way(institution, log) for log in logs)
        index = CatalogueIndex(institution.catalogue, roots, (), tuple(forks), ways)
        self.point_to(index)

    def point_to(self, index: CatalogueIndex) -> None:
        listed = MirroredCatalogue(index.catalogue, self.put(encode_index(index)))
        self.pointed = encode_pointer(Pointer((listed,)))

    def _way(self, institution: Institution, log: LogCopy) -> Way:
        cutter = Cutter(LogId(institution.catalogue, log.writer))
        given = steps([decode_signed_head(raw) for raw in log.heads], 0, log.entries)
        cuts = [cut for step in given for cut in cutter.add(step)] + list(cutter.rest())
        for cut in cuts:
            self.put(cut.raw)
        return Way(log.writer, log.heads[-1], tuple(cut.ref for cut in cuts))


async def _in_parts(raw: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(raw), 1000):
        yield raw[start : start + 1000]
