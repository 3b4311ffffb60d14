"""What a run leaves behind: a hash of every step, the steps, and the measured figures."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshnode.core import trace
from meshnode.core.durable import Durable, ExtendLog
from meshnode.core.effects import Answer, Effect, IndexSegment, IndexWork, Started
from meshnode.core.events import Event
from meshnode.core.identifiers import PeerId
from meshnode.core.names import SegmentKey
from simulations.machine import Machine

# Virtual second, peer, kind, ids.
Sink = Callable[[float, PeerId, str, str], None]


@dataclass(frozen=True, slots=True)
class Delays:
    """How long things took, in virtual seconds; all 0 if nothing was measured."""

    count: int
    median: float
    p90: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Delays:
        ranked = sorted(seconds)
        if not ranked:
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        last = len(ranked) - 1
        middle, p90, p99 = (ranked[round(last * share)] for share in (0.5, 0.9, 0.99))
        return cls(len(ranked), middle, p90, p99, ranked[-1])


@dataclass(slots=True)
class Recorder:
    """Hashes each event and effect as the runtime would log it.

    Args:
        sink: takes every line, None to keep only the hash.
        answered: takes each answer to the operator.
        took: takes how long something took, at the peer where it has ended.
    """

    sink: Sink | None
    answered: Callable[[Answer], None]
    took: Callable[[PeerId, str, float], None]
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    counts: dict[str, int] = field(default_factory=dict)
    propagation: array[float] = field(default_factory=lambda: array("d"))  # seconds to adoption
    visibility: array[float] = field(default_factory=lambda: array("d"))  # seconds to the index
    _signed_at: dict[bytes, float] = field(default_factory=dict)  # of heads
    _named_at: dict[SegmentKey, float] = field(default_factory=dict)

    def handled(self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        if not batch and not effects:
            return
        counts, sink = self.counts, self.sink
        prefix = f"{machine.world.now:.6f} {machine.name} "
        lines = []
        for item in (*batch, *effects):
            kind, ids = trace.kind(item), trace.ids(item)
            lines.append(f"{prefix}{kind} {ids}\n")
            counts[kind] = counts.get(kind, 0) + 1
            if sink is not None:
                sink(machine.world.now, machine.name, kind, ids)
        self.digest.update("".join(lines).encode())

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        for effect in durable:
            if isinstance(effect, ExtendLog):
                for _, raw in effect.heads:
                    since = self._signed_at.setdefault(raw, machine.world.now)
                    seconds = machine.world.now - since
                    self.propagation.append(seconds)
                    self.took(machine.name, "head_propagation_seconds", seconds)

    def started(self, machine: Machine, effect: Started) -> None:
        if isinstance(effect, Answer):
            self.answered(effect)

    def index_changed(self, machine: Machine, work: IndexWork) -> None:
        if isinstance(work, IndexSegment):
            since = self._named_at.setdefault(work.ref.key, machine.world.now)
            seconds = machine.world.now - since
            self.visibility.append(seconds)
            self.took(machine.name, "segment_visibility_seconds", seconds)

    def restored(self, machine: Machine) -> None:
        self.counts["Restored"] = self.counts.get("Restored", 0) + 1
