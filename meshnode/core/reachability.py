"""Whether others can call this peer: what those who tried say.

Implements the judging side of N-65 (protocol/05-sync.md). One peer may be wrong, or lie: that a
call came through is believed of one, that none does only of several networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from meshnode.core.peer_book import is_local, network_of

LASTING_SECONDS: Final = 2 * 3600  # routers and addresses change
NETWORKS_MIN: Final = 2  # that must fail before a peer is called not reachable
KEPT_MAX: Final = 16


class Reach(Enum):
    REACHABLE = "reachable"
    LOCAL = "reachable from its own network"
    NOT_REACHABLE = "not reachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Call:
    """A peer in `network` tried to call us at `ip` and `port`; `unix` seconds."""

    network: str
    ip: str
    port: int
    came_through: bool
    unix: int


@dataclass(slots=True)
class Reachability:
    """The last calls, one a network and address."""

    _calls: dict[tuple[str, str, int], Call] = field(default_factory=dict)  # oldest first

    def note(self, call: Call) -> None:
        name = (call.network, call.ip, call.port)
        self._calls.pop(name, None)
        self._calls[name] = call
        if len(self._calls) > KEPT_MAX:
            del self._calls[next(iter(self._calls))]

    def judge(self, unix: int) -> Reach:
        """Say what the calls of the last two hours amount to."""
        recent = self._recent(unix)
        through = [call for call in recent if call.came_through]
        if any(not is_local(call.network) for call in through):
            return Reach.REACHABLE
        outside = {call.network: None for call in recent if not is_local(call.network)}
        if len(outside) >= NETWORKS_MIN:
            return Reach.NOT_REACHABLE
        return Reach.LOCAL if through else Reach.UNKNOWN

    def confirmed(self, unix: int) -> tuple[tuple[str, int], ...]:
        """Return IP and port where calls came through."""
        recent = self._recent(unix)
        return tuple(dict.fromkeys((c.ip, c.port) for c in recent if c.came_through))

    def seen_at(self, unix: int) -> tuple[str, ...]:
        """Return the IPs that others see this peer at."""
        return tuple(dict.fromkeys(call.ip for call in self._recent(unix)))

    def _recent(self, unix: int) -> list[Call]:
        return [c for c in self._calls.values() if abs(unix - c.unix) <= LASTING_SECONDS]


def call_of(teller: str, ip: str, port: int, unix: int, *, came_through: bool) -> Call:
    """Return what a peer at `teller`, a multiaddr, said of its call."""
    return Call(network_of(teller), ip, port, came_through, unix)
