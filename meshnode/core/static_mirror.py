"""The files of a static mirror: catalogues for whoever has a web server, or a disk, and no peer.

Implements the records of protocol/05-sync.md, "Static mirror". Nobody signs them: what they carry
is signed, and every file but one is named by its hash. How a log is cut into files is in
`stretches`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.entries import ObjectRef
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.limits import (
    BRANCHES_MAX,
    ENTRY_BYTES_MAX,
    FORK_BYTES_MAX,
    INTEGER_MAX,
    OBJECT_BYTES_MAX,
    PURGE_BYTES_MAX,
    PURGES_MAX,
    ROOT_VERSION_MAX,
    SIGNED_HEAD_BYTES_MAX,
    STATIC_CATALOGUES_MAX,
    STATIC_INDEX_BYTES_MAX,
    STATIC_POINTER_BYTES_MAX,
    STATIC_STRETCHES_MAX,
    STRETCH_BYTES_MAX,
    STRETCH_ENTRIES_MAX,
    STRETCH_HEADS_MAX,
    TREE_SIZE_MAX,
    WRITERS_MAX,
)
from meshnode.core.names import HeadName

POINTER_NAME: Final = "mirror.cbor"
_ROOTS_MAX: Final = 4 * ROOT_VERSION_MAX + PURGES_MAX  # L-10: four rivals of a version are kept
_LOGS_MAX: Final = WRITERS_MAX * BRANCHES_MAX
# CBOR around heads and entries: at most 5 bytes each, and some for the record.
_STRETCH_FILE_BYTES_MAX: Final = (
    STRETCH_BYTES_MAX + 5 * (STRETCH_HEADS_MAX + STRETCH_ENTRIES_MAX) + 128
)


@dataclass(frozen=True, slots=True)
class MirroredCatalogue:
    """A catalogue of the mirror, and the file that says what there is of it."""

    catalogue: CatalogueId
    index: ObjectRef


@dataclass(frozen=True, slots=True)
class Pointer:
    """The one file that changes: which catalogues there are, and the newest index of each."""

    catalogues: tuple[MirroredCatalogue, ...]


@dataclass(frozen=True, slots=True)
class NamedRoot:
    """A root, or a purge by a root of this version, by the digest of its payload (N-72)."""

    version: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class StretchRef:
    """The file with the heads `first_seq` to `last_seq` of a branch, and their entries."""

    first_seq: int
    last_seq: int
    file: ObjectRef


@dataclass(frozen=True, slots=True)
class Way:
    """One branch of a log: its newest signed head, and the files that lead to it, in order."""

    writer: Kid
    newest: bytes
    stretches: tuple[StretchRef, ...]

    @property
    def head(self) -> SignedHead:
        return decode_signed_head(self.newest)


@dataclass(frozen=True, slots=True)
class CatalogueIndex:
    """All that a mirror has of one catalogue's logs. Objects lie beside, by their digest."""

    catalogue: CatalogueId
    roots: ObjectRef
    names: tuple[NamedRoot, ...]
    forks: tuple[bytes, ...]
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class RootsFile:
    """The signed roots and purges of a catalogue, by rising version."""

    catalogue: CatalogueId
    raws: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StretchFile:
    """A part of a branch: signed heads by rising seq, and the entries from index `first`."""

    catalogue: CatalogueId
    writer: Kid
    first: int
    heads: tuple[bytes, ...]
    entries: tuple[bytes, ...]

    def between(self, after: int, wanted: int) -> StretchFile:
        """Return the part of it that has the heads above seq `after`, up to `wanted`.

        Raises:
            MalformedRecordError: its heads are none, or do not fit its entries.
        """
        heads = [decode_signed_head(raw) for raw in self.heads]
        start = max([self.first, *(h.head.size for h in heads if h.head.seq <= after)])
        taken = [head for head in heads if after < head.head.seq <= wanted]
        stop = max([start, *(head.head.size for head in taken)])
        shapes.require(stop <= self.first + len(self.entries), "entries of a stretch are missing")
        entries = self.entries[start - self.first : stop - self.first]
        return StretchFile(
            self.catalogue, self.writer, start, tuple(head.raw for head in taken), entries
        )

    def name_at(self, seq: int) -> HeadName | None:
        """Name the head of this seq; also the one before the first, if the first links to it.

        Raises:
            MalformedRecordError: a head is none.
        """
        for raw in self.heads:
            head = decode_signed_head(raw)
            if head.head.seq == seq:
                return head.name
            if head.head.seq == seq + 1 and head.head.prev is not None:
                return HeadName(seq, head.head.prev)
        return None


