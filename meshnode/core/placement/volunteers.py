"""What a node knows of those that hold extents, itself among them, and what their copies count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from meshnode.core.placement.archive import Integers, Mask
from meshnode.core.placement.policy import PERMILLE
from meshnode.core.placement.scores import Words, volunteer_word

CLAIM_SECONDS: Final = 36 * 3600  # how old a holding may be
AUDITED_SECONDS: Final = 14 * 86_400  # how long an audit that was passed speaks for its holder
UNAUDITED_PERMILLE: Final = 500
UNREACHABLE_PERMILLE: Final = 250


@dataclass(frozen=True, slots=True)
class Volunteer:
    """One holder.

    Args:
        key_digest: SHA-256 of its public key.
        capacity: What it gives, in extents of 1 GiB.
        free: How much of that is left.
        weight: What a copy at its place counts, in permille (`copy_permille`).
        audited: Whether it passed an audit of late.
        reachable: Whether it can be dialled, as seen from outside.
        operator: Who runs it, or None.
        prefixes: Networks it is seen in, /24 or /48, as bytes.
        jurisdiction: ISO 3166-1 alpha-2, or None.
        held: Places of its extents in the archive; each once.
    """

    key_digest: bytes
    capacity: int
    free: int
    weight: int
    held: Integers
    audited: bool = False
    reachable: bool = True
    operator: str | None = None
    prefixes: frozenset[bytes] = frozenset()
    jurisdiction: str | None = None


@dataclass(frozen=True)
class Volunteers:
    """N volunteers whose holding is young enough, and how many copies of E extents they make."""

    each: Sequence[Volunteer]
    extents: int

    @cached_property
    def words(self) -> Words:
        return np.array([volunteer_word(one.key_digest) for one in self.each], np.uint64)

    @cached_property
    def capacities(self) -> Integers:
        return np.array([one.capacity for one in self.each], np.int64)

    @cached_property
    def has_room(self) -> Mask:
        return np.array([one.free > 0 for one in self.each], np.bool_)

    @cached_property
    def weights(self) -> Integers:
        return np.array([one.weight for one in self.each], np.int64)

    @cached_property
    def copies(self) -> tuple[Integers, Integers]:
        """(extent, volunteer) of each copy."""
        counts = [len(one.held) for one in self.each]
        held = [one.held for one in self.each] or [np.zeros(0, np.int64)]
        return np.concatenate(held), np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def availability(self) -> Integers:
        """Copies of each extent, in permille; of one operator or network only the best counts.

        Copies that cannot be reached are less than one copy, however many there are.
        """
        reachable = np.array([one.reachable for one in self.each], np.bool_)
        return self._best(reachable) + np.minimum(self._best(~reachable), PERMILLE - 1)

    def _best(self, chosen: Mask) -> Integers:
        """Return the permille of the chosen volunteers' copies, of each group the best one's."""
        extents, holders = self.copies
        those = chosen[holders]
        extents, holders = extents[those], holders[those]
        weights, groups = self.weights[holders], self.groups[holders]
        alone = np.bincount(self.groups, minlength=1)[groups] == 1
        counted = _sums(extents[alone], weights[alone], self.extents)
        extents, groups, weights = extents[~alone], groups[~alone], weights[~alone]
        order = np.lexsort((weights, groups, extents))
        extents, groups, weights = extents[order], groups[order], weights[order]
        last = np.ones(len(order), np.bool_)
        last[:-1] = (extents[1:] != extents[:-1]) | (groups[1:] != groups[:-1])
        return counted + _sums(extents[last], weights[last], self.extents)

    @cached_property
    def counts(self) -> Integers:
        """Copies of each extent, whatever they count."""
        return _counts(self.copies[0], self.extents)

    @cached_property
    def audited(self) -> Integers:
        """Copies of each extent at volunteers that passed an audit."""
        extents, holders = self.copies
        passed = np.array([one.audited for one in self.each], np.bool_)[holders]
        return _counts(extents[passed], self.extents)

    def copies_of(self, extents: Integers) -> tuple[Integers, Integers]:
        """Return (row, volunteer) of each copy of K extents, whose rows are 0 to K - 1."""
        rows = np.full(self.extents, -1, np.int64)
        rows[extents] = np.arange(len(extents))
        copied, holders = self.copies
        at = rows[copied]
        here = at >= 0
        return at[here], holders[here]

    def taken(self, extents: Integers) -> Mask:
        """Return, for each of K extents and N volunteers, whether one of its group holds it."""
        rows, holders = self.copies_of(extents)
        held = np.zeros((len(extents), len(self.each)), np.bool_)
        held[rows, self.groups[holders]] = True
        return held[:, self.groups]

    @cached_property
    def groups(self) -> Integers:
        """The group of each volunteer: those that share an operator or a network, one by one."""
        groups = _Groups(len(self.each))
        first: dict[object, int] = {}
        for place, one in enumerate(self.each):
            names: list[object] = [*one.prefixes]
            if one.operator is not None:
                names.append(one.operator)
            for name in names:
                groups.join(first.setdefault(name, place), place)
        return np.array([groups.root(place) for place in range(len(self.each))], np.int64)

    @cached_property
    def jurisdictions(self) -> Integers:
        """The jurisdiction of each volunteer as a number from 1; 0 is unknown."""
        known = sorted({one.jurisdiction for one in self.each if one.jurisdiction is not None})
        numbers = {name: place + 1 for place, name in enumerate(known)}
        return np.array([numbers.get(one.jurisdiction or "", 0) for one in self.each], np.int64)

    @cached_property
    def only_jurisdiction(self) -> Integers:
        """Of each extent: the jurisdiction that all its copies are in, -1 if more, 0 if unknown."""
        extents, holders = self.copies
        places = self.jurisdictions[holders]
        known = places > 0
        extents, places = extents[known], places[known]
        least = np.full(self.extents, np.iinfo(np.int64).max)
        most = np.zeros(self.extents, np.int64)
        np.minimum.at(least, extents, places)
        np.maximum.at(most, extents, places)
        return np.where(most == 0, 0, np.where(least == most, most, -1))


def copy_permille(
    uptime_permille: int, *, audited_seconds: int | None, failed: bool, reachable: bool
) -> int:
    """Return what a copy counts: by uptime, by an audit that was passed, by being reachable.

    Args:
        uptime_permille: How much of its time it says that it is up.
        audited_seconds: Since an audit of this holder was last passed; None if never.
        failed: Whether it failed one since.
        reachable: Whether it can be dialled, as seen from outside.
    """
    if failed:
        return 0
    weight = min(uptime_permille, PERMILLE)
    if audited_seconds is None or audited_seconds > AUDITED_SECONDS:
        weight = weight * UNAUDITED_PERMILLE // PERMILLE
    return weight if reachable else weight * UNREACHABLE_PERMILLE // PERMILLE


def _counts(places: Integers, length: int) -> Integers:
    return np.bincount(places, minlength=length).astype(np.int64)


def _sums(places: Integers, values: Integers, length: int) -> Integers:
    """Return the sum of the values at each place (exact: far below 2^53)."""
    return np.bincount(places, values, minlength=length).astype(np.int64)


class _Groups:
    """Which places belong together (union-find)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, place: int) -> int:
        while (above := self._above[place]) != place:
            self._above[place] = self._above[above]
            place = above
        return place

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._above[high] = low
