"""N-95: peers among censors catch up within one poll of each connection, since polls take turns."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from meshnode.core.identifiers import PeerId
from meshnode.core.syncing import Sync
from simulations.run import Simulation
from tests.simulations.worlds import SURROUNDED

SEEDS = range(1, 6)


def draw_anew(sync: Sync, peers: Sequence[PeerId]) -> PeerId:
    """Poll whoever chance names, though it was the one before."""
    return sync.rng.choice(peers)


def seeds_that_settle() -> list[int]:
    """Return with which seeds all twelve peers have everything in time."""
    simulations = [Simulation(SURROUNDED, seed) for seed in SEEDS]
    outcomes = [simulation.run() for simulation in simulations]
    assert [outcome.faults for outcome in outcomes] == [[]] * len(SEEDS)
    pairs = zip(SEEDS, outcomes, strict=True)
    return [seed for seed, outcome in pairs if outcome.settled_seconds is not None]


@pytest.mark.slow
def test_each_of_eleven_connections_is_polled_within_eleven_polls() -> None:
    assert seeds_that_settle() == list(SEEDS)


@pytest.mark.slow
def test_drawn_anew_each_time_the_same_censors_are_polled_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sync, "_next_polled", draw_anew)

    assert seeds_that_settle() != list(SEEDS)
