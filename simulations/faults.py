"""Carries out the fault timeline of a scenario, and counts what each fault really did.

A fault that nobody felt proves nothing, so a run is not a pass unless each one was felt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

from meshnode.core.events import ObjectLost
from meshnode.core.identifiers import PeerId
from simulations.cuts import Apart, Cut, OneWay, Ring
from simulations.invariants import Newcomer
from simulations.machine import TRUE_CLOCK, Clock, Machine
from simulations.network import Network
from simulations.swarm.gossip import Gossip
from simulations.swarm.payloads import Swarm
from simulations.theft import Thief
from simulations.timeline import (
    BitRot,
    Churn,
    Crash,
    DiskFull,
    Fault,
    Join,
    MirrorOutage,
    Pause,
    Skew,
    SlowDisk,
    Split,
    Struck,
    Theft,
    Withdraw,
)
from simulations.withdrawals import Eraser
from simulations.workload import RETRY_SECONDS, Institutions
from simulations.world import World


@dataclass(slots=True)
class Felt:
    """What one fault did, in the unit that `what` names. No peers: it struck the whole mesh."""

    kind: str
    at_seconds: float
    until_seconds: float
    what: str
    count: int = 0
    peers: tuple[PeerId, ...] = ()


@dataclass(slots=True)
class Faults:
    """Schedules every fault's begin and end."""

    world: World
    network: Network
    gossip: Gossip
    swarm: Swarm
    institutions: Institutions
    machines: dict[PeerId, Machine]
    publishers: Sequence[PeerId]
    newcomers: Sequence[PeerId]  # in the order in which they join
    healed: Callable[[], None] = lambda: None  # told of each split that is over
    felt: list[Felt] = field(default_factory=list)
    joined: list[Newcomer] = field(default_factory=list)
    _rng: random.Random = field(init=False)
    _to_join: Iterator[PeerId] = field(init=False)

    def __post_init__(self) -> None:
        self._rng = self.world.fork_rng()
        self._to_join = iter(self.newcomers)

    def schedule(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            match fault:
                case Split():
                    self._schedule_split(fault)
                case Join():
                    self._schedule_join(fault)
                case MirrorOutage():
                    self._schedule_outage(fault)
                case Theft():
                    self._schedule_theft(fault)
                case Withdraw():
                    self._schedule_withdrawal(fault)
                case _:
                    self._schedule_struck(fault)

    def is_calm(self, begin: float, end: float) -> bool:
        """Say whether no fault was at work at any second from begin to end."""
        return all(felt.until_seconds <= begin or felt.at_seconds >= end for felt in self.felt)

    # --- The mesh ---------------------------------------------------------------------------------
    def _schedule_split(self, fault: Split) -> None:
        felt = self._note(fault, "messages cut")
        self.world.at(fault.at_seconds, partial(self._split, fault, felt))
        self.world.at(fault.until_seconds, partial(self._heal, felt))

    def _schedule_join(self, fault: Join) -> None:
        names = [next(self._to_join) for _ in range(fault.count)]
        felt = self._note(fault, "peers joined", names)
        for name in names:
            self.world.at(fault.at_seconds, partial(self._join, name, felt))

    def _schedule_outage(self, fault: MirrorOutage) -> None:
        felt = self._note(fault, "requests that no mirror answered")
        self.world.at(fault.at_seconds, partial(self._fail_mirrors, felt))
        self.world.at(fault.until_seconds, partial(self._repair_mirrors, felt))

    def _schedule_theft(self, fault: Theft) -> None:
        others = [name for name in self._present() if name not in self.publishers]
        thief = self._rng.choice(others)
        felt = self._note(fault, "heads signed with a stolen key", [thief])
        self.world.at(fault.at_seconds, partial(self._steal, fault, felt, thief))

    def _steal(self, fault: Theft, felt: Felt, thief: PeerId) -> None:
        hand = Thief(self.world, self.institutions, self.institutions.publishers[0])
        felt.count += hand.steal(self.machines[thief], fault.heads)
        if fault.closes and felt.count:
            self.world.at(fault.until_seconds, hand.close)

    def _schedule_withdrawal(self, fault: Withdraw) -> None:
        felt = self._note(fault, "items withdrawn")
        self.world.at(fault.at_seconds, partial(self._withdraw, fault, felt))

    def _withdraw(self, fault: Withdraw, felt: Felt) -> None:
        felt.count = Eraser(
            self.world, self.institutions, self.institutions.publishers[0]
        ).withdraw(fault)
        if not felt.count and self.world.now < fault.until_seconds:
            self.world.after(RETRY_SECONDS, partial(self._withdraw, fault, felt))

    def _split(self, fault: Split, felt: Felt) -> None:
        felt.count = -self.network.fate.cut
        self.network.split(cut_of(fault, tuple(self.machines)))

    def _heal(self, felt: Felt) -> None:
        felt.count += self.network.fate.cut
        self.network.heal()
        self.healed()

    def _join(self, name: PeerId, felt: Felt) -> None:
        """Come with an empty disk, follow all, and want the first payload, if there is one."""
        felt.count += 1
        machine, seconds = self.machines[name], felt.until_seconds - felt.at_seconds
        ledger = self.institutions.ledger
        confirmed = {log: found.acknowledged for log, found in ledger.undisputed().items()}
        self.joined.append(Newcomer(machine, self.world.now, seconds, confirmed))
        self._restart(name)
        self.institutions.follow([machine])
        if self.swarm.model.count:
            self.swarm.download(machine, 0)

    def _fail_mirrors(self, felt: Felt) -> None:
        felt.count = -self.swarm.mirror_failures
        self.swarm.mirrors_up = False

    def _repair_mirrors(self, felt: Felt) -> None:
        felt.count += self.swarm.mirror_failures
        self.swarm.mirrors_up = True

    # --- Single peers -----------------------------------------------------------------------------
    def _schedule_struck(
        self, fault: Crash | Churn | Pause | Skew | DiskFull | SlowDisk | BitRot
    ) -> None:
        names = self._draw(fault)
        felt = self._note(fault, _WHAT[type(fault)], names)
        for name in names:
            self.world.at(fault.at_seconds, partial(self._strike, fault, felt, name))
            self.world.at(fault.until_seconds, partial(self._release, fault, name))

    def _strike(
        self,
        fault: Crash | Churn | Pause | Skew | DiskFull | SlowDisk | BitRot,
        felt: Felt,
        name: PeerId,
    ) -> None:
        machine = self.machines[name]
        match fault:
            case Crash():
                felt.count += self._crash(name)
            case Churn():
                self._come_and_go(fault, felt, name)
            case Pause():
                felt.count += machine.running
                machine.pause()
                self.network.freeze(name, frozen=True)
            case Skew():
                felt.count += 1
                machine.clock = Clock(fault.offset_seconds, fault.drift_ppm, self.world.now)
            case DiskFull():
                felt.count += 1
                machine.disk.refuses = "no space left on the device"
            case SlowDisk():
                felt.count += 1
                machine.fsync_seconds *= fault.factor
            case BitRot():
                felt.count += self._rot(machine, fault.objects)
            case _:
                assert_never(fault)

    def _release(
        self, fault: Crash | Churn | Pause | Skew | DiskFull | SlowDisk | BitRot, name: PeerId
    ) -> None:
        machine = self.machines[name]
        match fault:
            case Crash() | Churn():
                self._restart(name)
            case Pause():
                self.network.freeze(name, frozen=False)
                machine.resume()
            case Skew():
                machine.clock = TRUE_CLOCK
            case DiskFull():
                machine.disk.refuses = ""
                self._crash(name)
                self._restart(name)
            case SlowDisk():
                machine.fsync_seconds /= fault.factor
            case BitRot():
                scrub(machine)
            case _:
                assert_never(fault)

    def _crash(self, name: PeerId) -> bool:
        """Lose power; the batch under way is torn, or was written whole, by chance."""
        machine = self.machines[name]
        if not machine.running:
            return False
        machine.crash(written=self._rng.random() < 0.5)
        self.network.power_off(name)
        self.gossip.restarted(name)
        return True

    def _restart(self, name: PeerId) -> None:
        if not self.machines[name].running:
            self.machines[name].restart()
            self.network.power_on(name)

    def _come_and_go(self, fault: Churn, felt: Felt, name: PeerId) -> None:
        """Be away, then here, then away again, until the fault is over."""
        if self.world.now >= fault.until_seconds:
            return
        felt.count += self._crash(name)
        back = self.world.now + self._rng.expovariate(1 / fault.down_seconds_mean)
        away = back + self._rng.expovariate(1 / fault.up_seconds_mean)
        if back < fault.until_seconds:
            self.world.at(back, partial(self._restart, name))
            self.world.at(away, partial(self._come_and_go, fault, felt, name))

    def _rot(self, machine: Machine, share: float) -> int:
        held = list(machine.disk.objects)
        rotten = self._rng.sample(held, round(share * len(held)))
        machine.disk.rotten |= frozenset(rotten)
        return len(rotten)

    # --- Who, and what it did ---------------------------------------------------------------------
    def _note(self, fault: Fault, what: str, peers: Sequence[PeerId] = ()) -> Felt:
        felt = Felt(fault.kind, fault.at_seconds, fault.until_seconds, what, 0, tuple(peers))
        self.felt.append(felt)
        return felt

    def _present(self) -> list[PeerId]:
        """Return the peers that are there from the beginning."""
        newcomers = frozenset(self.newcomers)
        return [name for name in self.machines if name not in newcomers]

    def _draw(self, fault: Struck) -> list[PeerId]:
        publishers = frozenset(self.publishers)
        named = fault.who == "publishers"
        names = [
            name for name in self._present() if fault.who == "any" or (name in publishers) is named
        ]
        return self._rng.sample(names, min(len(names), max(1, round(fault.share * len(names)))))


def scrub(machine: Machine) -> None:
    """Remove what the disk damaged, and tell the node, as the runtime does when it notices."""
    rotten = sorted(machine.disk.rotten)
    machine.disk.rotten = frozenset()
    for digest in rotten:
        machine.disk.objects.pop(digest, None)
        machine.tell(ObjectLost(digest))


def cut_of(fault: Split, names: Sequence[PeerId]) -> Cut:
    """Return what the split lets through; the peers are dealt to the sides in turn."""
    sides = side_of(fault, names)
    match fault.shape:
        case "apart":
            return Apart(sides)
        case "bridge":
            return Apart(sides)
        case "ring":
            return Ring(sides, fault.sides)
        case "one-way":
            return OneWay(sides)
        case _:
            assert_never(fault.shape)


def side_of(fault: Split, names: Sequence[PeerId]) -> dict[PeerId, int]:
    """Deal the peers to the sides in turn; the last one is the bridge, if there is one."""
    dealt = names[:-1] if fault.shape == "bridge" else names
    return {name: place % fault.sides for place, name in enumerate(dealt)}


_WHAT = {
    Crash: "peers that lost power",
    Churn: "times a peer went away",
    Pause: "peers that stood still",
    Skew: "clocks set wrong",
    DiskFull: "disks that took nothing",
    SlowDisk: "slow disks",
    BitRot: "objects rotten",
}
