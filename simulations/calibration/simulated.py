"""The simulated half: the scenario as it is, watched from where the real peers are watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meshnode.core.durable import ExtendLog
from meshnode.core.effects import Effect
from meshnode.core.events import Event, SegmentIndexed
from simulations.calibration.account import Account, Totals
from simulations.machine import Machine
from simulations.run import Simulation
from simulations.scenario import Scenario


@dataclass(slots=True)
class Witness:
    """Sees what a peer tells its operator: heads as they are decided on, segments as indexed."""

    account: Account = field(default_factory=Account)

    def handled(self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        now = machine.world.now
        for event in batch:
            if isinstance(event, SegmentIndexed):
                self.account.shown(now, machine.name, event.ref.key.digest.hex())
        for effect in effects:
            if isinstance(effect, ExtendLog):
                writer = effect.log.writer.hex()
                self.account.adopted(now, machine.name, writer, effect.heads[-1][0])


def simulate(scenario: Scenario, begin: float, end: float) -> tuple[Account, Totals]:
    """Run the scenario; return what was seen, and what was done between two virtual seconds."""
    witness = Witness()
    simulation = Simulation(scenario, scenario.seed, watchers=(witness,))
    noted: list[Totals] = []
    for second in (begin, end):
        simulation.world.at(second, lambda: noted.append(_totals(simulation)))
    outcome = simulation.run()
    assert outcome.faults == [], outcome.faults
    before, after = noted
    return witness.account, after.since(before)


def _totals(simulation: Simulation) -> Totals:
    members, network = simulation.gossip.members.values(), simulation.network
    return Totals(
        network.fate.bytes_sent + sum(map(network.upkeep_bytes, simulation.machines)),
        sum(member.delivered for member in members),
        sum(member.duplicates for member in members),
    )