def object_path(digest: Digest) -> str:
    """Return where a file lies in a mirror, under its SHA-256."""
    text = digest.hex()
    return f"objects/{text[:2]}/{text}"


def encode_pointer(pointer: Pointer) -> bytes:
    return encode(_POINTER.write(pointer))


def decode_pointer(raw: bytes) -> Pointer:
    """Raises MalformedRecordError: not the encoding of a mirror's pointer."""
    return _POINTER.read(decode(raw, STATIC_POINTER_BYTES_MAX))


def encode_index(index: CatalogueIndex) -> bytes:
    return encode(_INDEX.write(index))


def decode_index(raw: bytes) -> CatalogueIndex:
    """Raises MalformedRecordError: not the encoding of a catalogue's index."""
    return _INDEX.read(decode(raw, STATIC_INDEX_BYTES_MAX))


def encode_roots(roots: RootsFile) -> bytes:
    return encode(_ROOTS.write(roots))


def decode_roots(raw: bytes) -> RootsFile:
    """Raises MalformedRecordError: not the encoding of a file of roots."""
    return _ROOTS.read(decode(raw, OBJECT_BYTES_MAX))


def encode_stretch(stretch: StretchFile) -> bytes:
    return encode(_STRETCH.write(stretch))


def decode_stretch(raw: bytes) -> StretchFile:
    """Raises MalformedRecordError: not the encoding of a stretch of a log."""
    return _STRETCH.read(decode(raw, _STRETCH_FILE_BYTES_MAX))


def _check_pointer(pointer: Pointer) -> None:
    names = [each.catalogue for each in pointer.catalogues]
    shapes.require(shapes.rising(names), "the catalogues are not in order")


def _check_index(index: CatalogueIndex) -> None:
    for way in index.ways:
        try:
            head = way.head.head
        except MalformedRecordError as error:
            raise MalformedRecordError(f"the newest head of a way is none: {error}") from None
        is_of_log = (head.catalogue, head.writer) == (index.catalogue, way.writer)
        shapes.require(is_of_log, "the newest head of a way is of another log")
        shapes.require(
            way.stretches[-1].last_seq == head.seq
            and all(part.first_seq <= part.last_seq for part in way.stretches)
            and all(a.last_seq + 1 == b.first_seq for a, b in pairwise(way.stretches)),
            "the stretches of a way do not lead to its newest head",
        )


_positive = shapes.integer(1, INTEGER_MAX)


def _file(size_bytes_max: int) -> shapes.Shape:
    return shapes.row(ObjectRef, shapes.digest, shapes.integer(1, size_bytes_max))


_POINTER = shapes.Layout(
    "static-mirror",
    1,
    Pointer,
    (
        shapes.listed(
            shapes.row(MirroredCatalogue, shapes.digest, _file(STATIC_INDEX_BYTES_MAX)),
            0,
            STATIC_CATALOGUES_MAX,
        ),
    ),
    _check_pointer,
)

_way = shapes.row(
    Way,
    shapes.kid,
    shapes.blob(1, SIGNED_HEAD_BYTES_MAX),
    shapes.listed(
        shapes.row(StretchRef, _positive, _positive, _file(_STRETCH_FILE_BYTES_MAX)),
        1,
        STATIC_STRETCHES_MAX,
    ),
)

_INDEX = shapes.Layout(
    "static-catalogue",
    1,
    CatalogueIndex,
    (
        shapes.digest,
        _file(OBJECT_BYTES_MAX),
        shapes.listed(shapes.row(NamedRoot, _positive, shapes.digest), 0, _ROOTS_MAX),
        shapes.listed(shapes.blob(1, FORK_BYTES_MAX), 0, WRITERS_MAX),
        shapes.listed(_way, 0, _LOGS_MAX),
    ),
    _check_index,
)

_ROOTS = shapes.Layout(
    "static-roots",
    1,
    RootsFile,
    (shapes.digest, shapes.listed(shapes.blob(1, PURGE_BYTES_MAX), 1, _ROOTS_MAX)),
)

_STRETCH = shapes.Layout(
    "static-stretch",
    1,
    StretchFile,
    (
        shapes.digest,
        shapes.kid,
        shapes.integer(0, TREE_SIZE_MAX),
        shapes.listed(shapes.blob(1, SIGNED_HEAD_BYTES_MAX), 1, STRETCH_HEADS_MAX),
        shapes.listed(shapes.blob(1, ENTRY_BYTES_MAX), 0, STRETCH_ENTRIES_MAX),
    ),
)
