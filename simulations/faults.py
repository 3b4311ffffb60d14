"""Carries out the fault timeline of a scenario, and counts what each fault really did.

A fault that nobody felt proves nothing, so a run is not a pass unless each one was felt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from meshnode.core.identifiers import PeerId
from simulations.machine import Machine
from simulations.network import Network
from simulations.scenario import Crash, Fault, Skew, Split
from simulations.swarm.gossip import Gossip
from simulations.world import World


@dataclass(slots=True)
class Felt:
    """What one fault did, in the unit that `what` names."""

    kind: str
    at_seconds: float
    what: str
    count: int = 0


class Faults:
    """Schedules every fault's begin and end."""

    def __init__(
        self,
        world: World,
        network: Network,
        gossip: Gossip,
        machines: dict[PeerId, Machine],
        publishers: Sequence[PeerId],
    ) -> None:
        self.felt: list[Felt] = []
        self._world = world
        self._network = network
        self._gossip = gossip
        self._machines = machines
        self._publishers = frozenset(publishers)
        self._rng = world.fork_rng()

    def schedule(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            match fault:
                case Split():
                    self._schedule_split(fault)
                case Crash():
                    self._schedule_crash(fault)
                case Skew():
                    self._schedule_skew(fault)
                case _:
                    assert_never(fault)

    def _schedule_split(self, fault: Split) -> None:
        felt = self._felt(fault, "messages cut")
        end = fault.at_seconds + fault.for_seconds
        self._world.at(fault.at_seconds, partial(self._split, fault, felt))
        self._world.at(end, partial(self._heal, felt))

    def _schedule_crash(self, fault: Crash) -> None:
        felt = self._felt(fault, "peers that lost power")
        for name in self._draw(fault):
            end = fault.at_seconds + fault.for_seconds
            self._world.at(fault.at_seconds, partial(self._crash, name, felt, end))

    def _schedule_skew(self, fault: Skew) -> None:
        felt = self._felt(fault, "clocks set wrong")
        for name in self._draw(fault):
            end = fault.at_seconds + fault.for_seconds
            begin = partial(self._set_clock, name, fault.offset_seconds, felt)
            self._world.at(fault.at_seconds, begin)
            self._world.at(end, partial(self._set_clock, name, 0, felt))

    def _felt(self, fault: Fault, what: str) -> Felt:
        felt = Felt(fault.kind, fault.at_seconds, what)
        self.felt.append(felt)
        return felt

    def _draw(self, fault: Crash | Skew) -> list[PeerId]:
        named = fault.who == "publishers"
        names = [
            name
            for name in self._machines
            if fault.who == "any" or (name in self._publishers) is named
        ]
        return self._rng.sample(names, min(len(names), max(1, round(fault.share * len(names)))))

    def _split(self, fault: Split, felt: Felt) -> None:
        felt.count = -self._network.fate.cut
        self._network.split({name: i % fault.sides for i, name in enumerate(self._machines)})

    def _heal(self, felt: Felt) -> None:
        felt.count += self._network.fate.cut
        self._network.heal()

    def _crash(self, name: PeerId, felt: Felt, until: float) -> None:
        machine = self._machines[name]
        if not machine.running:
            return
        felt.count += 1
        machine.crash()
        self._network.power_off(name)
        self._gossip.restarted(name)
        self._world.at(until, partial(self._restart, name))

    def _restart(self, name: PeerId) -> None:
        self._machines[name].restart()
        self._network.power_on(name)

    def _set_clock(self, name: PeerId, offset_seconds: int, felt: Felt) -> None:
        self._machines[name].clock_offset_seconds = offset_seconds
        felt.count += offset_seconds != 0
