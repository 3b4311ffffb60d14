"""Entries: the steps of a log, one dataclass a kind (protocol/02-records.md).

Kinds and versions that this version does not know are kept as `UnknownEntry`, so that logs with
them still verify; a known kind with a wrong shape is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.identifiers import Digest, record_digest, sha256
from meshnode.core.limits import (
    ENTRY_BYTES_MAX,
    INTEGER_MAX,
    ITEM_IDS_MAX,
    LATITUDE_E7_MAX,
    LONGITUDE_E7_MAX,
    MIRRORS_MAX,
    OBJECT_BYTES_MAX,
    PIECE_BYTES_MAX,
    PIECE_BYTES_MIN,
    RELEASE_PAYLOADS_MAX,
    REPLACES_MAX,
    RISK_MAX,
    SEGMENT_BYTES_MAX,
    SEGMENT_ROWS_MAX,
)

REMEMBERED_ENTRIES = 64  # at most 1 MiB of bytes that were just decoded


class Reason(IntEnum):
    """Why something is withdrawn. From PRIVACY on, the bytes are not kept."""

    RETIRED = 0
    SUPERSEDED = 1
    ERROR = 2
    DUPLICATE = 3
    PRIVACY = 4
    LEGAL = 5
    LICENCE = 6

    @property
    def erases(self) -> bool:
        return self >= Reason.PRIVACY


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object by name and size."""

    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ItemName:
    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class InfoHash:
    """BitTorrent info-hashes: v2 of 32 bytes (BEP 52), v1 of 20 (BEP 3); at least one is there."""

    v2: Digest | None
    v1: bytes | None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """From what a release was built; `sources` is the payload key of the source bundle."""

    manifest: ObjectRef
    environment: ObjectRef
    sources: Digest


@dataclass(frozen=True, slots=True)
class CollectionAdded:
    """`object` is the STAC Collection document."""

    clock: int
    collection: str
    object: ObjectRef


@dataclass(frozen=True, slots=True)
class SegmentAdded:
    """A segment counts from here on, and those it `replaces` (of the same collection) do not.

    `bbox` is (west, south, east, north) in 1e-7 degrees, west > east across the antimeridian;
    `span` the first and last item datetime in unix seconds, both None if no item has one.
    """

    clock: int
    collection: str
    segment: Digest
    size_bytes: int
    rows: int
    format: int
    bbox: tuple[int, int, int, int]
    span: tuple[int | None, int | None]
    replaces: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class SegmentRemoved:
    clock: int
    collection: str
    segment: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class ItemsRemoved:
    """Hides rows of these items with a smaller clock; `by` supersedes them, if anything does."""

    clock: int
    collection: str
    ids: tuple[str, ...]
    reason: Reason
    by: ItemName | None


@dataclass(frozen=True, slots=True)
class PayloadAdded:
    """`files` is the canonical file list, whose SHA-256 is in general the `key`."""

    clock: int
    collection: str
    key: Digest
    files: ObjectRef
    size_bytes: int
    piece_size_bytes: int
    infohash: InfoHash
    torrent: ObjectRef
    mirrors: tuple[str, ...]
    risk: int


@dataclass(frozen=True, slots=True)
class PayloadRemoved:
    clock: int
    collection: str
    key: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class MirrorsChanged:
    """Adds and drops URLs of a payload; what is in both counts as added."""

    clock: int
    collection: str
    key: Digest
    add: tuple[str, ...]
    drop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RiskSet:
    """How threatened a payload is, 0 to 4, `until` a unix second."""

    clock: int
    collection: str
    key: Digest
    level: int
    until: int


@dataclass(frozen=True, slots=True)
class ReleaseAdded:
    """A version of a dataset; `supersedes` is the digest of the entry of an older release."""

    clock: int
    collection: str
    version: str
    doi: str | None
    payloads: tuple[Digest, ...]
    blueprint: Blueprint | None
    supersedes: Digest | None


@dataclass(frozen=True, slots=True)
class UnknownEntry:
    """An entry without meaning for this version: its exact bytes are kept, hashed and passed on."""

    kind: str
    version: int
    clock: int
    raw: bytes


KnownEntry = (
    CollectionAdded
    | SegmentAdded
    | SegmentRemoved
    | ItemsRemoved
    | PayloadAdded
    | PayloadRemoved
    | MirrorsChanged
    | RiskSet
    | ReleaseAdded
)
Entry = KnownEntry | UnknownEntry


def encode_entry(entry: Entry) -> bytes:
    if isinstance(entry, UnknownEntry):
        return entry.raw
    return encode(_BY_TYPE[type(entry)].write(entry))


@lru_cache(REMEMBERED_ENTRIES)
def decode_entry(raw: bytes) -> Entry:
    """Read one entry.

    Raises:
        MalformedRecordError: not an entry, or a known kind with a wrong shape.
    """
    return _decode(raw)


def _decode(raw: bytes) -> Entry:
    value = decode(raw, ENTRY_BYTES_MAX)
    if type(value) is not list or len(value) < 3:
        raise MalformedRecordError("an entry is an array of kind, version, clock and more")
    layout = _BY_KIND.get(value[0]) if type(value[0]) is str else None
    if layout is None or value[1] != layout.version:
        kind, version, clock = _read_beginning(value[:3])
        return UnknownEntry(kind, version, clock, raw)
    entry: KnownEntry = layout.read(value)
    return entry


