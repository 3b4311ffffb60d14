"""Snapshots as objects of the store: made from what is on disk, compared with what a head names."""

from __future__ import annotations

from meshnode.core import events as ev
from meshnode.core.events import LogId, Stretch
from meshnode.core.identifiers import sha256
from meshnode.core.merkle import Frontier
from meshnode.core.snapshots import Snapshot, encode_snapshot, snapshot_of
from meshnode.runtime.store import Store


def make(store: Store, log: LogId, frontier: Frontier, way: tuple[Stretch, ...]) -> Snapshot:
    """Return the snapshot of the entries on this way, which ends at the frontier.

    Raises:
        StorageError: the disk cannot be read.
    """
    return snapshot_of(log, frontier, store.numbered_entries(log, way))


def check(store: Store, effect: ev.CheckSnapshot) -> ev.SnapshotChecked:
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
    return ev.SnapshotChecked(effect.log, effect.ref, is_true, effect.frontier, listed)


def recall(store: Store, effect: ev.RecallEntries) -> ev.EntriesRecalled:
    """Read entries that were dropped from memory.

    Raises:
        StorageError: the disk refused.
    """
    way = (Stretch(effect.branch, 0, 0, effect.first, effect.stop),)
    numbered = store.numbered_entries(effect.log, way)
    raws = tuple(raw for index, raw in numbered if index >= effect.first)
    return ev.EntriesRecalled(effect.log, effect.branch, raws)


def read(store: Store, effect: ev.CheckSnapshot | ev.RecallEntries) -> ev.Event:
    """Carry out what reads a log from disk; raises StorageError."""
    if isinstance(effect, ev.CheckSnapshot):
        return check(store, effect)
    return recall(store, effect)
