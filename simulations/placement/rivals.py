"""Other ways to choose what to hold, for comparison; and the best that can be had."""

from __future__ import annotations

import numpy as np

from meshnode.core.placement.archive import Archive, Integers
from meshnode.core.placement.planning import Plan, Situation
from meshnode.core.placement.scores import scores


def at_random(situation: Situation, chance: np.random.Generator) -> Plan:
    """Fill up with any extents that are not held yet."""
    others = np.flatnonzero(situation.open)
    return _fill(situation, chance.permutation(others))


def rarest_first(situation: Situation, _: np.random.Generator) -> Plan:
    """Fill up with the rarest extents, of equals the first: no word with the others."""
    others = np.flatnonzero(situation.open)
    order = np.argsort(situation.balance.available[others], kind="stable")
    return _fill(situation, others[order])


def rendezvous(situation: Situation, _: np.random.Generator) -> Plan:
    """Fill up by score alone: where this node is among the first so many as copies are wanted."""
    archive, volunteers = situation.archive, situation.volunteers
    others = np.flatnonzero(situation.open)
    words = archive.words[others]
    mine = scores(volunteers.words[[situation.me]], volunteers.capacities[[situation.me]], words)
    before = np.zeros(len(others), np.int64)
    for word, capacity in zip(volunteers.words, volunteers.capacities, strict=True):
        before += scores(np.array([word]), np.array([capacity]), words) > mine
    first = before < archive.wishes[others]
    return _fill(situation, others[first][np.argsort(-mine[first], kind="stable")])


def under(copies: Integers, target: int) -> float:
    """Return the share of extents with fewer copies than the target."""
    return float(np.mean(copies < target))


def best_under(archive: Archive, capacity: int, target: int) -> float:
    """Return the share below the target if all copies lay as evenly as can be."""
    copies, more = divmod(capacity, len(archive))
    if copies >= target:
        return 0.0
    return 1.0 if copies + 1 < target else 1 - more / len(archive)


def _fill(situation: Situation, extents: Integers) -> Plan:
    room = situation.shelf.free_bytes
    after = np.cumsum(situation.archive.sizes[extents])
    fitting = extents[after <= room][: situation.fetches_max]
    return Plan((), tuple(fitting.tolist()), situation.patience)
