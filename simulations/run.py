"""Runs one scenario with one seed: builds the world, lets it happen, and gives the verdict."""

from __future__ import annotations

import functools
import random
import traceback
from collections.abc import Callable, Sequence

from meshnode.core.effects import Answer
from meshnode.core.events import AnnouncementReceived, PeerConnected, PeerDisconnected
from meshnode.core.identifiers import PeerId
from meshnode.core.node import Node
from meshnode.core.signing import Verify, verify
from meshnode.core.verdicts import Verdict
from simulations.adversaries import Adversaries, Deeds
from simulations.disk import Disk, Shared
from simulations.effects import Performer
from simulations.faults import Faults
from simulations.habits import node_with
from simulations.healing import Healing
from simulations.invariants import (
    Bounds,
    Logs,
    Propagation,
    Roots,
    Snapshots,
    Verdicts,
    Visibility,
    check_claims,
    check_connection,
    check_downloads,
    check_erased,
    check_liveness,
    check_quiet,
    is_settled,
)
from simulations.ledger import Ledger
from simulations.machine import Machine
from simulations.network import Network
from simulations.outcome import Outcome
from simulations.recording import Recorder, Sink
from simulations.scenario import Scenario
from simulations.series import SAMPLES_MAX, Series
from simulations.statements import Statements
from simulations.swarm.gossip import Gossip
from simulations.swarm.payloads import Share, Swarm
from simulations.timeline import Withdraw
from simulations.topology import link_at_random
from simulations.watching import Watcher, Watchers
from simulations.workload import Institutions, holding, inspect
from simulations.world import World, without_collector

REMEMBERED_SIGNATURES = 65_536  # memoised verifications; more than any scenario publishes heads
SLICE_SECONDS = 1.0  # of virtual time between two looks at the clock, the user and the mesh

BuildNode = Callable[[random.Random, Verify], Node]


