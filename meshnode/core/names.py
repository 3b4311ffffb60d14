"""What logs, heads, stretches, segments and roots are called, inside a node."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

from meshnode.core.identifiers import CatalogueId, Digest, Kid

if TYPE_CHECKING:
    from meshnode.core.entries import SegmentAdded

REMEMBERED_KEYS = 1024  # of segments


Ticket = NewType("Ticket", int)  # names one question of the operator; `Answer` carries it back


@dataclass(frozen=True, slots=True, order=True)
class LogId:
    """One writer's log in one catalogue."""

    catalogue: CatalogueId
    writer: Kid


@dataclass(frozen=True, slots=True, order=True)
class HeadName:
    """A head of one log, by the digest of its payload."""

    seq: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one branch of a log: heads after `after_seq` up to `seq`, entries `first` to
    `stop` - 1.
    """

    branch: int
    after_seq: int
    seq: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """What the log says of a segment; the file is checked against every field.

    `bbox` is (west, south, east, north) in 1e-7 degrees, west > east across the antimeridian;
    `span` the first and last item datetime in unix seconds (floor), None where items have none.
    """

    log: LogId
    collection: str
    digest: Digest
    size_bytes: int
    rows: int
    format: int
    clock: int
    bbox: tuple[int, int, int, int]
    span: tuple[int | None, int | None]

    @classmethod
    def of(cls, log: LogId, entry: SegmentAdded) -> SegmentRef:
        """Return what an entry of this log says of its segment."""
        return cls(
            log=log,
            collection=entry.collection,
            digest=entry.segment,
            size_bytes=entry.size_bytes,
            rows=entry.rows,
            format=entry.format,
            clock=entry.clock,
            bbox=entry.bbox,
            span=entry.span,
        )

    @property
    def key(self) -> SegmentKey:
        return segment_key(self.log.catalogue, self.collection, self.digest)


@dataclass(frozen=True, slots=True, order=True)
class SegmentKey:
    """What the index knows a segment by: the same bytes may stand in several catalogues."""

    catalogue: CatalogueId
    collection: str
    digest: Digest


segment_key = lru_cache(REMEMBERED_KEYS)(SegmentKey)  # one segment is looked up many times


@dataclass(frozen=True, slots=True)
class RootName:
    """A root, or a purge by a root of this version, by the digest of its payload."""

    catalogue: CatalogueId
    version: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Rows of these items whose clock is smaller than `clock` are hidden.

    `erases`: for a reason for which no segment with such a row is served.
    """

    collection: str
    ids: tuple[str, ...]
    clock: int
    erases: bool = False
