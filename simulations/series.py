"""Figures over time: how far the mesh has come, sampled while it runs (`output` names them all)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshnode.core.durable import Durable, ExtendLog
from meshnode.core.effects import Blame, DropSegment, Effect, IndexSegment, IndexWork
from meshnode.core.events import Event
from meshnode.core.identifiers import PeerId
from meshnode.core.names import SegmentKey
from simulations.ledger import Ledger
from simulations.machine import Machine
from simulations.network import Network
from simulations.swarm.gossip import Gossip
from simulations.world import World

SAMPLES_MAX = 300  # of one run; more than a plot can show

MESH = "*"


@dataclass(slots=True)
class Rows:
    """Columns of the metrics file, as small as they can be while a run grows them."""

    seconds: array[float] = field(default_factory=lambda: array("d"))
    nodes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, second: float, node: str, name: str, value: float) -> None:
        self.seconds.append(second)
        self.nodes.append(node)
        self.names.append(name)
        self.values.append(value)


@dataclass(slots=True)
class Series:
    """Watches all peers and keeps counts, so that a sample costs little."""

    world: World
    network: Network
    gossip: Gossip
    ledger: Ledger
    machines: Mapping[PeerId, Machine]
    rows: Rows = field(default_factory=Rows)
    blames: dict[PeerId, dict[str, int]] = field(default_factory=dict)  # who, for what, how often
    _heads: dict[PeerId, int] = field(default_factory=dict)  # held on disk
    _shown: dict[SegmentKey, int] = field(default_factory=dict)  # by how many peers

    def sample(self) -> None:
        """Add a row for each figure of the mesh as it is now."""
        now = self.world.now
        for name, value in (self._levels() | self._totals()).items():
            self.rows.add(now, MESH, name, value)

    def took(self, peer: PeerId, name: str, seconds: float) -> None:
        """Note that something which took so long has ended at a peer."""
        self.rows.add(self.world.now, peer, name, seconds)

    # --- As a watcher -----------------------------------------------------------------------------
    def handled(self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Blame):
                checks = self.blames.setdefault(effect.peer, {})
                checks[effect.check.value] = checks.get(effect.check.value, 0) + 1

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        for effect in durable:
            if isinstance(effect, ExtendLog):
                held = self._heads.get(machine.name, 0)
                self._heads[machine.name] = held + len(effect.heads)

    def index_changed(self, machine: Machine, work: IndexWork) -> None:
        if isinstance(work, IndexSegment) and work.ref.key in machine.index.segments:
            self._shown[work.ref.key] = self._shown.get(work.ref.key, 0) + 1
        elif isinstance(work, DropSegment):
            self._shown[work.key] = self._shown.get(work.key, 0) - 1

    # --- Figures ----------------------------------------------------------------------------------
    def _levels(self) -> dict[str, float]:
        running = [name for name, machine in self.machines.items() if machine.running]
        published = sum(log.seq for log in self.ledger.logs.values())
        missing = [published - self._heads.get(name, 0) for name in running]
        copies = [self._shown.get(key, 0) for key in self.ledger.segments]
        shown = sum(len(self.machines[name].index.segments) for name in running)
        return {
            "peers_running_count": len(running),
            "peers_behind_count": sum(count > 0 for count in missing),
            "heads_missing_count": sum(max(count, 0) for count in missing),
            "segments_missing_count": max(len(copies) * len(running) - shown, 0),
            "connections_count": sum(len(self.network.peers_of(n)) for n in running) / 2,
            "copies_least_count": min(copies, default=0),
            "copies_mean_count": sum(copies) / len(copies) if copies else 0.0,
        }

    def _totals(self) -> dict[str, float]:
        fate, members = self.network.fate, self.gossip.members.values()
        return {
            "sent_bytes": fate.bytes_sent,
            "messages_count": fate.sent,
            "messages_delayed_count": fate.delayed,
            "messages_cut_count": fate.cut,
            "blames_count": sum(sum(checks.values()) for checks in self.blames.values()),
            "gossip_delivered_count": sum(member.delivered for member in members),
            "gossip_duplicates_count": sum(member.duplicates for member in members),
        }
