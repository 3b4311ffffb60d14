"""Snapshots: the entries of a log's past that no later one takes over.

Implements protocol/04-log-and-trust.md, "Snapshots". A snapshot follows from the entries alone, so
whoever has them makes the same bytes. Which head names one, and what a peer does with it, is
decided by `log` and `catalogue`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    MirrorsChanged,
    PayloadAdded,
    RiskSet,
    SegmentAdded,
    SegmentRemoved,
    decode_entry,
)
from meshnode.core.heads import SnapshotRef
from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.limits import (
    ENTRY_BYTES_MAX,
    FRONTIER_HASHES_MAX,
    SNAPSHOT_BYTES_MAX,
    TREE_SIZE_MAX,
)
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId

Name = tuple[str | Digest, ...]  # what an entry states, and a later one may state again


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is left of the entries before `index`: (index, raw entry), by rising index.

    `frontier` is that of the tree of `index` leaves, largest subtree first.
    """

    catalogue: CatalogueId
    writer: Kid
    index: int
    frontier: tuple[Digest, ...]
    entries: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a peer begins a log that has no more than a snapshot of it, checked by itself.

    `entries` come with their SHA-256, `indices` are their places; `raw` is the object.
    """

    ref: SnapshotRef
    frontier: Frontier
    indices: tuple[int, ...]
    entries: tuple[tuple[Entry, Digest], ...]
    raw: bytes

    @property
    def clock(self) -> int:
        """The clock of the last entry before the snapshot."""
        return self.entries[-1][0].clock


def snapshot_of(log: LogId, frontier: Frontier, entries: Iterable[tuple[int, bytes]]) -> Snapshot:
    """Return the snapshot of a branch at the size of this frontier (L-100).

    `entries` are all (index, raw entry) before it, by rising index; or those that an earlier
    snapshot of the branch lists, and all from its index on.
    """
    return Snapshot(
        log.catalogue, log.writer, frontier.size, frontier.hashes, tuple(_listed(list(entries)))
    )


def begin(log: LogId, ref: SnapshotRef, raw: bytes) -> Beginning:
    """Check a snapshot of this log by itself, for who has nothing else of it (L-104).

    Raises:
        MalformedRecordError: it is not the one that `ref` names, or breaks a rule.
    """
    shapes.require(sha256(raw) == ref.object, "the snapshot is not the one that the head names")
    shapes.require(len(raw) == ref.size_bytes, f"the snapshot has {len(raw)} bytes")
    snapshot = decode_snapshot(raw)
    is_of_log = (snapshot.catalogue, snapshot.writer) == (log.catalogue, log.writer)
    shapes.require(is_of_log, "the snapshot is of another log")
    shapes.require(0 < ref.index == snapshot.index, f"the snapshot is at {snapshot.index}")
    entries = tuple((decode_entry(entry), sha256(entry)) for _, entry in snapshot.entries)
    clocks = [0, *(entry.clock for entry, _ in entries)]
    rising = all(before < after for before, after in pairwise(clocks))
    shapes.require(rising, "clocks do not rise in the snapshot")
    indices = tuple(index for index, _ in snapshot.entries)
    return Beginning(ref, Frontier(snapshot.index, snapshot.frontier), indices, entries, raw)


def _listed(entries: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Leave out what a later one takes over."""
    listed: list[tuple[int, bytes]] = []
    stated: dict[Name, None] = {}
    for index, raw in reversed(entries):
        entry = decode_entry(raw)
        names = _names(entry)
        if not names or any(name not in stated for name in names):
            listed.append((index, raw))
        stated |= dict.fromkeys((*names, *_states_besides(entry)))
    return listed[::-1]


def _names(entry: Entry) -> tuple[Name, ...]:
    """Return what of an entry can be stated again; nothing of one that is never taken over."""
    match entry:
        case CollectionAdded():
            return (("collection", entry.collection),)
        case SegmentAdded(replaces=()):
            return (_segment(entry.collection, entry.segment),)
        case PayloadAdded():
            own = ("payload", entry.collection, entry.key)
            return (own, *_mirrors(entry.collection, entry.key, entry.mirrors))
        case MirrorsChanged():
            return _mirrors(entry.collection, entry.key, (*entry.add, *entry.drop))
        case RiskSet():
            return (("risk", entry.collection, entry.key),)
        case _:
            return ()


def _states_besides(entry: Entry) -> tuple[Name, ...]:
    """Return what else of earlier entries this one takes over."""
    match entry:
        case SegmentAdded(replaces=(_, *_)):
            segments = (entry.segment, *entry.replaces)
            return tuple(_segment(entry.collection, segment) for segment in segments)
        case SegmentRemoved():
            return (_segment(entry.collection, entry.segment),)
        case _:
            return ()


def _segment(collection: str, segment: Digest) -> Name:
    return ("segment", collection, segment)


def _mirrors(collection: str, key: Digest, urls: Iterable[str]) -> tuple[Name, ...]:
    return tuple(("mirror", collection, key, url) for url in urls)


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
    last = snapshot.index - 1
    shapes.require(last < 0 or (bool(indices) and indices[-1] == last), f"entry {last} is missing")
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
