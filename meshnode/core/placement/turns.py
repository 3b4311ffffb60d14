"""Whose turn it is to fetch an extent: the rank of a node by score among those that could."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from meshnode.core.placement.archive import Archive, Integers, Mask
from meshnode.core.placement.scores import SCORE_BITS, scores
from meshnode.core.placement.volunteers import Volunteers

CHUNK: Final = 256  # extents ranked at once
# Who must expect so many better ones does not count them: the chance that it is its turn after all
# is below one in a hundred million.
EXPECTED_FACTOR: Final = 2
EXPECTED_MORE: Final = 20


@dataclass(frozen=True)
class Turns:
    """Those that could fetch: with room or something that they can spare, and believed.

    Args:
        could: Which of N volunteers that is.
    """

    archive: Archive
    volunteers: Volunteers
    me: int
    could: Mask

    @classmethod
    def of(cls, archive: Archive, volunteers: Volunteers, me: int, spare: Mask) -> Turns:
        """Return the turns where these of the E extents can do without a copy."""
        extents, holders = volunteers.copies
        spares = np.bincount(holders[spare[extents]], minlength=len(volunteers.each)) > 0
        could = (volunteers.has_room | spares) & (volunteers.weights > 0)
        return cls(archive, volunteers, me, could)

    def mine(
        self, extents: Integers, gates: Integers, order: Integers, outside: Integers
    ) -> Iterator[int]:
        """Yield the extents for which fewer than `gates` others come first.

        Args:
            extents: K places.
            gates: How many may fetch each.
            order: The smallest is looked at first; of equals, the one with this node's best score.
            outside: The jurisdiction in which nobody is asked for a copy of each; 0: all are.
        """
        mine = self._my_scores(extents)
        likely = mine >= self._least_scores(gates)
        extents, gates, mine = extents[likely], gates[likely], mine[likely]
        by_order = np.lexsort((-mine, order[likely]))
        outside = outside[likely]
        for start in range(0, len(by_order), CHUNK):
            chunk = by_order[start : start + CHUNK]
            before = self._before_me(extents[chunk], mine[chunk], outside[chunk])
            yield from extents[chunk[before < gates[chunk]]].tolist()

    def _my_scores(self, extents: Integers) -> Integers:
        one = slice(self.me, self.me + 1)
        volunteers = self.volunteers
        return scores(
            volunteers.words[one], volunteers.capacities[one], self.archive.words[extents]
        )

    def _least_scores(self, gates: Integers) -> Integers:
        """Return the score below which so many better ones are to be expected that it is no turn.

        A volunteer of capacity c has a score above s with a chance of 1 - 2^(-c/s), which is at
        least half the smaller of c/s and 1.
        """
        capacities = self.volunteers.capacities[self.could] << SCORE_BITS
        different, which = np.unique(gates, return_inverse=True)
        least = [
            _least(capacities, EXPECTED_FACTOR * gate + EXPECTED_MORE)
            for gate in different.tolist()
        ]
        return np.array(least, np.int64)[which]

    def _before_me(self, extents: Integers, mine: Integers, outside: Integers) -> Integers:
        """Return how many others that could, and whose copy would count, have a better score."""
        volunteers, me = self.volunteers, self.me
        words = self.archive.words[extents][:, None]
        theirs = scores(volunteers.words[None, :], volunteers.capacities[None, :], words)
        better = theirs > mine[:, None]
        better |= (theirs == mine[:, None]) & (volunteers.words > volunteers.words[me])[None, :]
        asked = self.could[None, :] & ~volunteers.taken(extents)
        inside = volunteers.jurisdictions[None, :] == outside[:, None]
        unknown = volunteers.jurisdictions[None, :] == 0
        asked &= (outside[:, None] == 0) | ~(inside | unknown)
        return np.asarray(np.count_nonzero(better & asked, axis=1), np.int64)


def _least(capacities: Integers, expected: int) -> int:
    """Return the smallest score above which no more than `expected` others are sure to be."""
    low, high = 0, int(capacities.sum()) + 1
    while high - low > 1 + (high >> 10):
        score = (low + high) // 2
        if int(np.minimum(capacities, score).sum()) > 2 * expected * score:
            low = score
        else:
            high = score
    return low
