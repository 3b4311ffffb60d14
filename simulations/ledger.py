"""What was really published, written down by the publisher: the truth that checkers compare with.

Independent of the node: nothing here is decoded, verified or decided by the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cbor2

from meshnode.core.identifiers import CatalogueId, PeerId
from meshnode.core.names import LogId, SegmentKey
from simulations.index import ItemName

HEAD_SIZE = 7  # place of the tree's size in a head (protocol/records.cddl)


@dataclass(slots=True)
class PublishedLog:
    """One writer's log as signed. `acknowledged` is the last seq that the home peer confirmed; of a
    thief's, the last that some peer holds.
    """

    home: PeerId
    heads: list[bytes] = field(default_factory=list)  # seq 1 first
    entries: list[bytes] = field(default_factory=list)
    acknowledged: int = 0

    @property
    def seq(self) -> int:
        return len(self.heads)

    @property
    def acknowledged_size(self) -> int:
        """How many entries the acknowledged heads cover."""
        return size_of(self.heads[self.acknowledged - 1]) if self.acknowledged else 0


@dataclass(frozen=True, slots=True)
class NamedSegment:
    """Where a segment is named: the entry's log and index."""

    log: LogId
    index: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An item that must not be visible in rows with a smaller clock, once entry `index` counts."""

    log: LogId
    index: int
    item: ItemName
    clock: int


@dataclass(slots=True)
class Ledger:
    """Invariant: grows only."""

    roots: dict[CatalogueId, list[bytes]] = field(default_factory=dict)  # by version
    logs: dict[LogId, PublishedLog] = field(default_factory=dict)
    segments: dict[SegmentKey, NamedSegment] = field(default_factory=dict)
    segment_of: dict[ItemName, SegmentKey] = field(default_factory=dict)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    purges: dict[CatalogueId, list[bytes]] = field(default_factory=dict)
    erased_by: dict[SegmentKey, float] = field(default_factory=dict)  # virtual second
    # What a thief signed with a stolen key: the whole log, of which he only wrote the end.
    stolen: dict[LogId, PublishedLog] = field(default_factory=dict)
    stolen_segments: dict[SegmentKey, NamedSegment] = field(default_factory=dict)
    stolen_withdrawals: list[Withdrawal] = field(default_factory=list)
    snapshots: dict[LogId, int] = field(default_factory=dict)  # index of the newest one
    closings: dict[LogId, int] = field(default_factory=dict)  # how many entries still count

    def branches(self, log: LogId) -> list[PublishedLog]:
        """Return every history of a log that its key has signed."""
        return [found[log] for found in (self.logs, self.stolen) if log in found]

    def undisputed(self) -> dict[LogId, PublishedLog]:
        """Return the logs of which there is one history."""
        return {log: found for log, found in self.logs.items() if log not in self.stolen}

    def counts(self, log: LogId, index: int) -> bool:
        """Say whether an owner's entry counts: it is not closed, and some peer took it. The peer of
        a robbed owner refuses what he signs for a place that the thief has taken before.
        """
        if log in self.closings:
            return index < self.closings[log]
        return log not in self.stolen or index < self.logs[log].acknowledged_size

    def counts_stolen(self, log: LogId, index: int) -> bool:
        """Say whether a thief's entry counts: some peer took it, and no root has closed the log."""
        return log not in self.closings and index < self.stolen[log].acknowledged_size

    def counted_segments(self) -> list[SegmentKey]:
        owned = [(key, n) for key, n in self.segments.items() if self.counts(n.log, n.index)]
        stolen = self.stolen_segments.items()
        others = [(key, n) for key, n in stolen if self.counts_stolen(n.log, n.index)]
        return [key for key, _ in (*owned, *others)]

    def closed_withdrawals(self) -> list[Withdrawal]:
        """Return the withdrawals that a root has made void."""
        stolen = [w for w in self.stolen_withdrawals if w.log in self.closings]
        owned = [w for w in self.withdrawals if w.log in self.closings]
        return [*stolen, *(w for w in owned if not self.counts(w.log, w.index))]

    def closed_segments(self) -> list[SegmentKey]:
        """Return what a root has closed: nobody who knows the root shows any of it."""
        stolen = [k for k, place in self.stolen_segments.items() if place.log in self.closings]
        owned = [(k, place) for k, place in self.segments.items() if place.log in self.closings]
        return [*stolen, *(k for k, place in owned if not self.counts(place.log, place.index))]


def size_of(raw_head: bytes) -> int:
    """Return how many entries a signed head covers."""
    return int(cbor2.loads(cbor2.loads(raw_head)[0])[HEAD_SIZE])