def numbered_entries(raws: Sequence[bytes]) -> list[tuple[Entry, Digest]]:
    """Read entries, each with its SHA-256. Many are not remembered: they would only push each
    other out.

    Raises:
        MalformedRecordError: as `decode_entry`.
    """
    read = _remembered if len(raws) <= REMEMBERED_ENTRIES else _numbered
    return list(map(read, raws))


def _numbered(raw: bytes) -> tuple[Entry, Digest]:
    return _decode(raw), sha256(raw)


@lru_cache(REMEMBERED_ENTRIES)
def _remembered(raw: bytes) -> tuple[Entry, Digest]:
    return decode_entry(raw), record_digest(raw)


def _check_mirrors(entry: MirrorsChanged) -> None:
    shapes.require(bool(entry.add or entry.drop), "a mirror entry changes nothing")


def _check_segment(entry: SegmentAdded) -> None:
    _, south, _, north = entry.bbox
    shapes.require(south <= north, "the box has its south above its north")
    first, last = entry.span
    whole = first is last if first is None or last is None else first <= last
    shapes.require(whole, "a span has both ends or none, in order")
    shapes.require(entry.segment not in entry.replaces, "a segment replaces itself")


_positive = shapes.integer(1, INTEGER_MAX)
_longitude = shapes.integer(-LONGITUDE_E7_MAX, LONGITUDE_E7_MAX)
_latitude = shapes.integer(-LATITUDE_E7_MAX, LATITUDE_E7_MAX)
_bbox = shapes.array(_longitude, _latitude, _longitude, _latitude)
_moment = shapes.optional(shapes.integer(-INTEGER_MAX, INTEGER_MAX))
_span = shapes.array(_moment, _moment)
_object = shapes.row(ObjectRef, shapes.digest, shapes.integer(1, OBJECT_BYTES_MAX))
_item = shapes.row(ItemName, shapes.name, shapes.name)
_piece_size = shapes.checked(
    shapes.integer(PIECE_BYTES_MIN, PIECE_BYTES_MAX),
    lambda size_bytes: size_bytes.bit_count() == 1,
    "a piece size is a power of two",
)
_infohash = shapes.checked(
    shapes.row(InfoHash, shapes.optional(shapes.digest), shapes.optional(shapes.blob(20))),
    lambda infohash: infohash != InfoHash(None, None),
    "a payload has at least one info-hash",
)
_reason = shapes.member(Reason)
_urls = shapes.unique(shapes.url, 0, MIRRORS_MAX)
_risk = shapes.integer(0, RISK_MAX)
_blueprint = shapes.row(Blueprint, _object, _object, shapes.digest)

_read_beginning = shapes.reader(shapes.array(shapes.name, _positive, shapes.clock))
_NAMED: Final = (shapes.clock, shapes.name)  # clock and collection: every entry has them

_LAYOUTS: Final[tuple[shapes.Layout[Any], ...]] = (
    shapes.Layout("collection+", 1, CollectionAdded, (*_NAMED, _object)),
    shapes.Layout(
        "segment+",
        1,
        SegmentAdded,
        (
            *_NAMED,
            shapes.group(
                shapes.digest,
                shapes.integer(1, SEGMENT_BYTES_MAX),
                shapes.integer(1, SEGMENT_ROWS_MAX),
                shapes.count,
            ),
            _bbox,
            _span,
            shapes.unique(shapes.digest, 0, REPLACES_MAX),
        ),
        _check_segment,
    ),
    shapes.Layout("segment-", 1, SegmentRemoved, (*_NAMED, shapes.digest, _reason)),
    shapes.Layout(
        "item-",
        1,
        ItemsRemoved,
        (
            *_NAMED,
            shapes.unique(shapes.name, 1, ITEM_IDS_MAX),
            _reason,
            shapes.optional(_item),
        ),
    ),
    shapes.Layout(
        "payload+",
        1,
        PayloadAdded,
        (
            *_NAMED,
            shapes.digest,
            _object,
            shapes.count,
            _piece_size,
            _infohash,
            _object,
            _urls,
            _risk,
        ),
    ),
    shapes.Layout("payload-", 1, PayloadRemoved, (*_NAMED, shapes.digest, _reason)),
    shapes.Layout(
        "mirror", 1, MirrorsChanged, (*_NAMED, shapes.digest, _urls, _urls), _check_mirrors
    ),
    shapes.Layout("risk", 1, RiskSet, (*_NAMED, shapes.digest, _risk, shapes.second)),
    shapes.Layout(
        "release+",
        1,
        ReleaseAdded,
        (
            *_NAMED,
            shapes.name,
            shapes.optional(shapes.name),
            shapes.unique(shapes.digest, 0, RELEASE_PAYLOADS_MAX),
            shapes.optional(_blueprint),
            shapes.optional(shapes.digest),
        ),
    ),
)
_BY_KIND: Final = {layout.kind: layout for layout in _LAYOUTS}
_BY_TYPE: Final = {layout.make: layout for layout in _LAYOUTS}
