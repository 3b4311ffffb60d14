"""What a volunteer fetches and drops next (protocol/06-payloads.md, P-43 to P-48).

Rarest first, but only by those whose turn it is by score: without that gate, all who share a stale
view fetch the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from meshnode.core.placement.archive import Archive, Integers, Mask
from meshnode.core.placement.balance import Balance
from meshnode.core.placement.patience import Patience
from meshnode.core.placement.policy import PERMILLE
from meshnode.core.placement.shelf import Shelf
from meshnode.core.placement.turns import Turns
from meshnode.core.placement.volunteers import Volunteers

GATE_OF_THE_REST: Final = 2  # so many of the first fetch what nobody misses


@dataclass(frozen=True, slots=True)
class Plan:
    """Extents to drop, then extents to fetch, the most urgent first."""

    drop: tuple[int, ...]
    fetch: tuple[int, ...]
    patience: Patience


@dataclass(frozen=True)
class Situation:
    """What one plan is made from.

    Args:
        balance: Of the archive and the volunteers.
        me: This node's place among the volunteers; `volunteers.each[me].held` is what it holds.
        budget_bytes: What it may hold in all.
        fetches_max: How many extents it may begin to fetch now.
        patience: Of its plan before.
    """

    archive: Archive
    volunteers: Volunteers
    balance: Balance
    me: int
    budget_bytes: int
    fetches_max: int
    patience: Patience
    now_seconds: int

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf.of(self.archive, self.volunteers, self.balance, self.me, self.budget_bytes)

    @cached_property
    def turns(self) -> Turns:
        return Turns.of(self.archive, self.volunteers, self.me, self.balance.enough)

    @cached_property
    def open(self) -> Mask:
        """What this node could fetch: none of its group holds it."""
        open_ = self.archive.wanted.copy()
        same = self.volunteers.groups == self.volunteers.groups[self.me]
        for place in np.flatnonzero(same).tolist():
            open_[self.volunteers.each[place].held] = False
        return open_


def plan(situation: Situation) -> Plan:
    """Return what to drop and fetch now, and what to remember until the next plan."""
    shelf, now, most = situation.shelf, situation.now_seconds, situation.fetches_max
    patience = situation.patience.seen(situation.balance.in_want, now)
    for extent, hard_pressed in _in_want(situation, patience.streaks(now)):
        if len(shelf.fetched) >= most or not shelf.swap(extent, hard_pressed=hard_pressed):
            break
    for extent in _the_rest(situation):
        if len(shelf.fetched) >= most or not shelf.put(extent):
            break
    return Plan(tuple(shelf.dropped), tuple(shelf.fetched), patience)


def _in_want(situation: Situation, streaks: Integers) -> Iterator[tuple[int, bool]]:
    """Yield extents that are too few, or too close together, the rarest first; and whether one must
    make room for it.
    """
    balance, policy, shelf = situation.balance, situation.archive.policy, situation.shelf
    here = int(situation.volunteers.jurisdictions[situation.me])
    abroad = (balance.alone > 0) & (balance.alone != here) & (here > 0)
    lost = (balance.available < PERMILLE) | (situation.volunteers.counts == 0)
    at_ease = shelf.free_bytes > 0 or bool(shelf.rich)
    begins = policy.patience if at_ease else policy.hard_pressed
    rounds = np.where(lost, np.maximum(streaks - begins + 1, 1), streaks - begins + 1)
    extents = np.flatnonzero(
        situation.open & (balance.under | abroad) & (streaks > 0) & (rounds > 0)
    )
    hard_pressed = lost | (streaks >= policy.hard_pressed)
    for extent in situation.turns.mine(
        extents,
        balance.lacking(extents) * rounds[extents],
        balance.available[extents],
        np.where(balance.under, 0, balance.alone)[extents],
    ):
        yield extent, bool(hard_pressed[extent])


def _the_rest(situation: Situation) -> Iterator[int]:
    """Yield all others, those with the smallest part of their target first, then by demand."""
    balance, shelf = situation.balance, situation.shelf
    if shelf.free_bytes < int(situation.archive.sizes.min(initial=1)):
        return
    others = situation.open.copy()
    others[shelf.fetched] = False
    extents = np.flatnonzero(others)
    parts = (balance.available * PERMILLE // balance.targets)[extents]
    demand = situation.archive.demand[extents]
    order = parts * (1 + int(demand.max(initial=0))) - demand
    gates = np.full(len(extents), GATE_OF_THE_REST)
    yield from situation.turns.mine(extents, gates, order, np.zeros_like(extents))
