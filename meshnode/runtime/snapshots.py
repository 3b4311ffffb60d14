"""Snapshots as objects of the store: made from what is on disk, compared with what a head names."""

from __future__ import annotations

from meshnode.core.effects import CheckSnapshot, RecallEntries
from meshnode.core.events import EntriesRecalled, Event, SnapshotChecked
from meshnode.core.identifiers import sha256
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId, Stretch
from meshnode.core.snapshots import Snapshot, encode_snapshot, snapshot_of
from meshnode.runtime.store import Store


def make(store: Store, log: LogId, frontier: Frontier, way: tuple[Stretch, ...]) -> Snapshot:
    """Return the snapshot of the entries on this way, which ends at the frontier.

    Raises:
        StorageError: the disk cannot be read.
    """
    return snapshot_of(log, frontier, store.numbered_entries(log, way))


def check(store: Store, effect: CheckSnapshot) -> SnapshotChecked:
    """Make a snapshot anew; keep it if it is the one that was named.

    Raises:
        StorageError: the disk refused.
    """
    made = make(store, effect.log, effect.frontier, effect.stretches)
    raw = encode_snapshot(made)
    is_true = (sha256(raw), len(raw)) == (effect.ref.object, effect.ref.size_bytes)
    if is_true:
        store.add_object(raw)
    listed = tuple(index for index, _ in made.entries)
    return SnapshotChecked(effect.log, effect.ref, is_true, effect.frontier, listed)


def recall(store: Store, effect: RecallEntries) -> EntriesRecalled:
    """Read entries that were dropped from memory.

    Raises:
        StorageError: the disk refused.
    """
    way = (Stretch(effect.branch, 0, 0, effect.first, effect.stop),)
    numbered = store.numbered_entries(effect.log, way)
    raws = tuple(raw for index, raw in numbered if index >= effect.first)
    return EntriesRecalled(effect.log, effect.branch, raws)


def read(store: Store, effect: CheckSnapshot | RecallEntries) -> Event:
    """Carry out what reads a log from disk; raises StorageError."""
    if isinstance(effect, CheckSnapshot):
        return check(store, effect)
    return recall(store, effect)
