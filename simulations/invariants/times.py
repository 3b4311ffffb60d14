"""I16, I18 and I19: what is promised within a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from meshnode.core.identifiers import PeerId
from meshnode.core.names import LogId
from simulations.invariants.verdicts import Verdicts
from simulations.ledger import Ledger
from simulations.machine import Machine
from simulations.world import World

# Of one settled peer, a minute: twice what the design expects at 1,000 catalogues and 10,000 peers.
IDLE_BYTES_PER_MINUTE_MAX = 90_000


@dataclass(frozen=True, slots=True)
class _Promise:
    log: LogId
    seq: int
    begin: float
    end: float


@dataclass(slots=True)
class Propagation:
    """I16: a head that is confirmed in a calm time is everywhere within the bound.

    Args:
        is_calm: says whether no fault is at work between two virtual seconds.
    """

    world: World
    machines: Mapping[PeerId, Machine]
    ledger: Ledger
    verdicts: Verdicts
    seconds_max: float
    is_calm: Callable[[float, float], bool]
    _open: list[_Promise] = field(default_factory=list)

    def confirmed(self, log: LogId, seq: int) -> None:
        now = self.world.now
        promise = _Promise(log, seq, now, now + self.seconds_max)
        self._open.append(promise)
        self.world.at(promise.end, lambda: self._fall_due(promise))

    def close(self) -> None:
        """Check what is not yet due at the end of a run that has settled: it must be kept too."""
        for promise in list(self._open):
            self._fall_due(promise)

    def _fall_due(self, promise: _Promise) -> None:
        if promise not in self._open:
            return
        self._open.remove(promise)
        forked = promise.log in self.ledger.stolen
        if forked or not self.is_calm(promise.begin, min(promise.end, self.world.now)):
            return
        for machine in self.machines.values():
            file = machine.disk.logs.get(promise.log)
            here = not machine.running or (file is not None and file.seq >= promise.seq)
            said = f"lacks head {promise.seq} after {self.seconds_max:g} s"
            self.verdicts.hold("I16", machine, here, said)


@dataclass(slots=True)
class Newcomer:
    """A peer that came with an empty disk, and what was confirmed when it came."""

    machine: Machine
    joined: float
    seconds_max: float
    confirmed: dict[LogId, int]
    caught_up: float | None = None

    def look(self, ledger: Ledger) -> None:
        """Note the second at which it holds and shows all that was confirmed when it came."""
        if self.caught_up is None and self._holds_all(ledger):
            self.caught_up = self.machine.world.now

    def check(self, verdicts: Verdicts) -> None:
        caught_up = self.caught_up
        in_time = caught_up is not None and caught_up - self.joined <= self.seconds_max
        took = "not at all" if caught_up is None else f"after {caught_up - self.joined:.0f} s"
        said = f"caught up {took}, not within {self.seconds_max:g} s"
        verdicts.hold("I19", self.machine, in_time, said)

    def _holds_all(self, ledger: Ledger) -> bool:
        logs, shown = self.machine.disk.logs, self.machine.index.segments
        for log, seq in self.confirmed.items():
            if seq and (log not in logs or logs[log].seq < seq):
                return False
        return all(
            key in shown
            for key, named in ledger.segments.items()
            if named.log in logs and named.index < logs[named.log].size
        )


def check_quiet(
    machines: Sequence[Machine], sent: Mapping[PeerId, int], seconds: float, verdicts: Verdicts
) -> None:
    """I18: `sent` is what each peer sent in so many seconds after the mesh had settled."""
    for machine in machines:
        rate = sent[machine.name] * 60 / seconds
        said = f"sends {rate:,.0f} bytes a minute with nothing to do"
        verdicts.hold("I18", machine, rate <= IDLE_BYTES_PER_MINUTE_MAX, said)
