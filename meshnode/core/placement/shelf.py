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
        gone = set(self.dropped)
        best = self.balance.best_first(held[spare[held]]).tolist()
        return [extent for extent in reversed(best) if extent not in gone and self._may_go(extent)]

    def _may_go(self, extent: int) -> bool:
        """Say whether enough stays, even if all that think the same let theirs go, too."""
        holders = self.volunteers.holders(extent)
        target = int(self.balance.targets[extent])
        audited = int(self.volunteers.audited[extent]) * PERMILLE
        if audited <= target:
            return False
        excess = (min(int(self.balance.available[extent]), audited) - target) // PERMILLE
        return self._lower(extent, holders) < excess and not self._is_only_one_abroad(holders)

    def _lower(self, extent: int, holders: Integers) -> int:
        """Return how many holders have a lower score: they let go before."""
        theirs = scores(
            self.volunteers.words[holders],
            self.volunteers.capacities[holders],
            self.archive.words[extent : extent + 1],
        )
        mine = theirs[holders == self.me][0]
        return int(np.count_nonzero(theirs < mine))

    def _is_only_one_abroad(self, holders: Integers) -> bool:
        """Say whether all other copies are in one jurisdiction, and this one is not."""
        places = self.volunteers.jurisdictions
        others = set(places[holders[holders != self.me]].tolist()) - {0}
        return len(others) == 1 and int(places[self.me]) not in {0, *others}
