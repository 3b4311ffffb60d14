"""What was really published, written down by the publisher: the truth that checkers compare with.

Independent of the node: nothing here is decoded, verified or decided by the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshnode.core.events import LogId, SegmentKey
from meshnode.core.identifiers import CatalogueId, PeerId
from simulations.index import ItemName


@dataclass(slots=True)
class PublishedLog:
    """One writer's log as signed. `acknowledged` is the last seq that the home peer confirmed."""

    home: PeerId
    heads: list[bytes] = field(default_factory=list)  # seq 1 first
    entries: list[bytes] = field(default_factory=list)
    acknowledged: int = 0

    @property
    def seq(self) -> int:
        return len(self.heads)


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
    closings: dict[LogId, int] = field(default_factory=dict)  # how many entries still count

    def branches(self, log: LogId) -> list[PublishedLog]:
        """Return every history of a log that its key has signed."""
        return [found[log] for found in (self.logs, self.stolen) if log in found]

    def undisputed(self) -> dict[LogId, PublishedLog]:
        """Return the logs of which there is one history."""
        return {log: found for log, found in self.logs.items() if log not in self.stolen}

    def counts(self, log: LogId, index: int) -> bool:
        """Say whether every peer agrees that an owner's entry counts."""
        return log not in self.stolen or index < self.closings.get(log, 0)

    def counted_segments(self) -> list[SegmentKey]:
        return [key for key, named in self.segments.items() if self.counts(named.log, named.index)]

    def closed_withdrawals(self) -> list[Withdrawal]:
        """Return the withdrawals that a root has made void."""
        found = [*self.withdrawals, *self.stolen_withdrawals]
        return [w for w in found if w.log in self.closings and w.index >= self.closings[w.log]]

    def closed_segments(self) -> list[SegmentKey]:
        """Return what a root has closed: nobody who knows the root shows any of it."""
        named = self.segments | self.stolen_segments
        return [
            key
            for key, place in named.items()
            if place.log in self.closings and place.index >= self.closings[place.log]
        ]
