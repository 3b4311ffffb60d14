"""How many copies there are and should be of each extent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meshnode.core.placement.archive import Archive, Integers, Mask
from meshnode.core.placement.policy import PERMILLE
from meshnode.core.placement.volunteers import Volunteers


@dataclass(frozen=True)
class Balance:
    """Of E extents, in permille of a copy.

    Args:
        available: By volunteers and mirrors.
        targets: What to aim at.
        alone: The jurisdiction that all copies are in, where another would be better; else 0.
    """

    available: Integers
    targets: Integers
    alone: Integers

    @classmethod
    def of(cls, archive: Archive, volunteers: Volunteers) -> Balance:
        known = set(volunteers.jurisdictions.tolist()) - {0}
        alone = np.maximum(volunteers.only_jurisdiction, 0) * (len(known) > 1)
        available = volunteers.availability + archive.mirrors
        return cls(available, archive.targets(int(volunteers.capacities.sum())), alone)

    @cached_property
    def under(self) -> Mask:
        return self.available < self.targets

    @cached_property
    def in_want(self) -> Mask:
        """Of another copy: too few, or all in one jurisdiction."""
        return self.under | (self.alone > 0)

    @cached_property
    def rich(self) -> Mask:
        """One copy less, and still one of the others may turn out not to be there."""
        return self.available > self.targets + PERMILLE

    @cached_property
    def enough(self) -> Mask:
        """One copy less is still what was aimed at."""
        return self.available >= self.targets + PERMILLE

    def lacking(self, extents: Integers) -> Integers:
        """Return how many copies extents lack, in whole ones: at least one."""
        missing = (self.targets - self.available)[extents]
        return np.asarray(np.maximum(-(-missing // PERMILLE), 1), np.int64)

    def best_first(self, extents: Integers) -> Integers:
        """Return extents, those furthest above their targets first."""
        surplus: Integers = (self.available - self.targets)[extents]
        order: Integers = np.argsort(-surplus, kind="stable")
        return np.asarray(extents[order], np.int64)
