"""The live segments of a catalogue by rank, of which the first count (L-93)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from meshnode.core.identifiers import Digest, Kid
from meshnode.core.limits import LIVE_SEGMENTS_MAX

Rank = tuple[int, Kid, Digest]  # clock, writer, SHA-256 of the entry: the greatest counts
SegmentName = tuple[str, Digest]  # collection, digest


@dataclass(slots=True)
class LiveSegments:
    """Invariant: sorted by rank, of which each has one name. Those from index LIVE_SEGMENTS_MAX on
    find no room.
    """

    # Side by side, not as pairs: a catalogue has tens of thousands of these.
    _ranks: list[Rank] = field(default_factory=list)
    _names: list[SegmentName] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many count."""
        return min(len(self._ranks), LIVE_SEGMENTS_MAX)

    @property
    def excess(self) -> int:
        """How many are live and do not count."""
        return max(0, len(self._ranks) - LIVE_SEGMENTS_MAX)

    def have_room(self, rank: Rank) -> bool:
        """Say whether the live segment of this rank counts."""
        return len(self._ranks) <= LIVE_SEGMENTS_MAX or rank < self._ranks[LIVE_SEGMENTS_MAX]

    def change(
        self, name: SegmentName, before: Rank | None, after: Rank | None
    ) -> tuple[SegmentName, ...]:
        """Take a segment's new rank, None where it is not live; return the others for which there
        is room now, or no more.
        """
        if before == after:
            return ()
        first_out = self._first_out()
        if before is not None:
            place = bisect_left(self._ranks, before)
            del self._ranks[place], self._names[place]
        if after is not None:
            self._insert(after, name)
        if first_out is None and not self.excess:
            return ()
        moved = (first_out, self._first_out())
        # A segment that comes in was the first out before; one that goes out is that now.
        return tuple(each for each in dict.fromkeys(moved) if each is not None)

    def _insert(self, rank: Rank, name: SegmentName) -> None:
        is_last = not self._ranks or self._ranks[-1] < rank  # as a log is read: clocks rise
        place = len(self._ranks) if is_last else bisect_left(self._ranks, rank)
        self._ranks.insert(place, rank)
        self._names.insert(place, name)

    def _first_out(self) -> SegmentName | None:
        return self._names[LIVE_SEGMENTS_MAX] if self.excess else None