class Simulation:
    """One scenario in motion.

    Args:
        build_node: makes a peer's node, by default as the scenario has it; tests plant bugs here.
        sink: takes every event and effect, None to keep only their hash.
        watchers: see all that every peer does, beside the checkers.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        build_node: BuildNode | None = None,
        sink: Sink | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.world = World(seed)
        self.network = Network(self.world, scenario.links, self._connected, self._disconnected)
        self.gossip = Gossip(self.world, self.network, self._judge, self._deliver)
        self.ledger = Ledger()
        self.institutions = Institutions(self.world, scenario.workload, self.ledger)
        self.adversaries = Adversaries(self.world)
        self._verdicts = Verdicts()
        self.statements = Statements(self.world)
        self.swarm = Swarm(
            self.world,
            self.network,
            scenario.payloads,
            self.adversaries.spoils,
            self._downloaded,
            functools.partial(check_connection, self._verdicts),
        )
        self.machines: dict[PeerId, Machine] = {}
        self.series = Series(self.world, self.network, self.gossip, self.ledger, self.machines)
        self.healing = Healing(self.world, self.ledger, self.series.took)
        self.recorder = Recorder(sink, self._answered, self.series.took)
        self._watchers = Watchers.of(
            (
                self.recorder,
                self.series,
                Logs(self.ledger, self._verdicts),
                Roots(self._verdicts),
                Visibility(self.ledger, self._verdicts),
                Snapshots(self.ledger, self._verdicts),
                Bounds(self._verdicts, self._is_sound),
                self.healing,
                *watchers,
            )
        )
        self._performer = Performer(
            self.world,
            self.network,
            self.gossip,
            self.machines,
            scenario.disk,
            functools.partial(inspect, self.ledger),
            functools.partial(holding, self.ledger),
            self.adversaries,
        )
        self.outcome = Outcome(self._verdicts, deeds=self.adversaries.deeds)
        self._add_machines(build_node or node_with(scenario.habits))
        link_at_random(self.network, list(self.machines), scenario.links, self.world.fork_rng())
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
            with without_collector():
                self._live(progress)
            self.outcome.finished = True
        except KeyboardInterrupt:
            pass  # what was measured so far is kept; the outcome says that it is not all
        except Exception:
            self.outcome.raised = traceback.format_exc()
        self.world.end()
        return self.outcome

    def _live(self, progress: Callable[[float, float], None]) -> None:
        quiet_from = self.scenario.quiet_from_seconds
        end = quiet_from + self.scenario.settle_seconds_max
        next_sample = 0.0
        while self.world.now < end:
            self.world.run_until(min(self.world.now + SLICE_SECONDS, end))
            progress(self.world.now, end)
            if self.world.now >= next_sample:
                self.series.sample()
                next_sample += self.sample_seconds
            for newcomer in self.newcomers:
                newcomer.look(self.ledger)
            if self.world.now >= quiet_from and self._is_settled():
                self.outcome.settled_seconds = self.world.now - quiet_from
                break
        self._propagation.close()
        self.healing.close()
        if self.scenario.payloads.baits:
            what = "mirrors refused that lead inside"
            self.outcome.deeds.append(Deeds("baiter", (), what, self.swarm.baits_refused))
        check_liveness(self._running(), self.ledger, self._verdicts)
        check_downloads(self.swarm, self._verdicts)
        check_claims(self._running(), self.statements, self._verdicts)
        self._check_erased()
        for newcomer in self.newcomers:
            newcomer.check(self._verdicts)
        if self.outcome.settled_seconds is not None and self.scenario.idle_seconds:
            self._idle(self.scenario.idle_seconds)
        self.series.sample()

    def _idle(self, seconds: float) -> None:
        """Watch a settled mesh, whether it falls quiet."""
        before = {name: self.network.bytes_sent(name) for name in self.machines}
        self.world.run_until(self.world.now + seconds)
        sent = {name: self.network.bytes_sent(name) - before[name] for name in self.machines}
        check_quiet(self._running(), sent, seconds, self._verdicts)

    @property
    def sample_seconds(self) -> float:
        """Return the virtual seconds between two samples of the mesh."""
        scenario = self.scenario
        longest = scenario.quiet_from_seconds + scenario.settle_seconds_max
        return max(SLICE_SECONDS, longest // SAMPLES_MAX)

    def role_of(self, name: PeerId) -> str:
        """Return what a peer is in this run: an adversary by its kind, else by what it does."""
        if not self.adversaries.is_honest(name):
            return self.adversaries.kinds[name].kind
        if name in self._newcomers:
            return "newcomer"
        return "publisher" if name in self._publishers else "follower"

    def _is_settled(self) -> bool:
        done = all(share.ended is not None for share in self.swarm.downloads())
        done = done and not any(map(self.statements.missing, self._honest()))
        return done and all(is_settled(machine, self.ledger) for machine in self.machines.values())

    def _running(self) -> list[Machine]:
        return [machine for machine in self._honest() if machine.running]

    def _honest(self) -> list[Machine]:
        is_honest = self.adversaries.is_honest
        return [machine for name, machine in self.machines.items() if is_honest(name)]

    def _is_sound(self, peer: PeerId) -> bool:
        return self.adversaries.is_honest(peer) and not self.machines[peer].disk.rotten

    def _downloaded(self, share: Share) -> None:
        seconds = self.world.now - share.began
        self.series.took(share.machine.name, "payload_download_seconds", seconds)

    # --- Building ---------------------------------------------------------------------------------
    def _add_machines(self, build_node: BuildNode) -> None:
        check = functools.lru_cache(REMEMBERED_SIGNATURES)(verify)
        shared = Shared()
        rng = self.world.fork_rng()  # of all nodes: one a node would be a tenth of its memory
        build = functools.partial(build_node, rng, check)
        width = len(str(self.scenario.nodes - 1))
        for number in range(self.scenario.nodes):
            name = PeerId(f"p{number:0{width}d}")
            machine = Machine(
                name,
                self.world,
                build,
                self._performer.start,
                self._watchers,
                self.scenario.disk.fsync_seconds,
                disk=Disk(shared),
            )
            self.machines[name] = machine
            self.network.plug(name)
            self.gossip.join(name)
        self._assign_roles()

    def _assign_roles(self) -> None:
        """The first peers publish, the last are yet to come, those before them are adversaries."""
        names = tuple(self.machines)
        there = len(names) - self.scenario.joining
        self._newcomers = names[there:]
        self._publishers = names[: self.scenario.writers]
        for adversary in reversed(self.scenario.adversaries):
            self.adversaries.enlist(adversary, names[there - adversary.count : there])
            there -= adversary.count
        for name, machine in self.machines.items():
            machine.version = self.adversaries.version(name)
        former = round(self.scenario.former_share * len(names))
        for name in self.world.fork_rng().sample(names, former) if former else ():
            self.machines[name].version = 1
        for name in self._newcomers:
            self.machines[name].running = False
            self.network.power_off(name)

    def _connected(self, name: PeerId, other: PeerId) -> None:
        self.gossip.peer_joined(name)
        self.machines[name].tell(PeerConnected(other))

    def _disconnected(self, name: PeerId, other: PeerId) -> None:
        self.gossip.peer_left(name, other)
        self.machines[name].tell(PeerDisconnected(other))

    def _judge(self, name: PeerId, raw: bytes) -> Verdict:
        machine = self.machines[name]
        refusal = machine.node.judge(raw, machine.now())
        if refusal is not None:
            return refusal.verdict
        return Verdict.ACCEPT if self.adversaries.passes_on(name) else Verdict.IGNORE

    def _deliver(self, name: PeerId, source: PeerId, raw: bytes) -> None:
        self.machines[name].tell(AnnouncementReceived(source, raw))

    def _schedule(self) -> None:
        machines = [m for name, m in self.machines.items() if name not in self._newcomers]
        self.institutions.found([self.machines[name] for name in self._publishers])
        self.institutions.follow(machines)
        self.institutions.schedule()
        faults = Faults(
            self.world,
            self.network,
            self.gossip,
            self.swarm,
            self.institutions,
            self.machines,
            self._publishers,
            self._newcomers,
            lambda: self.healing.begin(self._running()),
        )
        faults.schedule(self.scenario.faults)
        self.outcome.felt = faults.felt
        self.newcomers = faults.joined
        for adversary in self.scenario.adversaries:
            self.adversaries.schedule(adversary, self.machines, self.gossip)
        self._watch_times(faults)
        for fault in self.scenario.faults:
            if isinstance(fault, Withdraw):
                self.world.at(fault.until_seconds, self._check_erased)
        self._schedule_downloads(machines)
        if self.scenario.workload.statements:
            self._schedule_statements(machines)

    def _check_erased(self) -> None:
        check_erased(self._running(), self.ledger, self._verdicts)

    def _watch_times(self, faults: Faults) -> None:
        self._propagation = Propagation(
            self.world,
            {machine.name: machine for machine in self._honest()},
            self.ledger,
            self._verdicts,
            self.scenario.propagation_seconds_max,
            faults.is_calm,
        )
        self.institutions.confirmed = self._propagation.confirmed

    def _schedule_statements(self, machines: Sequence[Machine]) -> None:
        honest = [m for m in machines if self.adversaries.is_honest(m.name)]
        rng, work = self.world.fork_rng(), self.scenario.workload
        self.statements.schedule(work, honest, tuple(self.ledger.roots), rng)

    def _schedule_downloads(self, machines: Sequence[Machine]) -> None:
        """Let each payload be seeded by a publisher and downloaded by peers drawn at random."""
        model, rng = self.scenario.payloads, self.world.fork_rng()
        for payload in range(model.count):
            home = machines[payload % self.scenario.writers]
            self.swarm.seed(home, payload)
            others = [machine for machine in machines if machine is not home]
            for machine in rng.sample(others, min(model.downloads, len(others))):
                second = model.start_seconds + rng.random() * model.spread_seconds
                begin = functools.partial(self.swarm.download, machine, payload)
                self.world.at(second, begin)

    def _answered(self, answer: Answer) -> None:
        if self.statements.confirm(answer):
            return
        if refusal := self.institutions.confirm(answer.ticket, answer.refusal):
            self.outcome.refused.append(refusal)
