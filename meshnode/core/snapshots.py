"""Snapshots: the entries of a log's past that still count (protocol/02-records.md)."""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.limits import (
    ENTRY_BYTES_MAX,
    FRONTIER_HASHES_MAX,
    SNAPSHOT_BYTES_MAX,
    TREE_SIZE_MAX,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Of the entries before `index` only these count: (index, raw entry), by rising index.

    `frontier` is that of the tree of `index` leaves, largest subtree first.
    """

    catalogue: CatalogueId
    writer: Kid
    index: int
    frontier: tuple[Digest, ...]
    entries: tuple[tuple[int, bytes], ...]


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return encode(_SNAPSHOT.write(snapshot))


def decode_snapshot(raw: bytes) -> Snapshot:
    """Raises MalformedRecordError: not the encoding of a snapshot."""
    return _SNAPSHOT.read(decode(raw, SNAPSHOT_BYTES_MAX))


def _check_snapshot(snapshot: Snapshot) -> None:
    indices = [index for index, _ in snapshot.entries]
    shapes.require(shapes.rising(indices), "entries are not by rising index")
    within = not indices or indices[-1] < snapshot.index
    shapes.require(within, "an entry lies behind the snapshot")
    whole = len(snapshot.frontier) == snapshot.index.bit_count()
    shapes.require(whole, f"a tree of {snapshot.index} leaves has another number of subtrees")


_index = shapes.integer(0, TREE_SIZE_MAX)

_SNAPSHOT = shapes.Layout(
    "snapshot",
    1,
    Snapshot,
    (
        shapes.digest,
        shapes.kid,
        _index,
        shapes.listed(shapes.digest, 0, FRONTIER_HASHES_MAX),
        # Bounded by the bytes of the object, not by a number of their own.
        shapes.listed(
            shapes.array(_index, shapes.blob(1, ENTRY_BYTES_MAX)),
            0,
            SNAPSHOT_BYTES_MAX,
        ),
    ),
    _check_snapshot,
)
