"""Heads: what a writer signs of his log, and how heads are announced (protocol/02-records.md)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.limits import (
    ANNOUNCED_ENTRIES_MAX,
    ANNOUNCED_ENTRY_BYTES_MAX,
    ANNOUNCED_HEADS_MAX,
    ANNOUNCEMENT_BYTES_MAX,
    ENTRY_BYTES_MAX,
    INTEGER_MAX,
    SIGNED_HEAD_BYTES_MAX,
    SNAPSHOT_BYTES_MAX,
    TREE_SIZE_MAX,
)
from meshnode.core.names import HeadName
from meshnode.core.signed import ENVELOPE, Signed, decode_signed, encode_signed

FIRST_SEQ = 1
SNAPSHOT_SEQ = 0  # in the name of a snapshot among those of heads (N-54)
# What was just decoded is often asked for again: by the verdict and then by the node, and of many
# peers that tell the same. By the limits of the records, each memory holds at most 1 MiB of bytes.
REMEMBERED_ANNOUNCEMENTS = 64
REMEMBERED_HEADS = 256


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    """The object that lists what of the entries before `index` still counts."""

    index: int
    object: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Head:
    """The log of `writer` has `size` entries and this tree hash (RFC 9162 §2.1).

    `prev` is the digest of the head before, None at seq 1. `issued` and `next_by` (when the writer
    expects to sign again, if he says so) are unix seconds.
    """

    catalogue: CatalogueId
    writer: Kid
    root_version: int
    seq: int
    prev: Digest | None
    size: int
    tree: Digest
    snapshot: SnapshotRef | None
    issued: int
    next_by: int | None


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head with the envelope and the bytes that carry it."""

    head: Head
    signed: Signed
    raw: bytes

    @property
    def name(self) -> HeadName:
        return HeadName(self.head.seq, self.signed.digest)


@dataclass(frozen=True, slots=True)
class AnnouncedHead:
    """A signed head, with the raw entries from index `first` where they fit."""

    head: Signed
    first: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """One message of the heads topic; nobody signs it."""

    items: tuple[AnnouncedHead, ...]


def begun_by(head: Head, before: Head | None) -> SnapshotRef | None:
    """Return the snapshot that a head begins, given the head before it (R-25)."""
    ref = head.snapshot
    if ref is None or before is None or ref == before.snapshot or ref.index != before.size:
        return None
    return ref


def encode_head(head: Head) -> bytes:
    return encode(_HEAD.write(head))


def decode_head(raw: bytes) -> Head:
    """Raises MalformedRecordError: not the encoding of a head."""
    return _HEAD.read(decode(raw, SIGNED_HEAD_BYTES_MAX))


@lru_cache(REMEMBERED_HEADS)
def decode_signed_head(raw: bytes) -> SignedHead:
    """Read a signed head; its signature is not checked.

    Raises:
        MalformedRecordError: not the encoding of a signed head.
    """
    signed = decode_signed(raw, SIGNED_HEAD_BYTES_MAX)
    return SignedHead(decode_head(signed.payload), signed, raw)


def encode_announcement(announcement: Announcement) -> bytes:
    return encode(shapes.plain(announcement.items))


@lru_cache(REMEMBERED_ANNOUNCEMENTS)
def decode_announcement(raw: bytes) -> Announcement:
    """Raises MalformedRecordError: not the encoding of an announcement, or over its limits."""
    items = _read_announced(decode(raw, ANNOUNCEMENT_BYTES_MAX))
    entry_bytes = sum(len(entry) for item in items for entry in item.entries)
    shapes.require(
        entry_bytes <= ANNOUNCED_ENTRY_BYTES_MAX, f"{entry_bytes} bytes of entries are announced"
    )
    for item in items:
        signed_bytes = len(encode_signed(item.head))
        shapes.require(signed_bytes <= SIGNED_HEAD_BYTES_MAX, f"a head of {signed_bytes} bytes")
    return Announcement(items)


def _check_head(head: Head) -> None:
    shapes.require(
        (head.prev is None) == (head.seq == FIRST_SEQ), "only the first head has no prev"
    )
    if head.snapshot is not None:
        shapes.require(head.snapshot.index <= head.size, "the snapshot lies behind the head")


_positive = shapes.integer(1, INTEGER_MAX)
_size = shapes.integer(0, TREE_SIZE_MAX)

_HEAD = shapes.Layout(
    "head",
    1,
    Head,
    (
        shapes.digest,
        shapes.kid,
        _positive,
        _positive,
        shapes.optional(shapes.digest),
        _size,
        shapes.digest,
        shapes.optional(
            shapes.row(SnapshotRef, _size, shapes.digest, shapes.integer(1, SNAPSHOT_BYTES_MAX))
        ),
        shapes.second,
        shapes.optional(shapes.second),
    ),
    _check_head,
)

_announced = shapes.row(
    AnnouncedHead,
    ENVELOPE,
    _size,
    shapes.listed(shapes.blob(1, ENTRY_BYTES_MAX), 0, ANNOUNCED_ENTRIES_MAX),
)
_read_announced = shapes.reader(shapes.listed(_announced, 1, ANNOUNCED_HEADS_MAX))
