"""A log that was compacted often: what a start costs with its snapshot, and what stays in memory.

`python -m benchmarks.snapshots` prints the bytes that a node holds of the log.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.core.durable import Restored, StoredLog
from meshnode.core.effects import CheckSnapshot
from meshnode.core.events import Now, SnapshotChecked
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.node import Node
from meshnode.core.snapshots import decode_snapshot, encode_snapshot, snapshot_of

SEGMENTS: Final = 8_000  # each replaced with its 31 neighbours
NOW: Final = Now(0.0, samples.ISSUED)


@lru_cache(1)
def _log() -> tuple[samples.SignedCatalogue, bytes]:
    """Return a catalogue whose log ends in a head that begins a snapshot, and that snapshot."""
    one = samples.compacted_catalogue("compacted", SEGMENTS)
    tree = Frontier().extend([leaf_hash(raw) for raw in one.entries])
    return one, encode_snapshot(snapshot_of(one.log, tree, enumerate(one.entries)))


def _whole() -> Restored:
    one, _ = _log()
    stored = StoredLog(one.log, one.heads, one.entries)
    return Restored(followed=(one.id,), roots=((one.id, (one.root,)),), logs=(stored,))


def _begun() -> Restored:
    one, raw = _log()
    stored = StoredLog(one.log, one.heads[-1:], (), len(one.entries), raw)
    return replace(_whole(), logs=(stored,))


def _start(restored: Restored, *, is_checked: bool) -> Node:
    """Start a node; it is told that the snapshot is true if that is checked."""
    node = Node(random.Random(1))  # noqa: S311 - the node's choices
    for effect in node.restore(restored, NOW):
        if is_checked and isinstance(effect, CheckSnapshot):
            listed = tuple(index for index, _ in decode_snapshot(_log()[1]).entries)
            told = SnapshotChecked(
                effect.log, effect.ref, is_true=True, frontier=effect.frontier, listed=listed
            )
            node.handle([told], NOW)
    return node


def _with_snapshot(_: Path) -> Work:
    restored = _begun()
    return lambda: _size_after(restored)


def _with_all(_: Path) -> Work:
    restored = _whole()
    return lambda: _size_after(restored)


def _size_after(restored: Restored) -> int:
    one, _ = _log()
    log = _start(restored, is_checked=False).catalogues[one.id].logs[one.log.writer]
    assert log.size == len(one.entries)
    return log.size


def main() -> None:
    """Print what a node holds of the log, in bytes, with all entries and with what is listed."""
    one, raw = _log()
    listed = len(decode_snapshot(raw).entries)
    write = sys.stdout.write
    write(f"{len(one.entries)} entries, {listed} listed in {len(raw)} bytes\n")
    for name, restored, is_checked in (
        ("all entries", _whole(), False),
        ("entries that are listed", _whole(), True),
        ("begun with the snapshot", _begun(), True),
    ):
        tracemalloc.start()
        node = _start(restored, is_checked=is_checked)
        held_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        write(f"{name:<24} {held_bytes:>12,} bytes\n")
        assert node.catalogues[one.id].logs[one.log.writer].size == len(one.entries)


CASES: Final = (
    Case(
        "snapshot",
        f"a start with the snapshot of {SEGMENTS:,} segments, compacted",
        "entry",
        _with_snapshot,
        {"the whole log": _with_all},
        repeat=3,
    ),
)

if __name__ == "__main__":
    main()
