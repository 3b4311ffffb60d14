"""Runs one scenario with one seed: builds the world, lets it happen, and gives the verdict."""

from __future__ import annotations

import functools
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from meshnode.core import events as ev
from meshnode.core.events import Verdict
from meshnode.core.identifiers import PeerId
from meshnode.core.node import Node
from meshnode.core.signing import Verify, verify
from simulations.effects import Performer
from simulations.faults import Faults, Felt
from simulations.invariants import (
    Bounds,
    Logs,
    Verdicts,
    Visibility,
    check_liveness,
    is_settled,
)
from simulations.ledger import Ledger
from simulations.machine import Machine, Watcher
from simulations.network import Network, Port
from simulations.recording import Recorder, Sink
from simulations.scenario import Scenario
from simulations.swarm.gossip import Gossip
from simulations.workload import Institutions, inspect
from simulations.world import World

REMEMBERED_SIGNATURES = 65_536  # memoised verifications; more than any scenario publishes heads
SLICE_SECONDS = 1.0  # of virtual time between two looks at the clock, the user and the mesh

BuildNode = Callable[[random.Random, Verify], Node]


@dataclass(slots=True)
class Outcome:
    """What a run showed. `settled_seconds` counts from the last heal and publication."""

    verdicts: Verdicts
    felt: list[Felt] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    settled_seconds: float | None = None  # None: not within the scenario's bound
    raised: str = ""  # the traceback of an exception, which is always a bug
    finished: bool = False  # False: interrupted or raised, and liveness was not checked

    @property
    def faults(self) -> list[str]:
        """Return, in sentences, why the run is not a pass; empty if it is."""
        said = [f"{name} was broken {n} times" for name, n in sorted(self.verdicts.broken.items())]
        said += [
            f"the {felt.kind} at {felt.at_seconds:g} s was not felt ({felt.what}: 0)"
            for felt in self.felt
            if felt.count == 0
        ]
        said += [f"a publisher was refused: {reason}" for reason in self.refused]
        if self.raised:
            said.append(f"the code raised {self.raised.splitlines()[-1]}")
        elif not self.finished:
            said.append("the run was interrupted")
        return said


class Simulation:
    """One scenario in motion.

    Args:
        build_node: makes a peer's node; tests plant bugs here.
        sink: takes every event and effect, None to keep only their hash.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        build_node: BuildNode = Node,
        sink: Sink | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.world = World(seed)
        self.network = Network(self.world, scenario.links)
        self.gossip = Gossip(self.world, self.network)
        self.ledger = Ledger()
        self.institutions = Institutions(self.world, scenario.workload, self.ledger)
        self.recorder = Recorder(sink, self._answered)
        self.machines: dict[PeerId, Machine] = {}
        self._verdicts = Verdicts()
        self._watchers: tuple[Watcher, ...] = (
            self.recorder,
            Logs(self.ledger, self._verdicts),
            Visibility(self.ledger, self._verdicts),
            Bounds(self._verdicts),
        )
        self._performer = Performer(
            self.world,
            self.network,
            self.gossip,
            self.machines,
            scenario.disk,
            functools.partial(inspect, self.ledger),
        )
        self.outcome = Outcome(self._verdicts)
        self._add_machines(build_node)
        self._link_machines()
        self._schedule()

    @property
    def trace_hash(self) -> str:
        """Return SHA-256 over every event and effect so far, in hex."""
        return self.recorder.digest.hexdigest()

    def run(self, progress: Callable[[float, float], None] = lambda now, end: None) -> Outcome:
        """Let everything happen, then check liveness.

        Args:
            progress: told the virtual second and the latest one at which the run may end.
        """
        try:
            self._live(progress)
            self.outcome.finished = True
        except KeyboardInterrupt:
            pass  # what was measured so far is kept; the outcome says that it is not all
        except Exception:
            self.outcome.raised = traceback.format_exc()
        return self.outcome

    def _live(self, progress: Callable[[float, float], None]) -> None:
        quiet_from = self.scenario.quiet_from_seconds
        end = quiet_from + self.scenario.settle_seconds_max
        while self.world.now < end:
            self.world.run_until(min(self.world.now + SLICE_SECONDS, end))
            progress(self.world.now, end)
            if self.world.now >= quiet_from and self._is_settled():
                self.outcome.settled_seconds = self.world.now - quiet_from
                break
        check_liveness(list(self.machines.values()), self.ledger, self._verdicts)

    def _is_settled(self) -> bool:
        return all(is_settled(machine, self.ledger) for machine in self.machines.values())

    # --- Building ---------------------------------------------------------------------------------
    def _add_machines(self, build_node: BuildNode) -> None:
        check = functools.lru_cache(REMEMBERED_SIGNATURES)(verify)
        width = len(str(self.scenario.nodes - 1))
        for number in range(self.scenario.nodes):
            name = PeerId(f"p{number:0{width}d}")
            rng = self.world.fork_rng()
            machine = Machine(
                name,
                self.world,
                functools.partial(build_node, rng, check),
                self._performer.start,
                self._watchers,
                self.scenario.disk.fsync_seconds,
            )
            self.machines[name] = machine
            self._plug(machine)

    def _plug(self, machine: Machine) -> None:
        name = machine.name

        def connected(other: PeerId) -> None:
            self.gossip.peer_joined(name)
            machine.tell(ev.PeerConnected(other))

        def disconnected(other: PeerId) -> None:
            self.gossip.peer_left(name, other)
            machine.tell(ev.PeerDisconnected(other))

        def judge(raw: bytes) -> Verdict:
            refusal = machine.node.judge(raw, machine.now())
            return Verdict.ACCEPT if refusal is None else refusal.verdict

        def deliver(source: PeerId, raw: bytes) -> None:
            machine.tell(ev.AnnouncementReceived(source, raw))

        self.network.plug(name, Port(connected, disconnected))
        self.gossip.join(name, judge, deliver)

    def _link_machines(self) -> None:
        """Link a ring, so that all are in one component, and random chords up to the degree."""
        names, rng = list(self.machines), self.world.fork_rng()
        chords = len(names) * (self.scenario.links.degree - 2) // 2
        for number, name in enumerate(names):
            self.network.link(name, names[(number + 1) % len(names)])
        for _ in range(chords):
            self.network.link(*rng.sample(names, 2))

    def _schedule(self) -> None:
        machines = list(self.machines.values())
        work = self.scenario.workload
        homes = machines[: work.institutions * work.writers_each]
        self.institutions.found(homes)
        self.institutions.follow(machines)
        self.institutions.schedule()
        faults = Faults(
            self.world, self.network, self.gossip, self.machines, [home.name for home in homes]
        )
        faults.schedule(self.scenario.faults)
        self.outcome.felt = faults.felt

    def _answered(self, answer: ev.Answer) -> None:
        if refusal := self.institutions.confirm(answer.ticket, answer.refusal):
            self.outcome.refused.append(refusal)
