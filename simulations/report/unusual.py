"""Which peers are unlike the others: robustly, so that the odd ones do not hide themselves.

A peer is unusual in a figure if it lies more than five scaled median absolute deviations above the
median (Leys et al. 2013), where the scale makes the deviation equal sigma for normal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

DEVIATIONS: Final = 5.0
SIGMA: Final = 1.4826  # median absolute deviation to sigma
PEERS_MIN: Final = 8  # fewer have no usual behaviour
SHOWN_MAX: Final = 4  # in one figure, the most unusual


@dataclass(frozen=True, slots=True)
class Unusual:
    """One peer in one figure; `deviations` says how far out it is."""

    peer: str
    figure: str
    value: float
    usual: float
    deviations: float


def unusual(peers: Mapping[str, Mapping[str, float]]) -> list[Unusual]:
    """Return the peers that are far above the median, figure by figure, the farthest first."""
    figures = dict.fromkeys(name for ends in peers.values() for name in ends)
    return [each for figure in figures for each in _in(figure, peers)]


def _in(figure: str, peers: Mapping[str, Mapping[str, float]]) -> list[Unusual]:
    values = {peer: ends[figure] for peer, ends in peers.items() if figure in ends}
    if len(values) < PEERS_MIN:
        return []
    usual = median(values.values())
    spread = SIGMA * median(abs(value - usual) for value in values.values())
    if spread == 0:
        return []
    found = [
        Unusual(peer, figure, value, usual, (value - usual) / spread)
        for peer, value in values.items()
        if value - usual > DEVIATIONS * spread
    ]
    return sorted(found, key=lambda each: -each.deviations)[:SHOWN_MAX]
