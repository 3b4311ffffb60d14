"""The figures of both worlds side by side, and whether they agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from meshnode.errors import UsageError, first_of
from simulations import overrides
from simulations.calibration.account import Figures, figures
from simulations.calibration.real import perform
from simulations.calibration.simulated import simulate
from simulations.scenario import Scenario
from simulations.timeline import Split
from simulations.workload import COLLECTION_BYTES

AGREES_WITHIN = 1.5  # times as much, or as little
# After the last publication was due: a command takes seconds where peers share processors.
AFTERWARDS_SECONDS = 50.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scenario in two worlds."""

    nodes: int
    seed: int
    real: Figures
    simulated: Figures

    def ratios(self) -> dict[str, float]:
        """Return each figure as real over simulated."""
        simulated = asdict(self.simulated)
        return {
            name: value / simulated[name] if simulated[name] else float("inf")
            for name, value in asdict(self.real).items()
        }

    def disagreements(self) -> list[str]:
        """Return the figures that are not within AGREES_WITHIN of each other."""
        bounds = (1 / AGREES_WITHIN, AGREES_WITHIN)
        ratios = self.ratios().items()
        return [name for name, ratio in ratios if not bounds[0] <= ratio <= bounds[1]]


def calibrate(scenario: Scenario, directory: Path) -> Comparison:
    """Play a scenario with real peers, whose homes are made in `directory`, and simulate it.

    Raises:
        UsageError: the scenario has what real peers on one machine are not put through.
        MeshnodeError: a peer or a command failed.
    """
    cut = _cut_of(scenario)
    begin = scenario.workload.start_seconds
    end = scenario.quiet_from_seconds + AFTERWARDS_SECONDS
    try:
        seen, totals, object_bytes = trio.run(perform, scenario, begin, end, directory)
    except BaseExceptionGroup as group:
        raise first_of(group) from group
    real = figures(seen, totals, scenario.nodes, cut, object_bytes)
    published = len(seen.segments)
    segment_bytes = round(object_bytes / published)
    same = overrides.apply(scenario, {"workload.segment_bytes": segment_bytes})
    seen, totals = simulate(same, begin, end)
    object_bytes = published * segment_bytes + scenario.workload.institutions * COLLECTION_BYTES
    simulated = figures(seen, totals, scenario.nodes, cut, object_bytes)
    return Comparison(scenario.nodes, scenario.seed, real, simulated)


def _cut_of(scenario: Scenario) -> tuple[float, float]:
    """Return the seconds of the only fault, a split into two halves."""
    match scenario.faults:
        case (Split(shape="apart", sides=2) as split,) if _is_plain(scenario):
            return split.at_seconds, split.until_seconds
        case _:
            raise UsageError(
                f"real peers cannot play {scenario.name}: one split into halves, one writer an "
                "institution, no loss, no adversaries and no payloads are what they can",
                hint="meshsim scenario show calibration",
            )


def _is_plain(scenario: Scenario) -> bool:
    extras = scenario.adversaries or scenario.payloads.count or scenario.workload.withdraw_every
    return not extras and not scenario.links.loss and scenario.workload.writers_each == 1
