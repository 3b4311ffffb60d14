"""The peers this node is connected to, and how often each was at fault."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshnode.core.effects import Blame
from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Check

FAULTS_MAX = 3  # a peer that was wrong this often is not asked any more
REMEMBERED_MAX = 4096  # peers whose faults are remembered after they left


@dataclass(slots=True)
class Peers:
    """Connected peers in the order in which they came; faults outlive a connection."""

    connected: dict[PeerId, None] = field(default_factory=dict)
    faults: dict[PeerId, int] = field(default_factory=dict)
    _asked: tuple[PeerId, ...] | None = None  # as they were last asked for, until that changes

    def joined(self, peer: PeerId) -> None:
        self.connected[peer] = None
        self._asked = None

    def left(self, peer: PeerId) -> None:
        self.connected.pop(peer, None)
        self._asked = None

    def blame(self, peer: PeerId, check: Check, reason: str) -> Blame:
        """Count a peer's fault; return what tells of it."""
        count = self.faults.pop(peer, 0) + 1
        self._asked = None
        self.faults[peer] = count  # last in order: the oldest offender is forgotten first
        if len(self.faults) > REMEMBERED_MAX:
            del self.faults[next(iter(self.faults))]
        return Blame(peer, check, reason)

    def asked(self) -> tuple[PeerId, ...]:
        """Return the peers worth asking."""
        if self._asked is None:
            faults = self.faults
            self._asked = tuple([p for p in self.connected if faults.get(p, 0) < FAULTS_MAX])
        return self._asked
