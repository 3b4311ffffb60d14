"""How long after a heal each peer that lacked something holds every head confirmed before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from meshnode.core.durable import Durable
from meshnode.core.identifiers import PeerId
from meshnode.core.names import LogId
from simulations.ledger import Ledger
from simulations.machine import Machine
from simulations.world import World


@dataclass(slots=True)
class Healing:
    """Watches all peers after the last heal.

    Args:
        took: told of each peer that has caught up, and in how many seconds.
    """

    world: World
    ledger: Ledger
    took: Callable[[PeerId, str, float], None]
    seconds: list[float] = field(default_factory=list)  # of each peer that has caught up
    _healed_at: float = 0.0
    _lacking: dict[PeerId, dict[LogId, int]] = field(default_factory=dict)  # up to which seq

    def begin(self, machines: Iterable[Machine]) -> None:
        """A split is over: note what each of these lacks. An earlier heal counts no longer."""
        self._healed_at, self.seconds = self.world.now, []
        confirmed = {log: found.acknowledged for log, found in self.ledger.undisputed().items()}
        self._lacking = {}
        for machine in machines:
            logs = {log: seq for log, seq in confirmed.items() if _lacks(machine, log, seq)}
            if logs:
                self._lacking[machine.name] = logs

    def close(self) -> None:
        """Count peers that never caught up as if they did now."""
        for name in list(self._lacking):
            self._end(name)

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        logs = self._lacking.get(machine.name)
        if logs is None:
            return
        for log in [log for log, seq in logs.items() if not _lacks(machine, log, seq)]:
            del logs[log]
        if not logs:
            self._end(machine.name)

    def _end(self, name: PeerId) -> None:
        del self._lacking[name]
        seconds = self.world.now - self._healed_at
        self.seconds.append(seconds)
        self.took(name, "heal_seconds", seconds)


def _lacks(machine: Machine, log: LogId, seq: int) -> bool:
    file = machine.disk.logs.get(log)
    return file is None or file.seq < seq
