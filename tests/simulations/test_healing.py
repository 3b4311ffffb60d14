"""Two halves that one link joins heal within seconds, since who caught up tells the others."""

from __future__ import annotations

import pytest

from simulations import scenario
from simulations.overrides import apply
from simulations.recording import Delays
from simulations.run import Simulation

MEDIAN_SECONDS_MAX = 8.0
LONGEST_SECONDS_MAX = 25.0
SEEDS = range(1, 21)


def heal(*seeds: int, reannounces: bool = True) -> Delays:
    """Return after which seconds peers had what they lacked, those of all runs together."""
    chosen = apply(scenario.load("one-link"), {"habits.reannounces": reannounces})
    seconds: list[float] = []
    for seed in seeds:
        simulation = Simulation(chosen, seed)
        assert simulation.run().faults == []
        seconds += simulation.healing.seconds
    delays = Delays.of(seconds)
    assert delays.count == len(seeds) * chosen.nodes  # each lacked what the other side published
    return delays


@pytest.mark.slow
def test_48_peers_agree_soon_after_their_only_link_is_back() -> None:
    delays = heal(*SEEDS)

    assert delays.median <= MEDIAN_SECONDS_MAX
    assert delays.longest <= LONGEST_SECONDS_MAX


@pytest.mark.slow
def test_without_announcing_again_they_wait_for_one_poll_after_the_other() -> None:
    delays = heal(*SEEDS[:2], reannounces=False)

    assert delays.median > MEDIAN_SECONDS_MAX
    assert delays.longest > LONGEST_SECONDS_MAX


def test_two_halves_are_linked_as_often_as_the_scenario_says() -> None:
    simulation = Simulation(scenario.load("one-link"), 1)
    names = list(simulation.machines)
    crossing = [
        (a, b) for a, b, _ in simulation.network.links() if names.index(a) % 2 != names.index(b) % 2
    ]

    assert len(crossing) == 1
