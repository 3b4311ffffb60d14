"""One static mirror as this peer sees it: what it has, and answers made from its files (N-84).

What it has is checked against names only. What the files mean is checked where any peer's answers
are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import trio

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import ObjectRef
from meshnode.core.heads import SNAPSHOT_SEQ, begun_by, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import PURGE_BYTES_MAX
from meshnode.core.names import HeadName, LogId
from meshnode.core.purges import decode_purge
from meshnode.core.roots import decode_root
from meshnode.core.signed import decode_signed
from meshnode.core.static_mirror import (
    CatalogueIndex,
    MirroredCatalogue,
    RootsFile,
    StretchFile,
    StretchRef,
    Way,
    decode_index,
    decode_pointer,
    decode_roots,
    decode_stretch,
)
from meshnode.runtime.static_mirror.shelves import (
    NotThereError,
    OpenFile,
    Shelf,
    UnreachableError,
    WrongFileError,
    read_whole,
)

STRETCHES_REMEMBERED: Final = 4  # a log is asked for step by step, and each is 1 MiB at most
KNOWN_TRIED_MAX: Final = 64  # heads: a file each, at most
ABSENT_SECONDS: Final = 900.0  # peers retry each minute: too often for a thousand files
ABSENT_MAX: Final = 65_536
ANSWER_BYTES_MAX: Final = 1 << 20  # of roots in one answer; the asker asks on

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Regress:
    """A log of which a mirror told a newer head before: it went back in time."""

    log: LogId
    seq: int
    before: int


@dataclass(slots=True)
class Mirror:
    """Invariant: each index is the one that the newest pointer names, and of its catalogue."""

    shelf: Shelf
    catalogues: dict[CatalogueId, ObjectRef] = field(default_factory=dict)
    _indices: dict[CatalogueId, tuple[Digest, CatalogueIndex]] = field(default_factory=dict)
    _stretches: dict[Digest, StretchFile] = field(default_factory=dict)  # newest last; bounded
    _absent: dict[Digest, float] = field(default_factory=dict)  # until when; bounded
    _newest: dict[LogId, int] = field(default_factory=dict)  # the greatest seq it ever told

    async def refresh(self) -> bool:
        """Read the pointer; return whether it is another one than before.

        Raises:
            NotThereError, UnreachableError: there is none, or it cannot be read.
        """
        raw = await self.shelf.pointer()
        if raw is None:
            return False
        try:
            pointer = await trio.to_thread.run_sync(decode_pointer, raw)
        except MalformedRecordError as error:
            raise UnreachableError(f"it is not a static mirror: {error}") from error
        before, self.catalogues = self.catalogues, _by_name(pointer.catalogues)
        self._absent.clear()
        self._indices = {
            name: kept
            for name, kept in self._indices.items()
            if name in self.catalogues and self.catalogues[name].digest == kept[0]
        }
        return before != self.catalogues

    async def index(self, catalogue: CatalogueId) -> CatalogueIndex | None:
        """Return what the mirror has of a catalogue, None if it has none.

        Raises:
            WrongFileError: the mirror is at fault.
            NotThereError, UnreachableError: the index cannot be had now.
        """
        file = self.catalogues.get(catalogue)
        if file is None:
            return None
        kept = self._indices.get(catalogue)
        if kept is not None and kept[0] == file.digest:
            return kept[1]
        index = await self._read(file, decode_index)
        if index.catalogue != catalogue:
            raise WrongFileError("the index of a catalogue is that of another one")
        self._indices[catalogue] = file.digest, index
        return index

    def regress(self, index: CatalogueIndex) -> Regress | None:
        """Return where an index tells less than this mirror told before, if it does."""
        newest: dict[LogId, int] = {}
        for way in index.ways:
            log = LogId(index.catalogue, way.writer)
            newest[log] = max(way.stretches[-1].last_seq, newest.get(log, 0))
        known = {log: s for log, s in self._newest.items() if log.catalogue == index.catalogue}
        self._newest |= {log: max(seq, known.get(log, 0)) for log, seq in newest.items()}
        for log, before in known.items():
            if newest.get(log, 0) < before:
                return Regress(log, newest.get(log, 0), before)
        return None

    async def roots(self, catalogue: CatalogueId, after: int) -> list[bytes]:
        """Return roots and purges of a version above `after`, rising, about 1 MiB at most."""
        index = await self.index(catalogue)
        if index is None:
            return []
        file = await self._read(index.roots, decode_roots)
        found: list[bytes] = []
        room = ANSWER_BYTES_MAX
        for version, raw in await trio.to_thread.run_sync(_numbered, file):
            if version > after and (len(raw) <= room or not found):
                found.append(raw)
                room -= len(raw)
        return found

    async def way(
        self, log: LogId, wanted: HeadName, known: Sequence[HeadName]
    ) -> StretchFile | None:
        """Return a first part of the way to a head, from the newest of `known` on it."""
        index = await self.index(log.catalogue)
        for way in index.ways if index else ():
            if way.writer == log.writer and await self._leads_to(way, wanted):
                after = await self._after(way, wanted, known)
                if after is None or after >= wanted.seq:
                    return None
                stretch = await self._stretch(way, after + 1)
                return stretch.between(after, wanted.seq) if stretch else None
        return None

    @asynccontextmanager
    async def open(self, digest: Digest, offset: int) -> AsyncIterator[OpenFile | None]:
        """Open an object; None if it is not there, which is not asked again for a while."""
        if self._absent.get(digest, 0.0) > trio.current_time():
            yield None
            return
        try:
            async with self.shelf.open(digest, offset) as opened:
                self._absent.pop(digest, None)
                yield opened
        except NotThereError:
            self._remember_absent(digest)
            yield None

    def _remember_absent(self, digest: Digest) -> None:
        self._absent[digest] = trio.current_time() + ABSENT_SECONDS
        if len(self._absent) > ABSENT_MAX:
            del self._absent[next(iter(self._absent))]

    async def _leads_to(self, way: Way, wanted: HeadName) -> bool:
        if way.head.name == wanted:
            return True
        stretch = await self._stretch(way, wanted.seq)
        return stretch is not None and stretch.name_at(wanted.seq) == wanted

    async def _after(self, way: Way, wanted: HeadName, known: Sequence[HeadName]) -> int | None:
        """Return the seq of the newest known head on a way; 0 if it is none and the way begins
        with the first head; None if nothing leads there.
        """
        heads = sorted((name for name in known if name.seq <= wanted.seq), reverse=True)
        for name in heads[:KNOWN_TRIED_MAX]:
            if name.seq == SNAPSHOT_SEQ:
                begins = await self._begins(way, name.digest, wanted)
                if begins is not None:
                    return begins - 1
                continue
            stretch = await self._stretch(way, min(name.seq + 1, way.stretches[-1].last_seq))
            if stretch is not None and stretch.name_at(name.seq) == name:
                return name.seq
        return 0 if way.stretches[0].first_seq == 1 else None

    async def _begins(self, way: Way, snapshot: Digest, wanted: HeadName) -> int | None:
        """Return the seq of the head that begins a snapshot, from the newest file back."""
        for ref in reversed(way.stretches):
            if ref.first_seq > wanted.seq:
                continue
            stretch = await self._stretch(way, ref.first_seq)
            if stretch is None:
                return None
            found = begin_of(stretch, snapshot, wanted.seq)
            if found is not None:
                return found
        return None

    async def _stretch(self, way: Way, seq: int) -> StretchFile | None:
        """Return the file of a way that has the head of this seq."""
        ref = _with(way.stretches, seq)
        if ref is None:
            return None
        stretch = self._stretches.pop(ref.file.digest, None)
        if stretch is None:
            stretch = await self._read(ref.file, decode_stretch)
        self._stretches[ref.file.digest] = stretch
        if len(self._stretches) > STRETCHES_REMEMBERED:
            del self._stretches[next(iter(self._stretches))]
        return stretch

    async def _read(self, file: ObjectRef, decode: Callable[[bytes], T]) -> T:
        raw = await read_whole(self.shelf, file)
        try:
            return await trio.to_thread.run_sync(partial(decode, raw))
        except MalformedRecordError as error:
            raise WrongFileError(f"the file {file.digest.hex()}: {error}") from error


def begin_of(stretch: StretchFile, snapshot: Digest, seq_max: int) -> int | None:
    """Return the seq of the newest head of a file that begins this snapshot (R-25).

    The first head of a way that begins with a snapshot has none before it.
    """
    found, before = None, None
    for raw in stretch.heads:
        head = decode_signed_head(raw).head
        begun = begun_by(head, before) if before else head.snapshot
        before, is_first = head, before is None
        if begun is None or begun.object != snapshot or head.seq > seq_max:
            continue
        if not is_first or begun.index == stretch.first:
            found = head.seq
    return found


def _with(stretches: Sequence[StretchRef], seq: int) -> StretchRef | None:
    """Find the file with this seq, by halving: they are in order and without gaps."""
    low, high = 0, len(stretches)
    while low < high:
        middle = (low + high) // 2
        if stretches[middle].last_seq < seq:
            low = middle + 1
        else:
            high = middle
    found = stretches[low] if low < len(stretches) else None
    return found if found is not None and found.first_seq <= seq else None


def _by_name(listed: Sequence[MirroredCatalogue]) -> dict[CatalogueId, ObjectRef]:
    return {each.catalogue: each.index for each in listed}


def _numbered(file: RootsFile) -> list[tuple[int, bytes]]:
    """Return each root or purge with its version, by rising version.

    Raises:
        MalformedRecordError: one is neither.
    """
    found = []
    for raw in file.raws:
        signed = decode_signed(raw, PURGE_BYTES_MAX)
        is_purge = signed.kind == "purge"
        version = (
            decode_purge(signed.payload).root_version
            if is_purge
            else decode_root(signed.payload).version
        )
        found.append((version, raw))
    return sorted(found, key=lambda each: each[0])
