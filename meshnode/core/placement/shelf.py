"""What a volunteer holds while a plan is made: what fits, what makes room, what must stay."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from meshnode.core.placement.archive import Archive, Integers, Mask
from meshnode.core.placement.balance import Balance
from meshnode.core.placement.policy import PERMILLE
from meshnode.core.placement.scores import scores
from meshnode.core.placement.volunteers import Volunteers


@dataclass
class Shelf:
    """Extents of one node.

    Args:
        budget_bytes: What they may take in all.
    """

    archive: Archive
    volunteers: Volunteers
    balance: Balance
    me: int
    free_bytes: int
    fetched: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        archive: Archive,
        volunteers: Volunteers,
        balance: Balance,
        me: int,
        budget_bytes: int,
    ) -> Shelf:
        """Return the shelf without what may not be held, and what no longer fits."""
        held = volunteers.each[me].held
        shelf = cls(archive, volunteers, balance, me, budget_bytes - int(archive.sizes[held].sum()))
        kept = archive.kept[held]
        for extent in held[~kept].tolist():
            shelf._drop(extent)
        for extent in balance.best_first(held[kept]).tolist():
            if shelf.free_bytes >= 0:
                break
            shelf._drop(extent)
        return shelf

    @cached_property
    def rich(self) -> list[int]:
        """What may go although one of its other copies may be gone; the last goes first."""
        return self._spares(self.balance.rich)

    @cached_property
    def enough(self) -> list[int]:
        """What may go if another is hard pressed; the last goes first."""
        rich = set(self.rich)
        return [extent for extent in self._spares(self.balance.enough) if extent not in rich]

    def put(self, extent: int) -> bool:
        """Take an extent if there is room for it."""
        size = int(self.archive.sizes[extent])
        if size > self.free_bytes:
            return False
        self.fetched.append(extent)
        self.free_bytes -= size
        return True

    def swap(self, extent: int, *, hard_pressed: bool) -> bool:
        """Take an extent, and let go for it what others hold often enough."""
        while self.free_bytes < int(self.archive.sizes[extent]):
            if self.rich:
                self._drop(self.rich.pop())
            elif hard_pressed and self.enough:
                self._drop(self.enough.pop())
            else:
                return False
        return self.put(extent)

    def _drop(self, extent: int) -> None:
        self.dropped.append(extent)
        self.free_bytes += int(self.archive.sizes[extent])

    def _spares(self, spare: Mask) -> list[int]:
        """Return what this node may let go of that, the best protected last."""
        held = self.volunteers.each[self.me].held
        left = np.setdiff1d(held[spare[held]], np.array(self.dropped, np.int64))
        best = self.balance.best_first(left[self._may_go(left)])
        return [int(extent) for extent in best[::-1]]

    def _may_go(self, extents: Integers) -> Mask:
        """Say of each extent whether enough stays, even if all that think the same let theirs go:
        those with the lowest scores go first, and none that is the only one in its jurisdiction
        while all others are in another.
        """
        rows, holders = self.volunteers.copies_of(extents)
        audited = self.volunteers.audited[extents] * PERMILLE
        targets = self.balance.targets[extents]
        excess = (np.minimum(self.balance.available[extents], audited) - targets) // PERMILLE
        lower = self._lower(extents, rows, holders)
        enough = (audited > targets) & (lower < excess)
        return np.asarray(enough & ~self._only_ones_abroad(len(extents), rows, holders))

    def _lower(self, extents: Integers, rows: Integers, holders: Integers) -> Integers:
        """Return how many holders of each extent have a lower score."""
        words, capacities = self.volunteers.words[holders], self.volunteers.capacities[holders]
        theirs = scores(words, capacities, self.archive.words[extents[rows]])
        mine = np.zeros(len(extents), np.int64)
        own = holders == self.me
        mine[rows[own]] = theirs[own]
        return np.bincount(rows[theirs < mine[rows]], minlength=len(extents)).astype(np.int64)

    def _only_ones_abroad(self, count: int, rows: Integers, holders: Integers) -> Mask:
        """Say of which extents all other copies are in one jurisdiction, and this one is not."""
        places = self.volunteers.jurisdictions
        here = int(places[self.me])
        others = (holders != self.me) & (places[holders] > 0)
        least = np.full(count, np.iinfo(np.int64).max)
        most = np.zeros(count, np.int64)
        np.minimum.at(least, rows[others], places[holders[others]])
        np.maximum.at(most, rows[others], places[holders[others]])
        return np.asarray((here > 0) & (least == most) & (most != here))
