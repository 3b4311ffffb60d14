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

    roots: dict[CatalogueId, bytes] = field(default_factory=dict)
    logs: dict[LogId, PublishedLog] = field(default_factory=dict)
    segments: dict[SegmentKey, NamedSegment] = field(default_factory=dict)
    segment_of: dict[ItemName, SegmentKey] = field(default_factory=dict)
    withdrawals: list[Withdrawal] = field(default_factory=list)
