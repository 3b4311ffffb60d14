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
    raw = encode_snapshot(make(store, effect.log, effect.frontier, effect.stretches))
    is_true = (sha256(raw), len(raw)) == (effect.ref.object, effect.ref.size_bytes)
    if is_true:
        store.add_object(raw)
    return ev.SnapshotChecked(effect.log, effect.ref, is_true)
